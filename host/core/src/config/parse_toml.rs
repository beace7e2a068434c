//! A TOML file: its values, and the place of every key, in one pass over one parsed document.

use std::ops::Range;
use std::path::Path;

use ::config::{Map, Value, ValueKind};
use toml_edit::{Document, Item, TableLike};

use super::document::Parsed;
use super::error::ConfigError;
use super::position::{KeyPath, KeyPlace, LineIndex};

/// The file `path`, whose content is `text`, or its syntax error.
pub(super) fn parse(path: &Path, text: &str) -> Result<Parsed, Vec<ConfigError>> {
    let document = Document::parse(text).map_err(|error| vec![syntax_error(path, text, &error)])?;
    let mut walk = TomlWalk { path, lines: LineIndex::new(text), entries: Vec::new() };
    let values = walk.table(&KeyPath::root(), document.as_table());
    Ok(Parsed { values, entries: walk.entries })
}

/// One value, as it stands behind a `=`.
pub(super) fn value(value: &toml_edit::Value) -> Value {
    let mut walk = TomlWalk { path: Path::new(""), lines: LineIndex::new(""), entries: Vec::new() };
    walk.value(&KeyPath::root(), value)
}

fn syntax_error(path: &Path, text: &str, error: &toml_edit::TomlError) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let position = LineIndex::new(text).position(path, span.start);
    let mut message = error.message().replace('\n', ", ");
    if message == "duplicate key" {
        let name = text.get(span).unwrap_or_default().trim();
        message = format!("the key {name} is set twice");
    }
    ConfigError::new(position, KeyPath::root(), message)
}

struct TomlWalk<'a> {
    path: &'a Path,
    lines: LineIndex<'a>,
    entries: Vec<KeyPlace>,
}

impl TomlWalk<'_> {
    fn table(&mut self, at: &KeyPath, table: &dyn TableLike) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, item) in table.iter() {
            let key = table.get_key_value(name).and_then(|(key, _)| key.span());
            let key = key.map(|span| span.start);
            if let Some(value) = self.item(&at.key(name), key, item) {
                values.insert(name.to_owned(), value);
            }
        }
        values
    }

    fn item(&mut self, at: &KeyPath, key: Option<usize>, item: &Item) -> Option<Value> {
        self.entry(at, key, start(item.span()), item.is_table_like());
        match item {
            Item::Table(table) => Some(self.table(at, table).into()),
            Item::Value(value) => Some(self.value(at, value)),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().enumerate().map(|(index, table)| {
                    let at = at.index(index);
                    let start = start(table.span());
                    self.entry(&at, start, start, true);
                    Value::from(self.table(&at, table))
                });
                Some(tables.collect::<Vec<_>>().into())
            }
            Item::None => None,
        }
    }

    fn value(&mut self, at: &KeyPath, value: &toml_edit::Value) -> Value {
        match value {
            toml_edit::Value::InlineTable(table) => self.table(at, table).into(),
            toml_edit::Value::Array(array) => {
                let values = array.iter().enumerate().map(|(index, value)| {
                    let at = at.index(index);
                    let start = start(value.span());
                    self.entry(&at, start, start, value.is_inline_table());
                    self.value(&at, value)
                });
                values.collect::<Vec<_>>().into()
            }
            toml_edit::Value::String(text) => plain(ValueKind::String(text.value().clone())),
            toml_edit::Value::Integer(number) => plain(ValueKind::I64(*number.value())),
            toml_edit::Value::Float(number) => plain(ValueKind::Float(*number.value())),
            toml_edit::Value::Boolean(value) => plain(ValueKind::Boolean(*value.value())),
            toml_edit::Value::Datetime(time) => plain(ValueKind::String(time.value().to_string())),
        }
    }

    /// Implicit tables have no place of their own; whatever asks for them gets the one above.
    fn entry(&mut self, at: &KeyPath, key: Option<usize>, value: Option<usize>, is_table: bool) {
        let place = |offset| self.lines.position(self.path, offset);
        let (key, value) = (key.map(place), value.map(place));
        let Some(key) = key.or_else(|| value.clone()) else { return };
        let value = value.unwrap_or_else(|| key.clone());
        self.entries.push(KeyPlace { path: at.clone(), key, value, is_table });
    }
}

fn plain(kind: ValueKind) -> Value {
    Value::new(None, kind)
}

fn start(span: Option<Range<usize>>) -> Option<usize> {
    span.map(|span| span.start)
}
