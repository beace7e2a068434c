//! From a merged tree to the structs of the layers, with every mistake of shape, not only the first.
//!
//! The tree is held against the schema that the structs derive: which keys there are, and what kind of value each
//! takes. Texts with a form of their own (durations, URIs, names) are given to their own parsers ([`FORMS`]). What
//! is wrong is noted and taken out, and the rest becomes the structs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ConfigError, ConfigErrors};
use super::forms::{FORMS, TextForm, choices, expected_kind, kind_of};
use super::model::Config;
use super::position::{KeyPath, Position, SourceMap};
use crate::nearest::did_you_mean;

/// Mistakes reported at most: more help no reader.
const MAX_ERRORS: usize = 200;

pub(super) static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| schemars::schema_for!(Config).to_value());

/// The configuration that `tree` holds, and what is wrong; the parts that are wrong are taken out of it.
///
/// `texts` holds the text of values from outside of files: where a key wants text, `1234` is text.
pub(super) fn deserialize(
    tree: &mut Value,
    sources: &SourceMap,
    texts: BTreeMap<KeyPath, String>,
) -> (Config, Vec<ConfigError>) {
    read(&SCHEMA, tree, sources, texts)
}

/// What a program says in JSON, as strictly as a file.
///
/// # Errors
/// Every mistake, each with its key.
pub fn from_json<T: DeserializeOwned + Default + JsonSchema>(
    mut tree: Value,
) -> Result<T, ConfigErrors> {
    let schema = schemars::schema_for!(T).to_value();
    let (value, errors) = read(&schema, &mut tree, &SourceMap::default(), BTreeMap::new());
    if errors.is_empty() { Ok(value) } else { Err(ConfigErrors::new(errors)) }
}

fn read<T: DeserializeOwned + Default>(
    schema: &Value,
    tree: &mut Value,
    sources: &SourceMap,
    texts: BTreeMap<KeyPath, String>,
) -> (T, Vec<ConfigError>) {
    let mut check = ShapeCheck { root: schema, sources, texts, errors: Vec::new() };
    if !check.value(schema, tree, &KeyPath::root()) || check.errors.len() >= MAX_ERRORS {
        return (T::default(), check.errors);
    }
    let mut errors = check.errors;
    let value = serde_path_to_error::deserialize(&*tree).unwrap_or_else(|failure| {
        // The schema and the parsers allow what the struct does not.
        let key: KeyPath = failure.path().iter().map(ToString::to_string).collect();
        let message = failure.inner().to_string();
        errors.push(ConfigError::new(sources.locate(&key), key, message));
        T::default()
    });
    (value, errors)
}

struct ShapeCheck<'a> {
    root: &'a Value,
    sources: &'a SourceMap,
    texts: BTreeMap<KeyPath, String>,
    errors: Vec<ConfigError>,
}

/// What a value may be, when references and alternatives are followed.
#[derive(Default)]
struct Kinds<'a> {
    form: Option<&'static TextForm>,
    /// Schemas without references and alternatives.
    plain: Vec<&'a Value>,
}

impl<'a> ShapeCheck<'a> {
    /// Whether `value` is what `schema` wants, perhaps after mistakes inside it were noted and taken out.
    fn value(&mut self, schema: &'a Value, value: &mut Value, at: &KeyPath) -> bool {
        let errors = self.errors.len();
        if self.fits(schema, value, at) {
            return true;
        }
        // What was set outside of files may be meant as text.
        if !value.is_string()
            && let Some(text) = self.texts.remove(at)
        {
            self.errors.truncate(errors);
            *value = Value::String(text);
            return self.fits(schema, value, at);
        }
        false
    }

    fn fits(&mut self, schema: &'a Value, value: &mut Value, at: &KeyPath) -> bool {
        let mut kinds = Kinds::default();
        self.collect(schema, &mut kinds);
        if let Some(verdict) = kinds.form.and_then(|form| (form.parse)(value)) {
            return verdict.map_err(|message| self.malformed(at, &message)).is_ok();
        }
        let kind = kind_of(value);
        let plain = kinds.plain.iter().find(|schema| expected_kind(schema).takes(value));
        let Some(plain) = plain.copied() else {
            let expected = kinds.form.map(|form| form.expected.to_owned());
            let expected = expected.or_else(|| choices(&kinds.plain).filter(|_| value.is_string()));
            let first = || kinds.plain.first().map(|schema| expected_kind(schema).to_string());
            let expected = expected.or_else(first).unwrap_or_default();
            self.mismatch(at, &kinds.plain, &expected, value, kind);
            return false;
        };
        match value {
            Value::Object(_) => self.table(plain, value, at),
            Value::Array(list) => {
                if let Some(items) = plain.get("items") {
                    self.list(items, list, at);
                }
            }
            _ => {}
        }
        true
    }

