use std::fs;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{ResolvedOptions, Resolver};
use crate::secret::SecretRef;

struct Fixture {
    folder: TempDir,
    resolver: Resolver,
}

fn fixture(files: &[(&str, &[u8])]) -> Fixture {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let resolver =
        Resolver { base: folder.path().to_owned(), max_bytes: 64, ..Resolver::default() };
    Fixture { folder, resolver }
}

impl Fixture {
    /// The secret, or the error.
    async fn get(&self, reference: Value) -> String {
        let reference = SecretRef::detect(&reference).unwrap();
        match self.resolver.resolve(&reference).await {
            Ok(secret) => secret.expose().to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test]
async fn secrets_come_from_files_variables_and_programs_without_the_last_newline() {
    let fixture = fixture(&[("a", b"hunter2\n"), ("b", b"two\n\n"), ("c", b"crlf\r\n")]);
    assert_eq!(fixture.get(json!({ "file": "a" })).await, "hunter2");
    assert_eq!(fixture.get(json!({ "file": "b" })).await, "two\n");
    assert_eq!(fixture.get(json!({ "file": "c" })).await, "crlf");
    let absolute = fixture.folder.path().join("a");
    assert_eq!(fixture.get(json!({ "file": absolute })).await, "hunter2");
    let expected = std::env::var("PATH").unwrap();
    let roomy = Resolver::default();
    let path = roomy.resolve(&SecretRef::Env("PATH".into())).await.unwrap();
    assert_eq!(path.expose(), expected);
    assert_eq!(fixture.get(json!({ "command": ["echo", "hunter2"] })).await, "hunter2");
    let silent = json!({ "command": ["sh", "-c", "echo oops >&2; read line; echo got$line"] });
    assert_eq!(fixture.get(silent).await, "got", "no input, and errors are not the secret");
}

#[tokio::test]
async fn failures_name_the_reference_and_the_reason_only() {
    let long = [b'x'; 65];
    let fixture = fixture(&[("long", &long), ("binary", b"\xff"), ("empty", b"\n")]);
    for (reference, expected) in [
        (
            json!({ "env": "JACKFIELD_TEST_UNSET" }),
            r#"the secret { env = "JACKFIELD_TEST_UNSET" } is not set"#,
        ),
        (json!({ "file": "." }), r#"the secret { file = "." } is not a regular file"#),
        (
            json!({ "file": "/dev/zero" }),
            r#"the secret { file = "/dev/zero" } is not a regular file"#,
        ),
        (
            json!({ "file": "none" }),
            r#"the secret { file = "none" } cannot be read: there is no such file"#,
        ),
        (json!({ "file": "long" }), r#"the secret { file = "long" } has more than 64 bytes"#),
        (json!({ "file": "binary" }), r#"the secret { file = "binary" } is not UTF-8 text"#),
        (json!({ "file": "empty" }), r#"the secret { file = "empty" } is empty"#),
        (
            json!({ "command": ["./none"] }),
            r#"the secret { command = ["./none"] } cannot be run: No such file or directory (os error 2)"#,
        ),
        (
            json!({ "command": ["yes"] }),
            r#"the secret { command = ["yes"] } has more than 64 bytes"#,
        ),
        (
            json!({ "command": ["sh", "-c", "echo hunter2; exit 3"] }),
            r#"the secret { command = ["sh", …] } failed: exit status: 3"#,
        ),
    ] {
        assert_eq!(fixture.get(reference).await, expected);
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_given_up() {
    let mut fixture = fixture(&[]);
    fixture.resolver.timeout = Duration::from_millis(20);
    let error = fixture.get(json!({ "command": ["tail", "-f", "/dev/null"] })).await;
    assert_eq!(error, r#"the secret { command = ["tail", …] } took longer than 20ms"#);
}

fn options(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn options_are_resolved_where_the_schema_says_secret() {
    let fixture = fixture(&[("a", b"hunter2\n")]);
    let schema = json!({ "properties": {
        "password": { "type": ["string", "null"], "x-secret": true },
        "env": { "type": "object" },
    } });
    let before = options(json!({ "password": { "file": "a" }, "env": { "file": "a" } }));
    let after = fixture.resolver.resolve_options(&before, &schema).await.unwrap();
    let expected = options(json!({ "password": "hunter2", "env": { "file": "a" } }));
    assert_eq!(after, ResolvedOptions(expected));
    let shown = format!("{after:?} {:?} {}", after.expose_json(), after.expose_json());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(after.expose_json().expose().contains("hunter2"));

    let before = options(json!({ "password": { "file": "none" } }));
    let error = fixture.resolver.resolve_options(&before, &schema).await.unwrap_err();
    assert!(error.to_string().starts_with("/password: the secret { file = \"none\" } cannot"));
}
