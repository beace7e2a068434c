//! The place of every key in a YAML or JSON file.

use std::collections::HashSet;
use std::path::Path;

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::Marker;

use super::error::ConfigError;
use super::position::{Entry, KeyPath, Origin, Position};

/// Deeper nesting is refused: the `config` crate's parser recurses.
const MAX_DEPTH: usize = 64;

/// Every key of the JSON `text`, parents first, or its syntax error.
pub(super) fn json_entries(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<ConfigError>> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let origin = Origin::File(path.to_owned());
        let position = Position { origin, line: error.line(), column: error.column().max(1) };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        return Err(vec![ConfigError::new(position, KeyPath::root(), message)]);
    }
    // JSON is YAML but for tabs, which JSON allows between tokens only.
    yaml_entries(path, &text.replace('\t', " "))
}

/// Every key of the YAML `text`, parents first, or what is wrong with it. Aliases are refused, as
/// a few of them can stand for any amount of memory.
pub(super) fn yaml_entries(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<ConfigError>> {
    let mut walk = Walk { path, open: Vec::new(), entries: Vec::new(), errors: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, mark) = match parser.next_token() {
            Ok(next) => next,
            Err(error) => {
                walk.fail(*error.marker(), error.info());
                break;
            }
        };
        if matches!(event, Event::StreamEnd) || !walk.event(event, mark) {
            break;
        }
    }
    if walk.errors.is_empty() { Ok(walk.entries) } else { Err(walk.errors) }
}

/// A mapping or sequence that is not closed yet.
enum Open {
    Mapping { at: KeyPath, seen: HashSet<String>, key: Option<(String, Position)> },
    Sequence { at: KeyPath, next: usize },
}

struct Walk<'a> {
    path: &'a Path,
    open: Vec<Open>,
    entries: Vec<Entry>,
    errors: Vec<ConfigError>,
}

impl Walk<'_> {
    /// Takes one event; `false` when there is no sense in going on.
    fn event(&mut self, event: Event, mark: Marker) -> bool {
        match event {
            Event::Alias(_) => {
                self.fail(mark, "anchors and aliases are not supported; write the value out");
                return false;
            }
            Event::Scalar(text, ..) => return self.node(mark, Some(text), false).is_some(),
            Event::MappingStart(..) => {
                let Some(at) = self.node(mark, None, true) else { return false };
                self.open.push(Open::Mapping { at, seen: HashSet::new(), key: None });
            }
            Event::SequenceStart(..) => {
                let Some(at) = self.node(mark, None, false) else { return false };
                self.open.push(Open::Sequence { at, next: 0 });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
            }
            _ => {}
        }
        if self.open.len() > MAX_DEPTH {
            self.fail(mark, format!("expected at most {MAX_DEPTH} levels of nesting"));
            return false;
        }
        true
    }

    /// A node begins: the name of a key (`scalar` where a key is due), a value or an entry.
    /// Returns its path.
    fn node(&mut self, mark: Marker, scalar: Option<String>, is_table: bool) -> Option<KeyPath> {
        let mut place = self.place(mark);
        let (path, key) = match self.open.last_mut() {
            None => return Some(KeyPath::root()),
            Some(Open::Sequence { at, next }) => {
                *next += 1;
                (at.index(*next - 1), place.clone())
            }
            Some(Open::Mapping { at, seen, key }) => match (key.take(), scalar) {
                (Some((name, key)), scalar) => {
                    // A value left out is found only where the next key begins.
                    if scalar.as_deref() == Some("") && place.line > key.line {
                        place = key.clone();
                    }
                    (at.key(name), key)
                }
                (None, Some(name)) => {
                    let path = at.key(name.as_str());
                    let twice = !seen.insert(name.clone());
                    *key = Some((name.clone(), place.clone()));
                    if twice {
                        let message = format!("the key {name} is set twice");
                        self.errors.push(ConfigError::new(place, KeyPath::root(), message));
                    }
                    return Some(path);
                }
                (None, None) => {
                    self.fail(mark, "expected a plain key");
                    return None;
                }
            },
        };
        self.entries.push(Entry { path: path.clone(), key, value: place, is_table });
        Some(path)
    }

    fn place(&self, mark: Marker) -> Position {
        let origin = Origin::File(self.path.to_owned());
        Position { origin, line: mark.line(), column: mark.col() + 1 }
    }

    fn fail(&mut self, mark: Marker, message: impl Into<String>) {
        let position = self.place(mark);
        self.errors.push(ConfigError::new(position, KeyPath::root(), message));
    }
}