    fn collect(&self, schema: &'a Value, kinds: &mut Kinds<'a>) {
        if let Some(target) = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            let name = target.rsplit('/').next().unwrap_or_default();
            let form = FORMS.iter().find(|form| form.schema == name);
            kinds.form = kinds.form.or(form);
            if let Some(found) = self.root.pointer(target) {
                self.collect(found, kinds);
            }
            return;
        }
        let either = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array());
        let before = kinds.plain.len();
        for schema in either.flatten() {
            self.collect(schema, kinds);
        }
        if kinds.plain.len() == before {
            kinds.plain.push(schema);
        }
    }

    /// Looks at each key; those that are not known or wrong are taken out.
    fn table(&mut self, schema: &'a Value, table: &mut Value, at: &KeyPath) {
        let Value::Object(table) = table else { return };
        let known = schema["properties"].as_object();
        let others =
            schema.get("additionalProperties").filter(|others| **others != Value::Bool(false));
        let is_free = others.is_some() || known.is_none();
        let names: Vec<String> = table.keys().cloned().collect();
        for name in names {
            let below = known.and_then(|known| known.get(&name));
            let schema = match below.or(others.filter(|others| others.is_object())) {
                Some(schema) => schema,
                None if is_free => continue,
                None => {
                    self.unknown(&at.key(&name), known.into_iter().flat_map(|known| known.keys()));
                    table.remove(&name);
                    continue;
                }
            };
            if let Some(value) = table.get_mut(&name)
                && !self.value(schema, value, &at.key(&name))
            {
                table.remove(&name);
            }
        }
    }

    /// Looks at each entry. One that is wrong becomes an empty one, so that the others keep their places; where
    /// nothing can be empty it is taken out.
    fn list(&mut self, schema: &'a Value, list: &mut Vec<Value>, at: &KeyPath) {
        let mut kinds = Kinds::default();
        self.collect(schema, &mut kinds);
        let has_form = |value: &Value| {
            kinds.form.and_then(|form| (form.parse)(value)).is_none_or(|verdict| verdict.is_ok())
        };
        let takes = |value: &Value| {
            kinds.plain.iter().any(|schema| expected_kind(schema).takes(value)) && has_form(value)
        };
        let empty = [Value::Object(serde_json::Map::new()), Value::String(String::new())];
        let empty = empty.into_iter().find(takes);
        let mut index = 0;
        list.retain_mut(|value| {
            let fits = self.value(schema, value, &at.index(index));
            index += 1;
            if let (false, Some(empty)) = (fits, &empty) {
                value.clone_from(empty);
            }
            fits || empty.is_some()
        });
    }

    fn unknown<'k>(&mut self, at: &KeyPath, known: impl Iterator<Item = &'k String> + Clone) {
        let name = at.segments().last().map(String::as_str).unwrap_or_default();
        let near = did_you_mean(name, known.clone().map(String::as_str));
        let message = match near {
            Some(_) => "unknown key".to_owned(),
            None => {
                let known: Vec<&str> = known.map(String::as_str).collect();
                format!("unknown key, expected one of {}", known.join(", "))
            }
        };
        self.note(self.sources.locate_key(at), at, message, near.map(str::to_owned));
    }

    /// A text that its parser refuses.
    fn malformed(&mut self, at: &KeyPath, message: &str) {
        let hint =
            message.strip_suffix("\"?)").and_then(|rest| rest.split_once(" (did you mean \""));
        let (message, near) = hint.map_or((message, None), |(message, near)| (message, Some(near)));
        let near = near.map(str::to_owned);
        self.note(self.sources.locate(at), at, message.to_owned(), near);
    }

    fn mismatch(
        &mut self,
        at: &KeyPath,
        plain: &[&Value],
        expected: &str,
        value: &Value,
        found: &str,
    ) {
        let position = self.sources.locate(at);
        let names = plain.iter().filter_map(|schema| schema["const"].as_str());
        let listed = plain.iter().filter_map(|schema| schema["enum"].as_array()).flatten();
        let names = names.chain(listed.filter_map(Value::as_str));
        let near = value.as_str().and_then(|text| did_you_mean(text, names));
        let of_kind = plain.iter().any(|schema| expected_kind(schema).is_kind(value));
        let found = if of_kind { "" } else { found };
        self.note(position, at, format!("expected {expected}{found}"), near.map(str::to_owned));
    }

    fn note(&mut self, position: Position, at: &KeyPath, message: String, near: Option<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(ConfigError::new(position, at.clone(), message).suggest(near));
        }
    }
}

#[cfg(test)]
#[path = "strict_tests.rs"]
mod tests;
