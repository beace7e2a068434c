//! The objects of a configuration, each with what is written of it.

use crate::config::{KeyPath, Link, Loaded};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
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

    /// The ids of routes that listen on these, in this order.
    pub fn routes(listen: impl IntoIterator<Item = String>) -> Vec<Self> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let numbered = listen.into_iter().map(|listen| {
            let count = seen.entry(listen.clone()).or_default();
            *count += 1;
            match *count {
                1 => ObjectId::new(ObjectKind::Route, listen),
                number => ObjectId::new(ObjectKind::Route, format!("{listen} #{number}")),
            }
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

/// What is written of an object, and where.
#[derive(Clone)]
pub(super) struct ObjectAt {
    pub(super) value: Value,
    pub(super) at: KeyPath,
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

/// All objects of a configuration.
pub(super) fn objects(loaded: &Loaded) -> BTreeMap<ObjectId, ObjectAt> {
    let tree = &loaded.tree;
    let mut all = BTreeMap::new();
    let once = [ObjectKind::Host, ObjectKind::Log, ObjectKind::Admin, ObjectKind::Reload];
    for kind in once {
        let value = tree.get(kind.table()).cloned().unwrap_or_else(|| Map::new().into());
        let at = KeyPath::from_iter([kind.table()]);
        all.insert(ObjectId::new(kind, ""), ObjectAt { value, at });
    }
    let value = tree.get("include").cloned().unwrap_or_else(|| Vec::<Value>::new().into());
    let at = KeyPath::from_iter(["include"]);
    all.insert(ObjectId::new(ObjectKind::Include, ""), ObjectAt { value, at });
    for kind in NAMED {
        for (name, value) in table(tree.get(kind.table())) {
            let at = KeyPath::from_iter([kind.table(), name]);
            all.insert(ObjectId::new(kind, name), ObjectAt { value: value.clone(), at });
        }
    }
    for (name, device) in table(tree.get("devices")) {
        device_objects(name, device, &mut all);
    }
    let listen = loaded.config.routes.iter().map(|route| route.listen.to_string());
    let written = tree.get("routes").and_then(Value::as_array).into_iter().flatten();
    for (index, (id, value)) in ObjectId::routes(listen).into_iter().zip(written).enumerate() {
        let at = KeyPath::from_iter(["routes"]).index(index);
        all.insert(id, ObjectAt { value: value.clone(), at });
    }
    all
}

fn table(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn device_objects(name: &str, device: &Value, all: &mut BTreeMap<ObjectId, ObjectAt>) {
    let at = KeyPath::from_iter(["devices", name]);
    for (path, own) in table(device.get("paths")) {
        let mut value = own.clone();
        if let Value::Object(keys) = &mut value {
            inherit(keys, device);
        }
        let at = at.key("paths").key(path);
        all.insert(ObjectId::path(name, path), ObjectAt { value, at });
    }
    let mut value = device.clone();
    if let Value::Object(keys) = &mut value {
        keys.retain(|key, _| {
            key != "paths" && !OF_PATHS.contains(&key.as_str()) && !MERGED.contains(&key.as_str())
        });
    }
    all.insert(ObjectId::new(ObjectKind::Device, name), ObjectAt { value, at });
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
