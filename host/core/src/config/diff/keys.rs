//! Which keys of an object mean something else, and what their change does.

use super::objects::{ObjectId, ObjectKind};
use super::{Effect, OptionEffects};
use crate::config::model::{
    AdminConfig, ConnectionConfig, CredentialsConfig, DeviceConfig, HandlerConfig, HostConfig,
    InterceptorConfig, LogConfig, PathConfig, PluginConfig, RouteConfig, TracesConfig,
    UpstreamConfig,
};
use crate::config::reload::ReloadOptions;
use crate::config::strict::SCHEMA;
use jackfield_plugin_api::Apply;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The keys down to a value.
type Keys = Vec<String>;

/// The table of a driver's options, whose meaning only the driver knows.
const OPTIONS: &str = "options";

/// Whether two values mean the same.
type Same = fn(&Value, &Value) -> bool;

#[cfg(test)]
thread_local! {
    /// How often two objects were read as a whole.
    static READ_WHOLE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often this thread has read two objects as a whole to compare them.
#[cfg(test)]
pub(crate) fn read_whole() -> usize {
    READ_WHOLE.get()
}

fn same<T: DeserializeOwned + PartialEq>(one: &Value, other: &Value) -> bool {
    #[cfg(test)]
    READ_WHOLE.set(READ_WHOLE.get() + 1);
    let read = |value: &Value| serde_json::from_value::<T>(value.clone());
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// How objects of a kind are compared: as they are read, with defaults.
fn sameness(kind: ObjectKind) -> Same {
    match kind {
        ObjectKind::Include => same::<Vec<String>>,
        ObjectKind::Host => same::<HostConfig>,
        ObjectKind::Log => same::<LogConfig>,
        ObjectKind::Traces => same::<TracesConfig>,
        ObjectKind::Admin => same::<AdminConfig>,
        ObjectKind::Reload => same::<ReloadOptions>,
        ObjectKind::Plugin => same::<PluginConfig>,
        ObjectKind::Credentials => same::<CredentialsConfig>,
        ObjectKind::Interceptor => same::<InterceptorConfig>,
        ObjectKind::Connection => same::<ConnectionConfig>,
        ObjectKind::Device => same::<DeviceConfig>,
        ObjectKind::Path => same::<PathConfig>,
        ObjectKind::Upstream => same::<UpstreamConfig>,
        ObjectKind::Handler => same::<HandlerConfig>,
        ObjectKind::Route => same::<RouteConfig>,
    }
}

/// Whether two objects of a kind mean the same.
pub(super) fn is_same(kind: ObjectKind, one: &Value, other: &Value) -> bool {
    one == other || sameness(kind)(one, other)
}

/// The keys that make `new` mean something else than `old`: those that do so by themselves.
pub(super) fn changed(kind: ObjectKind, old: &Value, new: &Value) -> Vec<Keys> {
    let mut written = Vec::new();
    differing(old, new, &mut Vec::new(), &mut written);
    let same = sameness(kind);
    let matters = |keys: &Keys| {
        let mut mixed = old.clone();
        put(&mut mixed, keys, at(new, keys).cloned());
        !same(old, &mixed)
    };
    let found: Vec<Keys> = written.iter().filter(|keys| matters(keys)).cloned().collect();
    // Together they differ: where none does alone, all of them do.
    if found.is_empty() { written } else { found }
}

/// Where two values are written differently, as far down as both have tables.
fn differing(old: &Value, new: &Value, here: &mut Keys, found: &mut Vec<Keys>) {
    if old == new {
        return;
    }
    let (Value::Object(was), Value::Object(is)) = (old, new) else {
        found.push(here.clone());
        return;
    };
    let none = Value::Object(Map::new());
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        here.push(name.clone());
        match (was.get(name), is.get(name)) {
            (Some(was), Some(is)) => differing(was, is, here, found),
            // Among options, no table and an empty one are the same.
            (Some(was @ Value::Object(table)), None) if free(here) && !table.is_empty() => {
                differing(was, &none, here, found);
            }
            (None, Some(is @ Value::Object(table))) if free(here) && !table.is_empty() => {
                differing(&none, is, here, found);
            }
            _ => found.push(here.clone()),
        }
        here.pop();
    }
}

fn free(keys: &[String]) -> bool {
    keys.first().is_some_and(|key| key == OPTIONS)
}

/// What is at `keys`.
pub(in crate::config) fn at<'a>(value: &'a Value, keys: &[String]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}

