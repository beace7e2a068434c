//! Where a secret is kept.

use std::fmt;

use serde_json::Value;

/// Where a secret is kept. `Display` shows no argument of a command, as they may be secret too.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `{ env = "NAME" }`: an environment variable of the host.
    Env(String),
    /// `{ file = "PATH" }`: the content of a file.
    File(String),
    /// `{ command = ["PROGRAM", "ARGUMENT"] }`: what a program writes to its standard output.
    Command(Vec<String>),
    /// `{ prompt = "TEXT" }`: what a person types on the terminal of the process, asked for once with that text.
    Prompt(String),
}

impl SecretRef {
    /// The reference that `value` is: a table with exactly one of the four keys, and not empty.
    pub fn detect(value: &Value) -> Option<Self> {
        let table = value.as_object().filter(|table| table.len() == 1)?;
        let (key, value) = table.iter().next()?;
        let text = || value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match key.as_str() {
            "env" => text().map(Self::Env),
            "file" => text().map(Self::File),
            "prompt" => text().map(Self::Prompt),
            "command" => {
                let words = value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
                let words: Vec<_> = words.collect::<Option<_>>()?;
                let named = words.first().is_some_and(|program| !program.is_empty());
                named.then_some(Self::Command(words))
            }
            _ => None,
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env = {name:?} }}"),
            Self::File(path) => write!(f, "{{ file = {path:?} }}"),
            Self::Prompt(text) => write!(f, "{{ prompt = {text:?} }}"),
            Self::Command(words) => match words.as_slice() {
                [program] => write!(f, "{{ command = [{program:?}] }}"),
                [program, ..] => write!(f, "{{ command = [{program:?}, …] }}"),
                [] => f.write_str("{ command = [] }"),
            },
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SecretRef;

    #[test]
    fn exactly_four_shapes_are_references() {
        for (value, shown) in [
            (json!({ "env": "A" }), r#"{ env = "A" }"#),
            (json!({ "file": "~/a" }), r#"{ file = "~/a" }"#),
            (json!({ "prompt": "PIN" }), r#"{ prompt = "PIN" }"#),
            (json!({ "command": ["pass"] }), r#"{ command = ["pass"] }"#),
            (json!({ "command": ["pass", "hunter2"] }), r#"{ command = ["pass", …] }"#),
        ] {
            let reference = SecretRef::detect(&value).unwrap();
            assert_eq!(format!("{reference} {reference:?}"), format!("{shown} {shown}"));
        }
        for value in [
            json!("env"),
            json!({}),
            json!({ "env": "" }),
            json!({ "env": 1 }),
            json!({ "env": { "LANG": "C" } }),
            json!({ "LANG": "C" }),
            json!({ "env": "A", "file": "b" }),
            json!({ "command": "pass" }),
            json!({ "command": [] }),
            json!({ "command": [""] }),
            json!({ "command": ["a", 1] }),
        ] {
            assert_eq!(SecretRef::detect(&value), None, "{value}");
        }
    }
}
