use super::{check, rows, types_at};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One of the forms that options take.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// How
    /// it goes.
    mode: Mode,
    port: Option<u16>,
    names: Vec<String>,
    env: BTreeMap<String, String>,
    inner: Inner,
    #[schemars(range(min = 1, max = 9))]
    level: u32,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Documented, which makes schemars write a `oneOf`.
    #[default]
    Fast,
    /// The other.
    VerySlow,
}

/// A table.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Inner {
    deep: bool,
}

fn schema() -> Value {
    schemars::schema_for!(Options).to_value()
}

#[test]
fn every_form_is_shown_with_its_type_and_default() {
    let shown: Vec<_> = rows(&schema())
        .into_iter()
        .map(|row| (row.name, row.kind, row.default, row.text))
        .collect();
    let row = |name: &str, kind: &str, default: &str, text: &str| {
        (name.to_owned(), kind.to_owned(), default.to_owned(), text.to_owned())
    };
    let expected = [
        row("env", "table of string", "{}", ""),
        row("inner", "table", r#"{"deep":false}"#, "A table."),
        row("inner.deep", "boolean", "false", ""),
        row("level", "integer 1..9", "0", ""),
        row("mode", "fast | very_slow", r#""fast""#, "How it goes."),
        row("names", "list of string", "[]", ""),
        row("port", "integer", "-", ""),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn types_are_found_through_references_and_maps() {
    let at = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        types_at(&schema(), &path).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(at(&["port"]), ["integer"]);
    assert_eq!(at(&["mode"]), ["string"]);
    assert_eq!(at(&["env", "LANG"]), ["string"]);
    assert_eq!(at(&["inner", "deep"]), ["boolean"]);
    assert_eq!(at(&["nothing"]), [""; 0]);
    let secret = json!({ "properties": { "key": { "type": "string", "x-secret": true } } });
    assert_eq!(types_at(&secret, &["key".to_owned()]).len(), 2);
}

#[test]
fn parameters_at_fault_are_named_and_their_values_are_not() {
    let schema = json!({
        "properties": { "command": { "type": "string" }, "size": { "type": "integer" } },
        "required": ["command"],
        "additionalProperties": false,
    });
    let params = json!({ "comand": "hunter2", "size": "hunter2" });
    let mut lines = check(&schema, params.as_object().unwrap_or(&serde_json::Map::new()));
    lines.sort();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("parameter \"command\" is required"), "{lines:?}");
    assert!(lines[1].starts_with("parameter size: "), "{lines:?}");
    assert_eq!(
        lines[2],
        "unknown parameter \"comand\" (did you mean \"command\"?); known: command size"
    );
    assert!(!lines.concat().contains("hunter2"));
}
