//! What is set outside of files: the environment, and command-line flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use ::config::{Environment, Map, Source, Value, ValueKind};

use super::document::is_expression;
use super::error::ConfigError;
use super::parse_toml;
use super::position::{KeyPath, Origin, Position};

const PREFIX: &str = "JACKFIELD";
const SEPARATOR: &str = "__";

/// Settings that win over files: first the environment, then flags in the order given.
///
/// The variable `JACKFIELD__HOST__WORKER_THREADS` sets the key `host.worker_threads`; names are
/// lowered, so keys with upper-case letters, dashes or dots are out of its reach. A value, of a
/// variable or of `KEY=VALUE`, is read as TOML (`4`, `true`, `["a", "b"]`, `{ env = "X" }`), and
/// as plain text when it is none, or when the key wants text.
#[derive(Clone, Default)]
pub struct Overrides {
    settings: Vec<Setting>,
    errors: Vec<ConfigError>,
}

/// One value for one key.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) path: KeyPath,
    pub(super) origin: Origin,
    /// The text as given, when there was one.
    pub(super) text: Option<String>,
    value: Value,
}

impl Overrides {
    /// Nothing is overridden.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of this process's environment.
    pub fn from_environment() -> Self {
        let mut overrides = Self::new();
        overrides.environment(std::env::vars_os());
        overrides
    }

    /// Adds the variables that begin with `JACKFIELD__`; the others are passed over.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with(&format!("{PREFIX}{SEPARATOR}")).then_some((name, value))
        });
        // Sorted, so that the same environment always means the same, and parents come first.
        for (name, value) in ours.collect::<BTreeMap<_, _>>() {
            let origin = Origin::Environment(name.clone());
            let Ok(value) = value.into_string() else {
                self.fail(origin, "expected UTF-8 text");
                continue;
            };
            let one = Map::from_iter([(name, value.clone())]);
            let variable = Environment::with_prefix(PREFIX).separator(SEPARATOR).source(Some(one));
            match variable.collect() {
                Ok(keys) => {
                    for key in keys.keys() {
                        self.text(key.split('.').collect(), origin.clone(), value.clone());
                    }
                }
                Err(_) => self.fail(origin, "expected UTF-8 text"),
            }
        }
    }

    /// Adds one `KEY=VALUE`, as given to the flag `flag`. The key is dotted, with quotes around
    /// names that hold dots, and indexes for entries of lists: `routes.0.listen`.
    pub fn assign(&mut self, flag: &str, assignment: &str) {
        let Some((key, value)) = assignment.split_once('=') else {
            self.fail(Origin::Flag(flag.to_owned()), "expected KEY=VALUE");
            return;
        };
        let origin = Origin::Flag(format!("{flag} {}", key.trim()));
        match toml_edit::Key::parse(key) {
            Ok(names) => {
                let path = names.iter().map(toml_edit::Key::get).collect();
                self.text(path, origin, value.trim().to_owned());
            }
            Err(_) => self.fail(origin, "expected a dotted key before ="),
        }
    }

    /// Sets `key` to `value`, which the flag `flag` (as it is spelled) asked for.
    pub fn set(&mut self, flag: &str, key: KeyPath, value: serde_json::Value) {
        let origin = Origin::Flag(flag.to_owned());
        match serde_json::from_value(value) {
            Ok(value) => self.push(Setting { path: key, origin, text: None, value }),
            Err(_) => self.fail(origin, "expected a value that TOML can hold"),
        }
    }

    pub(super) fn settings(&self) -> &[Setting] {
        &self.settings
    }

    pub(super) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    fn text(&mut self, path: KeyPath, origin: Origin, text: String) {
        let value = parse_text(&text);
        self.push(Setting { path, origin, text: Some(text), value });
    }

    fn push(&mut self, setting: Setting) {
        match setting.path.segments().first() {
            Some(name) if !is_expression(name) => self.settings.push(setting),
            _ => self.fail(setting.origin, "unknown key"),
        }
    }

    fn fail(&mut self, origin: Origin, message: &str) {
        self.errors.push(ConfigError::new(Position::whole(origin), KeyPath::root(), message));
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.iter().map(|setting| setting.path.to_string())).finish()
    }
}

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        let mut root = Value::from(Map::<String, Value>::new());
        self.collect_to(&mut root)?;
        root.into_table()
    }

    /// The crate's own way cannot name keys with dots, nor tell entries of lists from names.
    fn collect_to(&self, cache: &mut Value) -> Result<(), ::config::ConfigError> {
        for setting in &self.settings {
            put(cache, setting.path.segments(), setting.value.clone());
        }
        Ok(())
    }
}

/// Sets what is at `path` below `here`. Tables are made on the way; a list takes an index of an
/// entry it has, or of the one to come.
fn put(here: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *here = value;
        return;
    };
    if let ValueKind::Array(list) = &mut here.kind
        && let Some(index) = name.parse().ok().filter(|index: &usize| *index <= list.len())
    {
        if index == list.len() {
            list.push(Value::new(None, ValueKind::Nil));
        }
        return put(&mut list[index], rest, value);
    }
    if !matches!(here.kind, ValueKind::Table(_)) {
        here.kind = ValueKind::Table(Map::new());
    }
    if let ValueKind::Table(table) = &mut here.kind {
        let below = table.entry(name.clone()).or_insert_with(|| Value::new(None, ValueKind::Nil));
        put(below, rest, value);
    }
}

/// `text` as a TOML value, or as itself.
pub(super) fn parse_text(text: &str) -> Value {
    let plain = || Value::new(None, ValueKind::String(text.to_owned()));
    match text.parse::<toml_edit::Value>() {
        Err(_) | Ok(toml_edit::Value::Datetime(_)) => plain(),
        Ok(value) => parse_toml::value(&value),
    }
}
