use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{SecretProblem, check, placeholders, references};

/// What a driver's options may look like.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Options {
    user: Option<String>,
    #[schemars(extend("x-secret" = true))]
    password: Option<String>,
    env: std::collections::BTreeMap<String, String>,
    key: Option<Key>,
    logins: Vec<Login>,
    free: Value,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Key {
    #[schemars(extend("x-secret" = true))]
    passphrase: Option<String>,
    next: Option<Box<Key>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
enum Login {
    Token(#[schemars(extend("x-secret" = true))] String),
    Password { user: String },
}

fn schema() -> Value {
    schemars::schema_for!(Options).to_value()
}

fn options(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn found(value: Value) -> Vec<(String, SecretProblem)> {
    let findings = check(&options(value), &schema());
    findings.into_iter().map(|finding| (finding.pointer, finding.problem)).collect()
}

#[test]
fn references_are_found_where_the_schema_says_secret() {
    let value = json!({
        "password": { "env": "A" },
        "key": { "passphrase": { "file": "b" }, "next": { "next": { "passphrase": { "env": "C" } } } },
        "logins": [{ "Token": { "command": ["d"] } }],
        "env": { "LANG": "C", "env": "x" },
    });
    let pointers: Vec<_> = references(&options(value.clone()), &schema())
        .into_iter()
        .map(|(pointer, reference)| format!("{pointer} {reference}"))
        .collect();
    assert_eq!(
        pointers,
        [
            r#"/key/next/next/passphrase { env = "C" }"#,
            r#"/key/passphrase { file = "b" }"#,
            r#"/logins/0/Token { command = ["d"] }"#,
            r#"/password { env = "A" }"#,
        ]
    );
    assert_eq!(found(value), []);
}

#[test]
fn a_table_that_looks_like_a_reference_is_left_alone_where_tables_go() {
    let value =
        json!({ "env": { "env": "prod" }, "free": { "file": "x" }, "unknown": { "env": "x" } });
    assert_eq!(found(value.clone()), []);
    assert_eq!(placeholders(&options(value.clone()), &schema()), options(value));
}

#[test]
fn misplaced_malformed_and_plain_secrets_are_found() {
    let value = json!({
        "user": { "env": "USER" },
        "password": { "environment": "A" },
        "key": { "passphrase": "hunter2" },
        "env": { "LANG": { "env": "LANG" } },
    });
    let expected = [
        ("/env/LANG", SecretProblem::Misplaced),
        ("/key/passphrase", SecretProblem::PlainText),
        ("/password", SecretProblem::Malformed),
        ("/user", SecretProblem::Misplaced),
    ];
    assert_eq!(found(value), expected.map(|(pointer, problem)| (pointer.to_owned(), problem)));
}

#[test]
fn placeholders_stand_for_references_only() {
    let value = json!({ "user": "lab", "password": { "env": "A" }, "env": {}, "logins": [] });
    let shown = placeholders(&options(value), &schema());
    let expected = json!({ "user": "lab", "password": "***", "env": {}, "logins": [] });
    assert_eq!(Value::Object(shown), expected);
}
