//! Which fields the items of each noun have: by the schemas of what they are made of, so that a field that no item has at
//! this moment is known, too.

use super::problem::ApiProblem;
use crate::connection::ConnectionInfo;
use crate::device::DeviceSnapshot;
use crate::device::lease::LeaseSnapshot;
use crate::manager::{Defined, DefinedBy, HandlerSnapshot, ListenerSnapshot, PluginSnapshot};
use crate::nearest::did_you_mean;
use crate::upstream::{PoolSnapshot, TargetStatus, UpstreamSnapshot};
use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Alternatives within alternatives that are looked at: the schemas have far fewer.
const DEEPEST: usize = 16;

/// The schema of the items of each noun.
static SCHEMAS: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
    BTreeMap::from([
        ("plugins", of::<PluginSnapshot>(&[])),
        ("drivers", drivers()),
        ("connections", of::<Connection>(&[])),
        ("devices", of::<Defined<DeviceSnapshot>>(&[])),
        ("leases", of::<LeaseSnapshot>(&["name"])),
        ("upstreams", of::<Defined<UpstreamSnapshot>>(&[])),
        ("targets", of::<TargetStatus>(&["upstream"])),
        ("pools", of::<PoolSnapshot>(&["upstream", "name"])),
        ("routes", of::<ListenerSnapshot>(&["name"])),
        ("listeners", of::<ListenerSnapshot>(&["name"])),
        ("handlers", of::<HandlerSnapshot>(&[])),
    ])
});

/// A connection, with what a named one has besides.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "nothing but its schema is used")]
struct Connection {
    #[serde(flatten)]
    info: ConnectionInfo,
    defined_by: Option<DefinedBy>,
}

/// With texts that are added where items are shown.
fn of<T: JsonSchema>(added: &[&str]) -> Value {
    let mut schema = schema_for!(T).to_value();
    for name in added {
        schema["properties"][name] = json!({ "type": "string" });
    }
    schema
}

/// What a driver says of itself.
fn drivers() -> Value {
    let texts = ["name", "summary", "kind", "runtime", "query", "description", "plugin", "version"];
    // What is below them is for the driver to say.
    let others = [
        "schemes",
        "roles",
        "facets",
        "options",
        "operations",
        "stream_operations",
        "below",
        "max_sessions",
        "needs_port",
        "tells_client",
    ];
    let texts = texts.map(|name| (name.to_owned(), json!({ "type": "string" })));
    let all = texts.into_iter().chain(others.map(|name| (name.to_owned(), json!(true))));
    json!({ "properties": all.collect::<serde_json::Map<String, Value>>() })
}

/// What stands at a path of fields.
#[derive(Debug)]
pub(super) struct FoundField {
    has_value: bool,
    below: BTreeSet<&'static str>,
}

impl FoundField {
    /// It is a value that can be compared.
    ///
    /// # Errors
    /// It is a table.
    pub(super) fn into_value(self, path: &str) -> Result<(), UnknownField> {
        if self.has_value {
            return Ok(());
        }
        Err(UnknownField { path: path.to_owned(), near: None, known: self.below, is_table: true })
    }
}

/// A field that no item has.
#[derive(Debug)]
pub(super) struct UnknownField {
    path: String,
    near: Option<&'static str>,
    /// What there is in its place, or below it where it is a table.
    known: BTreeSet<&'static str>,
    is_table: bool,
}

impl UnknownField {
    pub(super) fn into_problem(self, parameter: &str) -> ApiProblem {
        let UnknownField { path, near, known, is_table } = self;
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let parent = path.rsplit_once('.').map(|(parent, _)| format!("{parent}."));
        let (before, text) = match (is_table, near) {
            (true, _) => (
                String::new(),
                format!("{path:?} is no value; expected {path}.KEY, with one of {known}"),
            ),
            (false, Some(_)) => (parent.unwrap_or_default(), format!("unknown field {path:?}")),
            (false, None) => {
                (String::new(), format!("unknown field {path:?}; expected one of {known}"))
            }
        };
        let near = near.map(|near| format!("{before}{near}"));
        ApiProblem::of_parameter(parameter, text).near(near.as_deref())
    }
}

