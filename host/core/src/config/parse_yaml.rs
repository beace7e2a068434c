//! A YAML or JSON file: its values, and the place of every key, from one walk over the parser's events.

use std::path::Path;

use ::config::{Map, Value, ValueKind};
use yaml_rust2::parser::{Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};
use yaml_rust2::{Event, Yaml};

use super::document::Parsed;
use super::error::ConfigError;
use super::position::{KeyPath, KeyPlace, Origin, Position};

/// Deeper nesting is refused, so that no file can fill the stack of what reads it.
const MAX_DEPTH: usize = 64;

/// The JSON file `path`, whose content is `text`, or its syntax error.
pub(super) fn parse_json(path: &Path, text: &str) -> Result<Parsed, Vec<ConfigError>> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let origin = Origin::File(path.to_owned());
        let position = Position { origin, line: error.line(), column: error.column().max(1) };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        return Err(vec![ConfigError::new(position, KeyPath::root(), message)]);
    }
    // JSON is YAML but for tabs, which JSON allows between tokens only.
    parse_yaml(path, &text.replace('\t', " "))
}

/// The YAML file `path`, whose content is `text`, or what is wrong with it. Aliases are refused, as
/// a few of them can stand for any amount of memory.
pub(super) fn parse_yaml(path: &Path, text: &str) -> Result<Parsed, Vec<ConfigError>> {
    let mut walk = YamlWalk {
        path,
        open: Vec::new(),
        entries: Vec::new(),
        errors: Vec::new(),
        documents: 0,
        root: None,
    };
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
    if !walk.errors.is_empty() {
        return Err(walk.errors);
    }
    match walk.root.map(|root| root.kind) {
        None => Ok(Parsed { values: Map::new(), entries: walk.entries }),
        Some(ValueKind::Table(values)) => Ok(Parsed { values, entries: walk.entries }),
        Some(_) => {
            let position = Position { origin: Origin::File(path.to_owned()), line: 1, column: 1 };
            let message = "expected a table of keys and values";
            Err(vec![ConfigError::new(position, KeyPath::root(), message)])
        }
    }
}

/// A mapping or sequence that is not closed yet.
enum Open {
    /// The key whose value comes next, with its place.
    Mapping {
        at: KeyPath,
        values: Map<String, Value>,
        key: Option<(String, Position)>,
    },
    Sequence {
        at: KeyPath,
        values: Vec<Value>,
    },
}

struct YamlWalk<'a> {
    path: &'a Path,
    open: Vec<Open>,
    entries: Vec<KeyPlace>,
    errors: Vec<ConfigError>,
    documents: usize,
    root: Option<Value>,
}

impl YamlWalk<'_> {
    /// Takes one event; `false` when there is no sense in going on.
    fn event(&mut self, event: Event, mark: Marker) -> bool {
        match event {
            Event::Alias(_) => {
                self.fail(mark, "anchors and aliases are not supported; write the value out");
                return false;
            }
            Event::DocumentStart => {
                self.documents += 1;
                if self.documents > 1 {
                    self.fail(mark, "expected one document");
                    return false;
                }
            }
            Event::Scalar(text, style, _, tag) => {
                return self.scalar(mark, text, style, tag.as_ref());
            }
            Event::MappingStart(..) => {
                let Some(at) = self.value_at(mark, None, true) else { return false };
                self.open.push(Open::Mapping { at, values: Map::new(), key: None });
            }
            Event::SequenceStart(..) => {
                let Some(at) = self.value_at(mark, None, false) else { return false };
                self.open.push(Open::Sequence { at, values: Vec::new() });
            }
            Event::MappingEnd | Event::SequenceEnd => match self.open.pop() {
                Some(Open::Mapping { at, values, .. }) => self.put(&at, values.into()),
                Some(Open::Sequence { at, values }) => self.put(&at, values.into()),
                None => {}
            },
            _ => {}
        }
        if self.open.len() > MAX_DEPTH {
            self.fail(mark, format!("expected at most {MAX_DEPTH} levels of nesting"));
            return false;
        }
        true
    }

    /// The name of a key, where one is due, or a value.
    fn scalar(
        &mut self,
        mark: Marker,
        text: String,
        style: TScalarStyle,
        tag: Option<&Tag>,
    ) -> bool {
        let place = self.place(mark);
        if let Some(Open::Mapping { values, key: key @ None, .. }) = self.open.last_mut() {
            let is_twice = values.contains_key(&text);
            *key = Some((text.clone(), place.clone()));
            if is_twice {
                let message = format!("the key {text} is set twice");
                self.errors.push(ConfigError::new(place, KeyPath::root(), message));
            }
            return true;
        }
        let Some(at) = self.value_at(mark, Some(&text), false) else { return false };
        self.put(&at, scalar(text, style, tag));
        true
    }

    /// Notes the place of a value that begins; `scalar` is its text, if it is one. Returns its path.
    fn value_at(&mut self, mark: Marker, scalar: Option<&str>, is_table: bool) -> Option<KeyPath> {
        let mut place = self.place(mark);
        let (path, key) = match self.open.last() {
            None => return Some(KeyPath::root()),
            Some(Open::Sequence { at, values }) => (at.index(values.len()), place.clone()),
            Some(Open::Mapping { at, key: Some((name, key)), .. }) => {
                // A value left out is found only where the next key begins.
                if scalar == Some("") && place.line > key.line {
                    place = key.clone();
                }
                (at.key(name.as_str()), key.clone())
            }
            Some(Open::Mapping { key: None, .. }) => {
                self.fail(mark, "expected a plain key");
                return None;
            }
        };
        self.entries.push(KeyPlace { path: path.clone(), key, value: place, is_table });
        Some(path)
    }

    /// Puts a value that is whole where it belongs.
    fn put(&mut self, at: &KeyPath, value: Value) {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::Sequence { values, .. }) => values.push(value),
            Some(Open::Mapping { values, key, .. }) => {
                *key = None;
                if let Some(name) = at.segments().last() {
                    values.insert(name.clone(), value);
                }
            }
        }
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

/// A scalar by its style and tag (YAML 1.2, section 10.3): quoted it is text.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = |tag: &&Tag| !["bool", "int", "float", "null"].contains(&tag.suffix.as_str());
    let kind = if style != TScalarStyle::Plain || tag.filter(is_text).is_some() {
        ValueKind::String(text)
    } else {
        match Yaml::from_str(&text) {
            Yaml::Integer(number) => ValueKind::I64(number),
            Yaml::Boolean(value) => ValueKind::Boolean(value),
            Yaml::Null => ValueKind::Nil,
            Yaml::Real(number) => match Yaml::Real(number).as_f64() {
                Some(number) => ValueKind::Float(number),
                None => ValueKind::String(text),
            },
            _ => ValueKind::String(text),
        }
    };
    Value::new(None, kind)
}
