//! `key=value` on the command line, with the type that a schema gives to the key.
//!
//! Where the schema wants text, the value is taken as it is, quotes included. Elsewhere it is read
//! as TOML: `4`, `true`, `["a", "b"]`, `{ env = "NAME" }`. A key of a list may be repeated, each
//! time with one entry. Values are never shown: they may be secret.

use super::failure::{Failure, Outcome};
use super::schema::{type_of, types_at};
use crate::driver::Registry;
use crate::stack::Plan;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::Role;
use serde_json::{Map, Number, Value};

/// One of them.
pub(super) struct Assignment {
    /// The key, which may be dotted.
    pub(super) path: Vec<String>,
    text: String,
}

impl Assignment {
    /// Takes `text`, which was given to `flag`, apart.
    pub(super) fn parse(flag: &str, text: &str) -> Outcome<Self> {
        let wrong = |what: &str| Failure::config(format!("{flag}: expected {what}"));
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("KEY=VALUE"))?;
        let names =
            toml_edit::Key::parse(key.trim()).map_err(|_| wrong("a dotted key before ="))?;
        let path = names.iter().map(|name| name.get().to_owned()).collect();
        Ok(Assignment { path, text: value.to_owned() })
    }

    /// The value, as `schema` wants it at `path`.
    fn value(&self, schema: &Value, path: &[String]) -> Value {
        let types = types_at(schema, path);
        let plain = || Value::String(self.text.clone());
        let Some(parsed) = toml(&self.text) else { return plain() };
        let fits = types.contains(type_of(&parsed))
            || (parsed.is_i64() || parsed.is_u64()) && types.contains("number");
        if types.contains("string") && (parsed.is_string() || !fits) { plain() } else { parsed }
    }

    /// Puts the value into `into`.
    fn put(&self, schema: &Value, path: &[String], into: &mut Map<String, Value>) {
        let mut value = self.value(schema, path);
        let types = types_at(schema, path);
        let is_list = types.contains("array") && !types.contains("string");
        let (Some(last), above) = (self.path.last(), self.path.len().saturating_sub(1)) else {
            return;
        };
        let mut here = into;
        for name in &self.path[..above] {
            let below = here.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            let Value::Object(table) = below else { return };
            here = table;
        }
        if is_list && !value.is_array() {
            let mut list = match here.remove(last) {
                Some(Value::Array(list)) => list,
                _ => Vec::new(),
            };
            list.push(value);
            value = Value::Array(list);
        }
        here.insert(last.clone(), value);
    }
}

/// Parameters of an operation.
pub(super) fn params(schema: &Value, assignments: &[Assignment]) -> Map<String, Value> {
    let mut params = Map::new();
    for assignment in assignments {
        assignment.put(schema, &assignment.path, &mut params);
    }
    params
}

/// Options of the stack that `uri` means: those of `json`, and `assignments` over them.
pub(super) fn options(
    registry: &Registry,
    uri: &StackUri,
    role: Role,
    json: Map<String, Value>,
    assignments: &[Assignment],
) -> Outcome<Map<String, Value>> {
    let plan = Plan::new(uri, registry, role, false).map_err(Failure::config)?;
    let mut options = json;
    for assignment in assignments {
        let (schema, path) = place(&plan, &assignment.path);
        assignment.put(schema, path, &mut options);
    }
    Ok(options)
}

/// Whose option a key is: a layer's below the top when its first name is that layer's.
fn place<'a>(plan: &'a Plan, path: &'a [String]) -> (&'a Value, &'a [String]) {
    let top = plan.layers.first().map_or(&Value::Null, |layer| &layer.manifest.options);
    let Some((first, rest)) = path.split_first() else { return (top, path) };
    if top["properties"].get(first).is_some() || rest.is_empty() {
        return (top, path);
    }
    let layer = plan.layers.iter().skip(1).find(|layer| layer.name() == first);
    layer.map_or((top, path), |layer| (&layer.manifest.options, rest))
}

/// `text` as a TOML value.
fn toml(text: &str) -> Option<Value> {
    text.trim().parse::<toml_edit::Value>().ok().and_then(|value| json(&value))
}

fn json(value: &toml_edit::Value) -> Option<Value> {
    Some(match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Number((*number.value()).into()),
        toml_edit::Value::Float(number) => Value::Number(Number::from_f64(*number.value())?),
        toml_edit::Value::Boolean(flag) => Value::Bool(*flag.value()),
        toml_edit::Value::Datetime(_) => return None,
        toml_edit::Value::Array(list) => list.iter().map(json).collect::<Option<_>>()?,
        toml_edit::Value::InlineTable(table) => {
            let pairs = table.iter().map(|(key, value)| Some((key.to_owned(), json(value)?)));
            Value::Object(pairs.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Assignment, params};
    use serde_json::{Value, json};

    fn typed(texts: &[&str]) -> Value {
        let schema = json!({ "properties": {
            "text": { "type": "string" },
            "number": { "type": ["integer", "null"] },
            "share": { "type": "number" },
            "flag": { "type": "boolean" },
            "list": { "type": "array", "items": { "type": "string" } },
            "secret": { "type": "string", "x-secret": true },
            "table": { "type": "object", "additionalProperties": { "type": "string" } },
        }});
        let assignments: Vec<Assignment> =
            texts.iter().filter_map(|text| Assignment::parse("-o", text).ok()).collect();
        assert_eq!(assignments.len(), texts.len());
        Value::Object(params(&schema, &assignments))
    }

    #[test]
    fn the_schema_decides_what_a_text_means() {
        assert_eq!(typed(&["text=12", "number=12"]), json!({ "text": "12", "number": 12 }));
        assert_eq!(typed(&["text=\"quoted\""]), json!({ "text": "\"quoted\"" }));
        assert_eq!(typed(&["text=a=b"]), json!({ "text": "a=b" }));
        assert_eq!(typed(&["flag=true", "share=2"]), json!({ "flag": true, "share": 2 }));
        assert_eq!(typed(&["table.LANG=1"]), json!({ "table": { "LANG": "1" } }));
        assert_eq!(typed(&["list=a", "list=b"]), json!({ "list": ["a", "b"] }));
        assert_eq!(typed(&["list=[\"a\", \"b\"]"]), json!({ "list": ["a", "b"] }));
        assert_eq!(typed(&["secret={ env = \"X\" }"]), json!({ "secret": { "env": "X" } }));
        assert_eq!(typed(&["secret=1234"]), json!({ "secret": "1234" }));
        assert_eq!(typed(&["unknown=1", "other=x y"]), json!({ "unknown": 1, "other": "x y" }));
    }

    #[test]
    fn what_is_no_assignment_is_not_repeated_in_the_error() {
        let failure = Assignment::parse("-o", "hunter2").err().map(|error| format!("{error:?}"));
        assert!(
            failure.is_some_and(|text| text.contains("KEY=VALUE") && !text.contains("hunter2"))
        );
    }
}
