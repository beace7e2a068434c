//! The objects of a configuration, each with what is written of it.

use crate::config::{Config, KeyPath, Link, Loaded};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `include`.
    Include,
    /// `[host]`.
    Host,
    /// `[log]`.
    Log,
    /// `[traces]`.
    Traces,
    /// `[admin]`.
    Admin,
    /// `[reload]`.
    Reload,
    /// `[plugins.NAME]`.
    Plugin,
    /// `[credentials.NAME]`.
    Credentials,
    /// `[interceptors.NAME]`.
    Interceptor,
    /// `[connections.NAME]`.
    Connection,
    /// `[devices.NAME]`, but for its paths and what it says for them.
    Device,
    /// `[devices.NAME.paths.PATH]`, with what its device says for it. Its name is `NAME.PATH`.
    Path,
    /// `[upstreams.NAME]`.
    Upstream,
    /// `[handlers.NAME]`.
    Handler,
    /// `[[routes]]`. Its name is what it listens on; a second one there is `LISTEN #2`.
    Route,
}

impl ObjectKind {
    /// The table of its objects; the kinds that are there once have their key.
    pub fn table(self) -> &'static str {
        match self {
            ObjectKind::Include => "include",
            ObjectKind::Host => "host",
            ObjectKind::Log => "log",
            ObjectKind::Traces => "traces",
            ObjectKind::Admin => "admin",
            ObjectKind::Reload => "reload",
            ObjectKind::Plugin => "plugins",
            ObjectKind::Credentials => "credentials",
            ObjectKind::Interceptor => "interceptors",
            ObjectKind::Connection => "connections",
            ObjectKind::Device | ObjectKind::Path => "devices",
            ObjectKind::Upstream => "upstreams",
            ObjectKind::Handler => "handlers",
            ObjectKind::Route => "routes",
        }
    }

    /// Whether it is of the process as a whole: keys of it may be such that only a restart takes them over.
    pub fn is_of_process(self) -> bool {
        matches!(self, ObjectKind::Host | ObjectKind::Log | ObjectKind::Admin | ObjectKind::Plugin)
    }
}

/// An object: its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name; empty for what is there once.
    pub name: String,
}

impl ObjectId {
    /// The object of that kind and name.
    pub fn new(kind: ObjectKind, name: impl Into<String>) -> Self {
        ObjectId { kind, name: name.into() }
    }

    /// The object that `Display` writes so, of those that have names.
    pub fn parse(text: &str) -> Option<Self> {
        let (table, name) = text.split_once('.')?;
        let kind = match table {
            "devices" if name.contains('.') => ObjectKind::Path,
            "devices" => ObjectKind::Device,
            "routes" => ObjectKind::Route,
            table => NAMED.into_iter().find(|kind| kind.table() == table)?,
        };
        Some(ObjectId::new(kind, name))
    }

    /// A path of a device.
    pub fn path(device: &str, path: &str) -> Self {
        ObjectId::new(ObjectKind::Path, format!("{device}.{path}"))
    }

    /// What a route may listen on, whose id this is: one of several there has a number besides.
    pub(crate) fn listen(&self) -> impl Iterator<Item = &str> {
        let before = self.name.rsplit_once(" #").map(|(listen, _)| listen);
        std::iter::once(self.name.as_str()).chain(before)
    }

    /// The ids of the routes of a configuration, in their order.
    pub(crate) fn of_routes(config: &Config) -> Vec<Self> {
        Self::routes(config.routes.iter().map(|route| route.listen.to_string()))
    }

    /// The ids of routes that listen on these, in this order.
    pub fn routes(listen: impl IntoIterator<Item = String>) -> Vec<Self> {
        let listen: Vec<String> = listen.into_iter().collect();
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(listen.len());
        let mut number = |listen| {
            let count = seen.entry(listen).or_default();
            *count += 1;
            *count
        };
        let numbers: Vec<usize> = listen.iter().map(|listen| number(listen.as_str())).collect();
        let numbered = listen.into_iter().zip(numbers).map(|(listen, number)| match number {
            1 => ObjectId::new(ObjectKind::Route, listen),
            number => ObjectId::new(ObjectKind::Route, format!("{listen} #{number}")),
        });
        numbered.collect()
    }
}

impl From<Link<'_>> for ObjectId {
    fn from(link: Link<'_>) -> Self {
        match link {
            Link::Connection(name) => ObjectId::new(ObjectKind::Connection, name),
            Link::Path(device, path) => ObjectId::path(device, path),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.table())?;
        if self.name.is_empty() { Ok(()) } else { write!(f, ".{}", self.name) }
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is written of an object. Nothing is copied but what a device says for its paths: a configuration may have
/// thousands of objects, of which a change is of one.
pub(super) struct ObjectAt<'a> {
    pub(super) value: Cow<'a, Value>,
    /// The number of a route in its list.
    index: Option<usize>,
}

