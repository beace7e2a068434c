//! The place of every key in a TOML file.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, Item, TableLike, Value};

use super::error::ConfigError;
use super::position::{Entry, KeyPath, Lines};

/// Every key of `text`, parents first, or its syntax error.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<ConfigError>> {
    let document = Document::parse(text).map_err(|error| vec![syntax_error(path, text, &error)])?;
    let mut walk = Walk { path, lines: Lines::new(text), entries: Vec::new() };
    walk.table(&KeyPath::root(), document.as_table());
    Ok(walk.entries)
}

fn syntax_error(path: &Path, text: &str, error: &toml_edit::TomlError) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let position = Lines::new(text).position(path, span.start);
    let mut message = error.message().replace('\n', ", ");
    if message == "duplicate key" {
        let name = text.get(span).unwrap_or_default().trim();
        message = format!("the key {name} is set twice");
    }
    ConfigError::new(position, KeyPath::root(), message)
}

struct Walk<'a> {
    path: &'a Path,
    lines: Lines<'a>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn table(&mut self, at: &KeyPath, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = table.get_key_value(name).and_then(|(key, _)| key.span());
            let key = key.map(|span| span.start);
            self.item(&at.key(name), key, item);
        }
    }

    fn item(&mut self, at: &KeyPath, key: Option<usize>, item: &Item) {
        self.entry(at, key, start(item.span()), item.is_table_like());
        match item {
            Item::Table(table) => self.table(at, table),
            Item::Value(value) => self.inside(at, value),
            Item::ArrayOfTables(tables) => {
                for (index, table) in tables.iter().enumerate() {
                    let at = at.index(index);
                    let start = start(table.span());
                    self.entry(&at, start, start, true);
                    self.table(&at, table);
                }
            }
            Item::None => {}
        }
    }

    fn inside(&mut self, at: &KeyPath, value: &Value) {
        match value {
            Value::InlineTable(table) => self.table(at, table),
            Value::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    let at = at.index(index);
                    let start = start(value.span());
                    self.entry(&at, start, start, value.is_inline_table());
                    self.inside(&at, value);
                }
            }
            _ => {}
        }
    }

    /// Implicit tables have no place of their own; whatever asks for them gets the one above.
    fn entry(&mut self, at: &KeyPath, key: Option<usize>, value: Option<usize>, is_table: bool) {
        let place = |offset| self.lines.position(self.path, offset);
        let (key, value) = (key.map(place), value.map(place));
        let Some(key) = key.or_else(|| value.clone()) else { return };
        let value = value.unwrap_or_else(|| key.clone());
        self.entries.push(Entry { path: at.clone(), key, value, is_table });
    }
}

fn start(span: Option<Range<usize>>) -> Option<usize> {
    span.map(|span| span.start)
}
