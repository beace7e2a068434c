//! From a merged tree to [`Config`], with every mistake of shape, not only the first.
//!
//! serde stops at the first mistake. So the part it stopped at is noted and taken out, and the
//! rest is tried again, until nothing is wrong with what is left.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use serde_path_to_error::Segment;

use super::error::ConfigError;
use super::model::Config;
use super::position::{KeyPath, SourceMap};
use crate::nearest::did_you_mean;

/// Mistakes reported at most; nobody reads more at once.
const MAX_ERRORS: usize = 200;

/// The configuration that `tree` holds, without the parts that are wrong, and what is wrong.
///
/// `texts` holds the text of values from outside of files: where a key wants text, `1234` is text.
pub(super) fn deserialize(
    mut tree: Value,
    sources: &SourceMap,
    mut texts: BTreeMap<KeyPath, String>,
) -> (Config, Vec<ConfigError>) {
    let mut errors = Vec::new();
    let mut attempts: HashMap<KeyPath, usize> = HashMap::new();
    loop {
        let failure = match serde_path_to_error::deserialize(&tree) {
            Ok(config) => return (config, errors),
            Err(failure) => failure,
        };
        let path = key_path(failure.path());
        if let Some(text) = texts.remove(&path)
            && let Some(value) = find(&mut tree, path.segments()).filter(|value| !value.is_string())
        {
            *value = Value::String(text);
            continue;
        }
        let attempt = attempts.entry(path.clone()).and_modify(|tried| *tried += 1).or_insert(0);
        if *attempt == 0 {
            errors.push(describe(&failure.inner().to_string(), path.clone(), sources));
        }
        if errors.len() >= MAX_ERRORS || !take_out(&mut tree, &path, *attempt) {
            return (Config::default(), errors);
        }
    }
}

fn key_path(path: &serde_path_to_error::Path) -> KeyPath {
    let names = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    names.collect()
}

fn find<'a>(tree: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |here, name| match here {
        Value::Array(list) => list.get_mut(name.parse::<usize>().ok()?),
        Value::Object(table) => table.get_mut(name),
        _ => None,
    })
}

/// Takes the value at `path` out of `tree`. An entry of a list becomes an empty table, then an
/// empty text, and goes only if both are wrong, since the entries behind it would move up.
fn take_out(tree: &mut Value, path: &KeyPath, attempt: usize) -> bool {
    let Some((name, above)) = path.segments().split_last() else { return false };
    match find(tree, above) {
        Some(Value::Object(table)) => table.remove(name).is_some(),
        Some(Value::Array(list)) => {
            let Some(index) = name.parse().ok().filter(|index: &usize| *index < list.len()) else {
                return false;
            };
            match attempt {
                0 => list[index] = Value::Object(serde_json::Map::new()),
                1 => list[index] = Value::String(String::new()),
                _ => drop(list.remove(index)),
            }
            true
        }
        _ => false,
    }
}

/// Puts serde's sentence into the words of a configuration file, and leaves the value out.
fn describe(text: &str, path: KeyPath, sources: &SourceMap) -> ConfigError {
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    if let (true, Some((name, known))) = (text.starts_with("unknown field"), quoted.split_first()) {
        let near = did_you_mean(name, known.iter().copied());
        let message = match near {
            Some(_) => "unknown key".to_owned(),
            None => format!("unknown key, expected one of {}", known.join(", ")),
        };
        return ConfigError::new(sources.locate_key(&path), path, message).suggest(near);
    }
    let position = sources.locate(&path);
    if let (true, Some((name, known))) = (text.starts_with("unknown variant"), quoted.split_first())
    {
        let choices: Vec<_> = known.iter().map(|choice| format!("{choice:?}")).collect();
        let message = match choices.as_slice() {
            [only] => format!("expected {only}"),
            _ => format!("expected one of {}", choices.join(", ")),
        };
        let near = did_you_mean(name, known.iter().copied());
        return ConfigError::new(position, path, message).suggest(near);
    }
    if let Some((found, expected)) =
        text.strip_prefix("invalid ").and_then(|rest| rest.split_once(", expected "))
    {
        let message = format!("expected {}{}", plain_expected(expected), plain_found(found));
        return ConfigError::new(position, path, message);
    }
    let hint = text.strip_suffix("\"?)").and_then(|rest| rest.split_once(" (did you mean \""));
    let (message, near) = hint.map_or((text, None), |(message, near)| (message, Some(near)));
    ConfigError::new(position, path, message).suggest(near)
}

fn plain_expected(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "a map" => "a table",
        "a sequence" => "a list",
        "string or map" => "text in quotes",
        "a string" => "text in quotes",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// `type: integer `5`` as `, found an integer`.
fn plain_found(found: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("type: integer", ", found a whole number"),
        ("type: floating", ", found a number with a fraction"),
        ("type: boolean", ", found true or false"),
        ("type: string", ", found text"),
        ("type: sequence", ", found a list"),
        ("type: map", ", found a table"),
        ("type: null", ", found nothing"),
        ("type: unit", ", found nothing"),
    ];
    let kind = KINDS.iter().find(|(kind, _)| found.starts_with(kind));
    kind.map(|(_, words)| *words).unwrap_or_default()
}