impl<'a> ObjectAt<'a> {
    fn of(value: &'a Value) -> Self {
        ObjectAt { value: Cow::Borrowed(value), index: None }
    }

    fn made(value: Value) -> Self {
        ObjectAt { value: Cow::Owned(value), index: None }
    }

    /// Where it is written, if it is `object`.
    pub(super) fn place(&self, object: &ObjectId) -> KeyPath {
        let (table, name) = (object.kind.table(), object.name.as_str());
        match (object.kind, self.index, name.split_once('.')) {
            (ObjectKind::Route, Some(index), _) => KeyPath::from_iter([table]).index(index),
            (ObjectKind::Path, _, Some((device, path))) => {
                KeyPath::from_iter([table, device, "paths", path])
            }
            _ if name.is_empty() => KeyPath::from_iter([table]),
            _ => KeyPath::from_iter([table, name]),
        }
    }
}

/// Tables whose entries are objects as they are.
const NAMED: [ObjectKind; 6] = [
    ObjectKind::Plugin,
    ObjectKind::Credentials,
    ObjectKind::Interceptor,
    ObjectKind::Connection,
    ObjectKind::Upstream,
    ObjectKind::Handler,
];

/// Keys of a device that are meant for its paths: those that are values, and those that are merged.
const OF_PATHS: [&str; 4] = ["uri", "keepalive", "reconnect", "credentials"];
const MERGED: [&str; 2] = ["options", "login"];

/// All objects of a configuration, each once. Of two configurations those that both have come mostly in one order.
pub(super) fn each(loaded: &Loaded) -> Vec<(Cow<'_, ObjectId>, ObjectAt<'_>)> {
    let tree = &loaded.tree;
    let mut all = Vec::with_capacity(loaded.route_ids().len());
    let once = [
        ObjectKind::Host,
        ObjectKind::Log,
        ObjectKind::Traces,
        ObjectKind::Admin,
        ObjectKind::Reload,
    ];
    let once = once.into_iter().map(|kind| (kind, Value::Object(Map::new())));
    for (kind, none) in once.chain([(ObjectKind::Include, Value::Array(Vec::new()))]) {
        let written = tree.get(kind.table()).map(ObjectAt::of);
        let there = written.unwrap_or_else(|| ObjectAt::made(none));
        all.push((Cow::Owned(ObjectId::new(kind, "")), there));
    }
    for kind in NAMED {
        for (name, value) in table(tree.get(kind.table())) {
            all.push((Cow::Owned(ObjectId::new(kind, name)), ObjectAt::of(value)));
        }
    }
    for (name, device) in table(tree.get("devices")) {
        device_objects(name, device, &mut all);
    }
    let written = tree.get("routes").and_then(Value::as_array).into_iter().flatten();
    for (index, (id, value)) in loaded.route_ids().iter().zip(written).enumerate() {
        all.push((Cow::Borrowed(id), ObjectAt { index: Some(index), ..ObjectAt::of(value) }));
    }
    all
}

fn table(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn device_objects<'a>(
    name: &str,
    device: &'a Value,
    all: &mut Vec<(Cow<'a, ObjectId>, ObjectAt<'a>)>,
) {
    for (path, own) in table(device.get("paths")) {
        let mut value = own.clone();
        if let Value::Object(keys) = &mut value {
            inherit(keys, device);
        }
        all.push((Cow::Owned(ObjectId::path(name, path)), ObjectAt::made(value)));
    }
    let mut value = device.clone();
    if let Value::Object(keys) = &mut value {
        keys.retain(|key, _| {
            key != "paths" && !OF_PATHS.contains(&key.as_str()) && !MERGED.contains(&key.as_str())
        });
    }
    all.push((Cow::Owned(ObjectId::new(ObjectKind::Device, name)), ObjectAt::made(value)));
}

/// Gives a path what its device says for all.
fn inherit(path: &mut Map<String, Value>, device: &Value) {
    for key in OF_PATHS {
        if let Some(value) = device.get(key) {
            path.entry(key).or_insert_with(|| value.clone());
        }
    }
    for key in MERGED {
        let Some(said) = device.get(key).and_then(Value::as_object) else { continue };
        let own = path.entry(key).or_insert_with(|| Map::new().into());
        for (key, value) in said {
            if let Value::Object(own) = own {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}