/// What stands at a dotted path of the items of a noun.
///
/// # Errors
/// A field that none of them has.
pub(super) fn find(noun: &str, path: &str) -> Result<FoundField, UnknownField> {
    let Some(root) = SCHEMAS.get(noun) else {
        return Ok(FoundField { has_value: true, below: BTreeSet::new() });
    };
    let (mut at, mut known_path) = (parts(root, &[root]), String::new());
    for field in path.split('.') {
        let mut below: Vec<&Value> = Vec::new();
        for part in &at {
            below.extend(part["properties"].get(field));
            let more = if is_free(part) { Some(*part) } else { part.get("additionalProperties") };
            below.extend(more.filter(|more| **more != json!(false)));
        }
        if !known_path.is_empty() {
            known_path.push('.');
        }
        known_path.push_str(field);
        if below.is_empty() {
            let known = keys(&at);
            let near = did_you_mean(field, known.iter().copied());
            return Err(UnknownField { path: known_path, near, known, is_table: false });
        }
        at = parts(root, &below);
    }
    let has_value = at.iter().any(|part| is_free(part) || has_value(part));
    Ok(FoundField { has_value, below: keys(&at) })
}

fn keys(all: &[&'static Value]) -> BTreeSet<&'static str> {
    let tables = all.iter().filter_map(|part| part["properties"].as_object());
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

/// Whether it takes anything.
fn is_free(schema: &Value) -> bool {
    const SHAPES: [&str; 9] = [
        "type",
        "properties",
        "additionalProperties",
        "$ref",
        "anyOf",
        "oneOf",
        "allOf",
        "enum",
        "const",
    ];
    match schema {
        Value::Bool(free) => *free,
        Value::Object(table) => !SHAPES.iter().any(|shape| table.contains_key(*shape)),
        _ => false,
    }
}

/// Whether it takes what is no table, no list and not null.
fn has_value(schema: &Value) -> bool {
    let is_value =
        |kind: &Value| !matches!(kind.as_str(), None | Some("object" | "array" | "null"));
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is_value),
        kind => is_value(kind),
    };
    kinds || schema.get("const").is_some() || schema.get("enum").is_some()
}

/// Schemas with what they refer to, their alternatives, and those of entries of lists.
fn parts(root: &'static Value, schemas: &[&'static Value]) -> Vec<&'static Value> {
    let (mut all, mut fresh) = (Vec::new(), schemas.to_vec());
    for _ in 0..DEEPEST {
        let mut next: Vec<&Value> = Vec::new();
        for schema in &fresh {
            let referred =
                schema["$ref"].as_str().and_then(|at| root.pointer(at.trim_start_matches('#')));
            next.extend(referred);
            next.extend(schema.get("items"));
            for several in ["anyOf", "oneOf", "allOf", "prefixItems"] {
                next.extend(schema[several].as_array().into_iter().flatten());
            }
        }
        all.append(&mut fresh);
        fresh = next;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(noun: &str, path: &str) -> Value {
        find(noun, path).unwrap_err().into_problem("filter").to_json()
    }

    #[test]
    fn fields_are_known_whether_or_not_an_item_has_them() {
        for (noun, path) in [
            ("plugins", "retired.generation"),
            ("plugins", "health.status"),
            ("drivers", "schemes.name"),
            ("connections", "flags.is_encrypted"),
            ("connections", "facts.whatever.it.says"),
            ("connections", "labels.site"),
            ("connections", "listener"),
            ("connections", "defined_by"),
            ("devices", "paths.lease.holder.owner"),
            ("devices", "paths.life.steps.by"),
            ("leases", "last_ended.reason"),
            ("leases", "name"),
            ("upstreams", "targets.pool.closed.idle"),
            ("targets", "upstream"),
            ("pools", "waits"),
            ("routes", "totals.accepted"),
            ("listeners", "local"),
            ("handlers", "defined_by"),
        ] {
            let found =
                find(noun, path).unwrap_or_else(|unknown| panic!("{noun} {path}: {unknown:?}"));
            assert!(found.into_value(path).is_ok(), "{noun} {path}");
        }
    }

    #[test]
    fn a_field_that_no_item_has_is_told_with_the_nearest() {
        for (noun, path, nearest) in [
            ("connections", "stat", json!("state")),
            ("connections", "flags.is_encripted", json!("flags.is_encrypted")),
            ("devices", "paths.leese", json!("paths.lease")),
            ("upstreams", "targets.wieght", json!("targets.weight")),
            ("connections", "zzzzzz", Value::Null),
            ("connections", "id.x", Value::Null),
            ("connections", "", Value::Null),
        ] {
            let body = problem(noun, path);
            assert_eq!(
                (&body["nearest"], &body["parameter"]),
                (&nearest, &json!("filter")),
                "{body}"
            );
        }
        let body = problem("connections", "zzzzzz");
        assert!(body["detail"].as_str().unwrap().contains("bytes_in, bytes_out"), "{body}");
    }

    #[test]
    fn a_table_cannot_be_compared() {
        for (noun, path) in
            [("connections", "flags"), ("upstreams", "targets"), ("connections", "labels")]
        {
            assert!(find(noun, path).unwrap().into_value(path).is_err(), "{noun} {path}");
        }
    }
}
