//! JSON Schemas of options and parameters: as a table for people, and as the types that a
//! `key=value` may have.

use super::output::table;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::Apply;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// References between parts of a schema are followed this far; a schema may refer to itself.
const MAX_DEPTH: usize = 8;

/// One option or parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) text: String,
    /// What a change of it means while the host runs.
    pub(super) apply: &'static str,
}

/// All properties of an object's schema, those of tables inside it with their dotted names.
pub(super) fn rows(schema: &Value) -> Vec<Row> {
    let mut found = Vec::new();
    collect(schema, schema, &At { prefix: "", depth: 0, apply: None }, &mut found);
    found
}

/// Where in a schema one is.
struct At<'a> {
    prefix: &'a str,
    depth: usize,
    /// What a change of the table means that one is in.
    apply: Option<Apply>,
}

/// How a table of properties looks.
pub(super) struct TableLook {
    /// Heading of the first column.
    pub(super) first: &'static str,
    /// Spaces before each line.
    pub(super) indent: usize,
    /// Whether defaults are shown; results have none.
    pub(super) defaults: bool,
    /// Whether it is shown what a change means while the host runs; only options are changed.
    pub(super) applies: bool,
}

/// The rows as a table with a heading; empty when there are none.
pub(super) fn render(schema: &Value, look: &TableLook, width: Option<usize>) -> String {
    let rows = rows(schema);
    if rows.is_empty() {
        return String::new();
    }
    let head = Row {
        name: look.first.to_owned(),
        kind: "TYPE".to_owned(),
        default: "DEFAULT".to_owned(),
        text: "MEANING".to_owned(),
        apply: "CHANGE",
    };
    let cells = |row: Row| {
        let default = look.defaults.then_some(row.default);
        let apply = look.applies.then(|| row.apply.to_owned());
        [Some(row.name), Some(row.kind), default, apply, Some(row.text)]
            .into_iter()
            .flatten()
            .collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).map(cells).collect();
    table(&rows, look.indent, width)
}

fn collect(root: &Value, schema: &Value, at: &At<'_>, found: &mut Vec<Row>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    if at.depth > MAX_DEPTH {
        return;
    }
    let At { prefix, depth, .. } = *at;
    for (name, property) in properties {
        let parts = alternatives(root, property);
        let full = format!("{prefix}{name}");
        // The text about a table holds for its keys.
        let own = property.get(Apply::KEY).map(|_| Apply::of(schema, name));
        let apply = own.or(at.apply);
        found.push(Row {
            name: full.clone(),
            kind: kind(root, property),
            default: default(schema, name, property),
            text: description(property, &parts),
            apply: apply.unwrap_or_default().as_str(),
        });
        for part in parts.into_iter().filter(|part| part["properties"].is_object()) {
            let at = At { prefix: &format!("{full}."), depth: depth + 1, apply };
            collect(root, part, &at, found);
        }
    }
}

