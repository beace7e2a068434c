//! One configuration file: read and parsed once, for its values and for the place of every key.

use crate::files;
use std::fmt;
use std::io::Read;
use std::path::Path;

use ::config::{Map, Source, Value};

use super::error::ConfigError;
use super::position::{KeyPath, KeyPlace, Origin, Position};
use super::{parse_toml, parse_yaml, variables};

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Reads the text of a file.
type Parse = fn(&Path, &str) -> Result<Parsed, Vec<ConfigError>>;

/// Extensions of files and what reads them.
const FORMATS: &[(&str, Parse)] = &[
    ("toml", parse_toml::parse),
    ("yaml", parse_yaml::parse_yaml),
    ("yml", parse_yaml::parse_yaml),
    ("json", parse_yaml::parse_json),
];

/// What stands in a file.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) values: Map<String, Value>,
    /// Every key, parents first.
    pub(super) entries: Vec<KeyPlace>,
}

/// One parsed file.
pub(super) struct Document {
    pub(super) layer: FileLayer,
    pub(super) entries: Vec<KeyPlace>,
    /// The text of values that came from variables, for keys that want text.
    pub(super) texts: Vec<(KeyPath, String)>,
    /// Mistakes that leave the rest of the file readable.
    pub(super) errors: Vec<ConfigError>,
}

/// The values of one file as a source for the `config` crate.
#[derive(Clone)]
pub(super) struct FileLayer(pub(super) Map<String, Value>);

impl fmt::Debug for FileLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// The key of the list that files add to.
pub(super) const ROUTES: &str = "routes";

impl Document {
    /// Puts the routes of earlier files before its own: those of several files add up.
    pub(super) fn add_routes_to(&mut self, earlier: &mut Vec<Value>) {
        let own = self.layer.0.get(ROUTES).cloned();
        // A value that is not a list is reported with its place.
        let Some(own) = own.and_then(|value| value.into_array().ok()) else { return };
        let shift = earlier.len();
        earlier.extend(own);
        self.layer.0.insert(ROUTES.to_owned(), Value::from(earlier.clone()));
        if shift == 0 {
            return;
        }
        let list = KeyPath::from_iter([ROUTES]);
        self.entries.retain(|entry| entry.path != list);
        for entry in &mut self.entries {
            entry.path = shifted(&entry.path, shift);
        }
        for (path, _) in &mut self.texts {
            *path = shifted(path, shift);
        }
    }
}

/// The place of an entry of the list of routes among those of earlier files.
fn shifted(path: &KeyPath, shift: usize) -> KeyPath {
    match path.segments() {
        [list, index, rest @ ..] if list == ROUTES => {
            let index = index.parse().map_or(shift, |index: usize| index + shift);
            rest.iter().fold(KeyPath::from_iter([ROUTES]).index(index), |path, name| path.key(name))
        }
        _ => path.clone(),
    }
}

/// Whether the `config` crate takes a top-level key for a path into other keys. A quoted `"a.b"`
/// would reach into `a`, and `"a[99999999]"` would fill memory, so both are refused.
pub(super) fn is_expression(name: &str) -> bool {
    name.contains(['.', '['])
}

/// Reads and parses the file `path`.
#[cfg(test)]
pub(super) fn read(path: &Path) -> Result<Document, Vec<ConfigError>> {
    parse(path, read_text(path))
}

/// Parses the file `path`, which holds `text` or cannot be read.
pub(super) fn parse(
    path: &Path,
    text: Result<String, String>,
) -> Result<Document, Vec<ConfigError>> {
    let whole = |message: String| {
        let position = Position::whole(Origin::File(path.to_owned()));
        vec![ConfigError::new(position, KeyPath::root(), message)]
    };
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let Some((_, parse)) = FORMATS.iter().find(|(known, _)| *known == extension) else {
        let names: Vec<_> = FORMATS.iter().map(|(known, _)| format!(".{known}")).collect();
        return Err(whole(format!("expected a file name that ends in {}", names.join(", "))));
    };
    let Parsed { mut values, entries } = parse(path, &text.map_err(whole)?)?;
    values.retain(|name, _| !is_expression(name));
    let (odd, entries): (Vec<_>, _) = entries
        .into_iter()
        .partition(|entry| entry.path.segments().first().is_some_and(|name| is_expression(name)));
    let odd = odd.into_iter().filter(|entry| entry.path.segments().len() == 1);
    let message = "unknown key; dots between names go outside of quotes";
    let mut errors: Vec<_> =
        odd.map(|entry| ConfigError::new(entry.key, entry.path, message)).collect();
    let expanded = variables::expand(&mut values, &entries, &variables::of_process);
    errors.extend(expanded.errors);
    Ok(Document { layer: FileLayer(values), entries, texts: expanded.texts, errors })
}

pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let fail = |error| format!("cannot read the file: {}", files::why(path, &error));
    let file = std::fs::File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err("expected a file, found a folder".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("expected at most {} MiB", MAX_FILE >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("expected UTF-8 text, but byte {} is not", error.utf8_error().valid_up_to())
    })
}