/// Sets what is at `keys`, or takes it away.
pub(in crate::config) fn put(value: &mut Value, keys: &[String], new: Option<Value>) {
    let Some((first, rest)) = keys.split_first() else {
        *value = new.unwrap_or_default();
        return;
    };
    let Value::Object(table) = value else { return };
    match (rest.is_empty(), new) {
        (true, Some(new)) => drop(table.insert(first.clone(), new)),
        (true, None) => drop(table.remove(first)),
        (false, new) => {
            let below = table.entry(first.clone()).or_insert_with(|| Map::new().into());
            put(below, rest, new);
        }
    }
}

/// What a change at `keys` of an object does.
pub(super) fn effect_of(
    object: &ObjectId,
    value: &Value,
    keys: &[String],
    effects: &dyn OptionEffects,
) -> Effect {
    if let [first, rest @ ..] = keys
        && first == OPTIONS
        && !rest.is_empty()
    {
        return effects.of_option(object, value, rest);
    }
    let all = ["*".to_owned()];
    let above: Vec<String> = match object.kind {
        ObjectKind::Path => ["devices", "*", "paths", "*"].map(str::to_owned).to_vec(),
        kind if object.name.is_empty() => vec![kind.table().to_owned()],
        kind => [&[kind.table().to_owned()], &all[..]].concat(),
    };
    let keys = [&above[..], keys].concat();
    said(&SCHEMA, &keys).unwrap_or_default()
}

/// What a change of the key at `keys` from the root does, where no driver says it.
#[cfg(test)]
pub(in crate::config) fn effect_at(keys: &[String]) -> Effect {
    said(&SCHEMA, keys).unwrap_or_default()
}

/// What the schema says of the key at `keys`, or else of what it is in.
fn said(schema: &Value, keys: &[String]) -> Option<Effect> {
    let own = schema[Apply::KEY].as_str().and_then(Effect::of_word);
    let Some((first, rest)) = keys.split_first() else { return own };
    let mut plain = Vec::new();
    expand(schema, &mut plain);
    let below = plain.iter().find_map(|schema| {
        let named = schema["properties"].get(first);
        let others = [schema.get("additionalProperties"), schema.get("items")];
        named.or_else(|| others.into_iter().flatten().find(|others| others.is_object()))
    });
    below.and_then(|below| said(below, rest)).or(own)
}

/// A schema without references and alternatives.
fn expand<'a>(schema: &'a Value, plain: &mut Vec<&'a Value>) {
    let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    if let Some(found) = target.and_then(|target| SCHEMA.pointer(target)) {
        return expand(found, plain);
    }
    plain.push(schema);
    let either = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[*key].as_array());
    either.flatten().for_each(|schema| expand(schema, plain));
}

impl Effect {
    fn of_word(word: &str) -> Option<Self> {
        let all = [Effect::None, Effect::Live, Effect::NewSessions, Effect::Drain, Effect::Restart];
        all.into_iter().find(|effect| effect.as_str() == word)
    }

    /// The word in a schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Effect::None => "none",
            Effect::Live => "live",
            Effect::NewSessions => "new_sessions",
            Effect::Drain => "drain",
            Effect::Restart => "restart",
        }
    }
}

impl From<Apply> for Effect {
    fn from(apply: Apply) -> Self {
        Effect::of_word(apply.as_str()).unwrap_or_default()
    }
}

/// Keys below which values may be secret.
const HIDDEN: [&str; 4] = [OPTIONS, "login", "credentials", "secrets"];

/// A value for people, where it can be no secret and holds none: an address may have a password in it.
pub(super) fn shown(kind: ObjectKind, value: &Value, keys: &[String]) -> Option<String> {
    let hidden = keys.iter().any(|key| HIDDEN.contains(&key.as_str()));
    if hidden || kind == ObjectKind::Credentials {
        return None;
    }
    let Some(value) = at(value, keys) else { return Some("default".to_owned()) };
    match value {
        Value::String(text) if !text.contains([':', '@', '\n']) => Some(format!("{text:?}")),
        plain @ (Value::Bool(_) | Value::Number(_)) => Some(plain.to_string()),
        _ => None,
    }
}
