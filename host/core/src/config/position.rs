//! Where each key of the merged configuration was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The way from the root of the configuration to one key. An entry of a list is named by its
/// index, counted from 0: `routes.0.listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The root, above every key.
    pub fn root() -> Self {
        Self::default()
    }

    /// The key `name` below this one.
    #[must_use]
    pub fn key(&self, name: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.0.push(name.into());
        path
    }

    /// The entry `index` of the list that this is.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.key(index.to_string())
    }

    /// What a JSON pointer (RFC 6901), such as `/headers/0`, means below this key.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Self {
        let steps =
            pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        Self(self.0.iter().cloned().chain(steps).collect())
    }

    /// The key above, or `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// The names from the root down.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl<S: Into<String>> FromIterator<S> for KeyPath {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for KeyPath {
    /// Dotted, with quotes where TOML wants them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !name.is_empty() && name.chars().all(bare) {
                f.write_str(name)?;
            } else {
                write!(f, "{name:?}")?;
            }
        }
        Ok(())
    }
}

/// What a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Nothing sets it: the built-in default.
    #[default]
    Default,
    /// A configuration file, by the name it was given.
    File(PathBuf),
    /// An environment variable, by its name.
    Environment(String),
    /// A command-line flag, as it is spelled.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("configuration"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A place in a configuration file, or an environment variable, or a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// What the value came from.
    pub origin: Origin,
    /// Line, counted from 1; 0 when the origin has no lines.
    pub line: usize,
    /// Column in characters, counted from 1; 0 when the origin has no lines.
    pub column: usize,
}

impl Position {
    /// The whole of `origin`.
    pub fn whole(origin: Origin) -> Self {
        Self { origin, line: 0, column: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.origin),
            line => write!(f, "{}:{line}:{}", self.origin, self.column),
        }
    }
}

/// The lines of a text, to find the line of a byte quickly.
pub(super) struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The character that holds byte `offset` of the text, which is that of the file `path`.
    pub(super) fn position(&self, path: &Path, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text[start..offset].chars().count() + 1;
        Position { origin: Origin::File(path.to_owned()), line, column }
    }
}

/// One key with the places of its name and of its value.
#[derive(Clone, Debug)]
pub(super) struct KeyPlace {
    pub(super) path: KeyPath,
    pub(super) key: Position,
    pub(super) value: Position,
    /// Tables are merged across layers; everything else replaces what an earlier layer said.
    pub(super) is_table: bool,
}

/// Where each key of the merged configuration was written; the last layer that sets a key counts.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    entries: BTreeMap<KeyPath, (Position, Position)>,
}

impl SourceMap {
    /// Where the value at `path` was written. Falls back to the nearest key above it that was
    /// written at all, so a missing key is reported at its table.
    pub fn locate(&self, path: &KeyPath) -> Position {
        self.find(path).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// As [`SourceMap::locate`], but where the name of the key was written.
    pub fn locate_key(&self, path: &KeyPath) -> Position {
        self.find(path).map(|(key, _)| key.clone()).unwrap_or_default()
    }

    /// Whether any layer wrote `path`.
    pub fn contains(&self, path: &KeyPath) -> bool {
        self.entries.contains_key(path)
    }

    /// The folder that a relative file name at `path` is meant from: that of the file it was
    /// written in, or the working directory.
    pub fn base_dir(&self, path: &KeyPath) -> PathBuf {
        match self.locate(path).origin {
            Origin::File(file) => file.parent().map(Path::to_owned).unwrap_or_default(),
            _ => PathBuf::new(),
        }
    }

    /// Adds a layer over the present ones. Parents come before their children.
    pub(super) fn absorb(&mut self, layer: Vec<KeyPlace>) {
        for KeyPlace { path, key, value, is_table } in layer {
            if !is_table {
                self.remove_below(&path);
            }
            self.entries.insert(path, (key, value));
        }
    }

    /// Adds one value that came from outside of files, and the tables it made on the way.
    pub(super) fn absorb_value(&mut self, path: &KeyPath, origin: &Origin) {
        self.remove_below(path);
        let place = Position::whole(origin.clone());
        let mut above = path.parent();
        while let Some(table) = above.filter(|table| !table.segments().is_empty()) {
            above = table.parent();
            self.entries.entry(table).or_insert_with(|| (place.clone(), place.clone()));
        }
        self.entries.insert(path.clone(), (place.clone(), place));
    }

    /// Lets what stands at `from` and below it also stand at `to`, as far as nothing is written there.
    pub(super) fn inherit(&mut self, from: &KeyPath, to: &KeyPath) {
        let below = self.entries.range(from..).take_while(|(key, _)| key.is_within(from));
        let copied: Vec<_> = below
            .map(|(key, place)| {
                let rest = key.segments().iter().skip(from.segments().len());
                (rest.fold(to.clone(), |key, name| key.key(name)), place.clone())
            })
            .collect();
        for (key, place) in copied {
            self.entries.entry(key).or_insert(place);
        }
    }

    fn remove_below(&mut self, path: &KeyPath) {
        let below = self.entries.range(path..).map(|(key, _)| key);
        let doomed: Vec<_> = below.take_while(|key| key.is_within(path)).cloned().collect();
        for key in doomed {
            self.entries.remove(&key);
        }
    }

    fn find(&self, path: &KeyPath) -> Option<&(Position, Position)> {
        let mut path = Some(path.clone());
        while let Some(here) = path {
            if let Some(found) = self.entries.get(&here) {
                return Some(found);
            }
            path = here.parent();
        }
        None
    }
}