fn default(parent: &Value, name: &str, property: &Value) -> String {
    let required = parent["required"].as_array();
    match &property["default"] {
        _ if required.is_some_and(|names| names.iter().any(|known| known == name)) => {
            "required".to_owned()
        }
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

/// Its own text, or that of the type it refers to.
fn description(property: &Value, parts: &[&Value]) -> String {
    let own = property["description"].as_str();
    let text = own.or_else(|| parts.iter().find_map(|part| part["description"].as_str()));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a schema comes to once references are followed and choices laid out; without `null`.
fn alternatives<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = Vec::new();
    expand(root, schema, 0, &mut found);
    found
}

fn expand<'a>(root: &'a Value, schema: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
    if depth > MAX_DEPTH {
        return;
    }
    let reference = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    let mut below: Vec<&Value> =
        reference.and_then(|path| root.pointer(path)).into_iter().collect();
    for choice in ["anyOf", "oneOf", "allOf"] {
        below.extend(schema[choice].as_array().into_iter().flatten());
    }
    if below.is_empty() {
        if schema["type"] != "null" {
            found.push(schema);
        }
        return;
    }
    for part in below {
        expand(root, part, depth + 1, found);
    }
}

/// The type in words: `boolean`, `a | b`, `list of string`.
pub(super) fn kind(root: &Value, schema: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    for part in alternatives(root, schema) {
        for word in words_of(root, part) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    if words.is_empty() { "any".to_owned() } else { words.join(" | ") }
}

fn words_of(root: &Value, part: &Value) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if part["x-secret"] == true {
        return vec!["secret".to_owned()];
    }
    if let Some(constant) = part.get("const") {
        return vec![plain(constant)];
    }
    if let Some(values) = part["enum"].as_array() {
        return values.iter().filter(|value| !value.is_null()).map(plain).collect();
    }
    let word = |name: &str| match name {
        "array" if part["items"].is_object() => format!("list of {}", kind(root, &part["items"])),
        "array" => "list".to_owned(),
        "object" if part["additionalProperties"].is_object() => {
            format!("table of {}", kind(root, &part["additionalProperties"]))
        }
        "object" => "table".to_owned(),
        "integer" | "number" => format!("{name}{}", range(part)),
        name => name.to_owned(),
    };
    types(part).filter(|name| *name != "null").map(word).collect()
}

/// The limits that say more than the type of the number does.
fn range(part: &Value) -> String {
    let least = part["minimum"].as_i64().filter(|least| *least != 0);
    match (least, part["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!(" {least}..{most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) if !matches!(most, 255 | 65535) => format!(" up to {most}"),
        _ => String::new(),
    }
}

fn types(part: &Value) -> impl Iterator<Item = &str> {
    let several = part["type"].as_array().into_iter().flatten().filter_map(Value::as_str);
    part["type"].as_str().into_iter().chain(several)
}

/// The JSON types that the value at `path` may have; nothing when the schema does not say. A secret
/// may be a text or a table that says where it is kept.
pub(super) fn types_at(root: &Value, path: &[String]) -> BTreeSet<String> {
    let mut here = alternatives(root, root);
    for name in path {
        let below = here.iter().flat_map(|part| {
            let own = part["properties"].get(name);
            own.or_else(|| part.get("additionalProperties").filter(|other| other.is_object()))
        });
        here = below.flat_map(|part| alternatives(root, part)).collect();
    }
    let mut found = BTreeSet::new();
    for part in here {
        if part["x-secret"] == true {
            found.extend(["string".to_owned(), "object".to_owned()]);
        }
        let values = part["enum"].as_array().into_iter().flatten().chain(part.get("const"));
        found.extend(values.map(|value| type_of(value).to_owned()));
        found.extend(types(part).map(str::to_owned));
    }
    found.remove("null");
    found
}

/// The name that JSON Schema has for the type of `value`.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What is wrong with the parameters of an operation, one line each; values stay out.
pub(super) fn check(schema: &Value, params: &Map<String, Value>) -> Vec<String> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("the driver's own schema cannot be used: {error}")],
    };
    let known: Vec<&String> =
        schema["properties"].as_object().map(|known| known.keys().collect()).unwrap_or_default();
    let unknown = |name: &String| {
        let near = did_you_mean(name, known.iter().copied());
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let all: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(" ") };
        format!("unknown parameter {name:?}{hint}; known: {all}")
    };
    let instance = Value::Object(params.clone());
    validator
        .iter_errors(&instance)
        .flat_map(|error| match error.kind() {
            Kind::AdditionalProperties { unexpected } => unexpected.iter().map(unknown).collect(),
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![format!("parameter {name:?} is required")]
            }
            _ => {
                let place = error.instance_path().to_string();
                let place = place.trim_start_matches('/').replace('/', ".");
                vec![format!("parameter {place}: {}", error.masked())]
            }
        })
        .collect()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
