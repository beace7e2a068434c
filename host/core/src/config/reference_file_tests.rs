//! `config/jackfield.toml` and the model say the same.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::tests::repository;
use super::{Config, Overrides, load};

/// The reference file with its examples uncommented.
fn with_examples() -> String {
    let text = fs::read_to_string(repository().join("config/jackfield.toml")).unwrap();
    // `# ` begins prose, `#` alone an example; entries of an example's list are indented by four.
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(example) if example.starts_with("    ") || !example.starts_with(' ') => {
            example.to_owned()
        }
        Some(_) => String::new(),
        None => line.to_owned(),
    };
    text.lines().map(|line| uncomment(line) + "\n").collect()
}

/// The part of the schema that `schema` stands for.
fn target<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    match reference.and_then(|pointer| root.pointer(pointer)) {
        Some(found) => target(root, found),
        None => schema,
    }
}

/// Every key that `schema` has, dotted, with `*` for names and indexes.
fn schema_keys(root: &Value, schema: &Value, at: &str, keys: &mut BTreeSet<String>) {
    let schema = target(root, schema);
    if !schema.is_object() {
        return;
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}{name}");
        keys.insert(path.clone());
        schema_keys(root, below, &format!("{path}."), keys);
    }
    for part in ["anyOf", "allOf"] {
        for schema in schema[part].as_array().into_iter().flatten() {
            schema_keys(root, schema, at, keys);
        }
    }
    for below in [&schema["additionalProperties"], &schema["items"]] {
        schema_keys(root, below, &format!("{at}*."), keys);
    }
}

/// As [`schema_keys`], of a file. What is free (options, labels) counts as one key.
fn file_keys(value: &Value, at: &str, known: &BTreeSet<String>, keys: &mut BTreeSet<String>) {
    let entries: Vec<(&str, &Value)> = match value {
        Value::Object(table) => table.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        Value::Array(list) => list.iter().map(|value| ("*", value)).collect(),
        _ => return,
    };
    for (name, value) in entries {
        let named = format!("{at}{name}");
        let path = if known.contains(&named) { named.clone() } else { format!("{at}*") };
        let is_free = ["options.*", "labels.*", "login.*", "templates.*.*"]
            .iter()
            .any(|free| path.ends_with(free));
        if known.contains(&path) {
            keys.insert(path.clone());
        } else if !is_free && !path.ends_with('*') {
            keys.insert(named);
        }
        if !is_free {
            file_keys(value, &format!("{path}."), known, keys);
        }
    }
}

#[test]
fn the_reference_file_holds_the_defaults() {
    let file = repository().join("config/jackfield.toml");
    let loaded = load(&[file], &Overrides::new()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_reference_file_shows_every_key_and_no_other() {
    let root = schemars::schema_for!(Config).to_value();
    let mut expected = BTreeSet::new();
    schema_keys(&root, &root, "", &mut expected);
    assert!(expected.contains("upstreams.*.targets.*.weight"), "{expected:?}");

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("examples.toml");
    fs::write(&file, with_examples()).unwrap();
    load(std::slice::from_ref(&file), &Overrides::new())
        .unwrap_or_else(|errors| panic!("{errors}"));
    let parsed: Value = ::config::Config::builder()
        .add_source(super::document::read(&file).ok().unwrap().layer)
        .build()
        .and_then(::config::Config::try_deserialize)
        .unwrap();
    let mut shown = BTreeSet::new();
    file_keys(&parsed, "", &expected, &mut shown);
    assert_eq!(shown, expected);
}

/// The uncommented lines spell every default out, so that none is only described.
#[test]
fn the_reference_file_writes_every_default_of_the_fixed_tables() {
    let file = repository().join("config/jackfield.toml");
    let sources = load(&[file], &Overrides::new()).unwrap().sources;
    let root = schemars::schema_for!(Config).to_value();
    let mut keys = BTreeSet::new();
    schema_keys(&root, &root, "", &mut keys);
    let fixed = keys.iter().filter(|key| key.starts_with("host.") || key.starts_with("log."));
    for key in fixed {
        assert!(sources.contains(&key.split('.').collect()), "{key} is not written out");
    }
}

/// A line of the reference file with what a change of its key does behind it; `table` is the one it stands in.
fn with_effect(line: &str, table: &mut Vec<String>) -> String {
    let plain = line.strip_prefix('#').unwrap_or(line);
    let header = plain.strip_prefix('[').map(|rest| rest.trim_matches(['[', ']']));
    if let Some(header) = header.filter(|_| !plain.contains('=')) {
        *table = header.split('.').map(str::to_owned).collect();
        if plain.starts_with("[[") {
            table.push("*".to_owned());
        }
    }
    let Some((key, _)) = plain.split_once(" = ").filter(|(key, _)| !key.contains(' ')) else {
        return line.to_owned();
    };
    let own = line.rsplit_once("  # ").map_or(line, |(own, _)| own);
    // What a change of an option does says its driver.
    if key == "options" || table.first().is_some_and(|table| table == "credentials") {
        return own.to_owned();
    }
    let keys: Vec<String> = table.iter().cloned().chain([key.to_owned()]).collect();
    format!("{own}  # {}", super::diff::effect_at(&keys))
}

#[test]
fn the_reference_file_says_what_a_change_of_each_key_does() {
    let text = fs::read_to_string(repository().join("config/jackfield.toml")).unwrap();
    let mut table = Vec::new();
    for line in text.lines() {
        assert_eq!(line, with_effect(line, &mut table));
    }
}

#[test]
fn the_demo_loads() {
    let file = repository().join("config/demo.toml");
    let config = load(&[file], &Overrides::new()).unwrap().config;
    assert_eq!(config.routes.len(), 3);
}
