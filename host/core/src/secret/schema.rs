//! Which options are secret, as a driver's JSON Schema says.

use serde_json::{Map, Value};

use super::reference::SecretRef;

/// What is wrong with one option, as far as secrets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFinding {
    /// Where, as a JSON pointer (RFC 6901) into the options.
    pub pointer: String,
    /// What is wrong.
    pub problem: SecretProblem,
}

/// What can be wrong about a secret option. `Display` says it in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// An error: a reference where the driver takes no secret, nor a table.
    #[error("this option is no secret and takes no {{ env, file, command or prompt }}")]
    Misplaced,
    /// An error: a table where a secret goes, that is no reference.
    #[error(
        "expected a text, {{ env = \"NAME\" }}, {{ file = \"PATH\" }}, {{ command = [\"PROGRAM\"] }} or {{ prompt = \"TEXT\" }}"
    )]
    Malformed,
    /// A warning: the secret itself.
    #[error(
        "a secret in plain text; prefer {{ env = \"NAME\" }}, {{ file = \"PATH\" }}, {{ command = [\"PROGRAM\"] }} or {{ prompt = \"TEXT\" }}"
    )]
    PlainText,
}

impl SecretProblem {
    /// Whether the options can be used all the same.
    pub fn is_warning(self) -> bool {
        self == Self::PlainText
    }
}

/// What is wrong with the secrets in `options`, by the driver's `schema`.
pub fn check(options: &Map<String, Value>, schema: &Value) -> Vec<SecretFinding> {
    let mut findings = Vec::new();
    each(options, schema, &mut |site| {
        let reference = SecretRef::detect(site.value).is_some();
        let problem = match (site.is_secret, site.value) {
            (true, Value::String(_)) => SecretProblem::PlainText,
            (true, Value::Object(_)) if !reference => SecretProblem::Malformed,
            (false, _) if reference && !site.takes_table => SecretProblem::Misplaced,
            _ => return,
        };
        findings.push(SecretFinding { pointer: site.pointer.to_owned(), problem });
    });
    findings
}

/// A copy of `options` with `"***"` for each reference to a secret, to hold against `schema`: the
/// schema describes the options once secrets are known.
pub fn placeholders(options: &Map<String, Value>, schema: &Value) -> Map<String, Value> {
    let mut copy = Value::Object(options.clone());
    for (pointer, _) in references(options, schema) {
        if let Some(value) = copy.pointer_mut(&pointer) {
            *value = Value::String("***".to_owned());
        }
    }
    match copy {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Every reference at a place where `schema` wants a secret, with its JSON pointer.
pub(super) fn references(options: &Map<String, Value>, schema: &Value) -> Vec<(String, SecretRef)> {
    let mut found = Vec::new();
    each(options, schema, &mut |site| {
        if let Some(reference) = SecretRef::detect(site.value).filter(|_| site.is_secret) {
            found.push((site.pointer.to_owned(), reference));
        }
    });
    found
}

/// Where in `options` a program is to be run for a secret, as JSON pointers.
pub fn programs(options: &Map<String, Value>, schema: &Value) -> Vec<String> {
    let found = references(options, schema).into_iter();
    let programs = found.filter(|(_, reference)| matches!(reference, SecretRef::Command(_)));
    programs.map(|(pointer, _)| pointer).collect()
}

/// One value in the options.
struct Site<'a> {
    pointer: &'a str,
    value: &'a Value,
    is_secret: bool,
    takes_table: bool,
}

fn each(options: &Map<String, Value>, schema: &Value, visit: &mut dyn FnMut(&Site<'_>)) {
    let walk = Walk { root: schema };
    let mut schemas = Vec::new();
    walk.expand(schema, 0, &mut schemas);
    for (key, value) in options {
        walk.value(&format!("/{}", escape(key)), value, &walk.below(&schemas, key), visit);
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// References between parts of a schema are followed this far; a schema may refer to itself.
const MAX_REFERENCES: usize = 16;

struct Walk<'a> {
    root: &'a Value,
}

impl<'a> Walk<'a> {
    fn value(
        &self,
        pointer: &str,
        value: &Value,
        schemas: &[&'a Value],
        visit: &mut dyn FnMut(&Site<'_>),
    ) {
        let is_secret = schemas.iter().any(|schema| schema["x-secret"] == true);
        // A schema without a word on a value does not refuse it: unknown keys are refused by their names.
        let takes_table = schemas.iter().any(|schema| takes_table(schema)) || schemas.is_empty();
        visit(&Site { pointer, value, is_secret, takes_table });
        if is_secret {
            return;
        }
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let below = format!("{pointer}/{}", escape(key));
                    self.value(&below, value, &self.below(schemas, key), visit);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    let items = self.items(schemas, index);
                    self.value(&format!("{pointer}/{index}"), value, &items, visit);
                }
            }
            _ => {}
        }
    }

    /// What `schemas` say about the key `key`.
    fn below(&self, schemas: &[&'a Value], key: &str) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for schema in schemas {
            let named = schema.get("properties").and_then(|properties| properties.get(key));
            if let Some(below) = named.or_else(|| schema.get("additionalProperties")) {
                self.expand(below, 0, &mut found);
            }
        }
        found
    }

    /// What `schemas` say about the entry `index`.
    fn items(&self, schemas: &[&'a Value], index: usize) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for schema in schemas {
            let own = schema.get("prefixItems").and_then(|items| items.get(index));
            if let Some(items) = own.or_else(|| schema.get("items")) {
                self.expand(items, 0, &mut found);
            }
        }
        found
    }

    /// `schema` and every schema it is made of: references and alternatives.
    fn expand(&self, schema: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
        if depth > MAX_REFERENCES || !schema.is_object() {
            return;
        }
        found.push(schema);
        let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        if let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) {
            self.expand(target, depth + 1, found);
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            for part in schema[name].as_array().into_iter().flatten() {
                self.expand(part, depth + 1, found);
            }
        }
    }
}

fn takes_table(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "object",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
        _ => schema.get("properties").is_some() || schema.get("additionalProperties").is_some(),
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
