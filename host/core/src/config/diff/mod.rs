//! What is different between two configurations, and what taking it over does to sessions: [`diff`].
//!
//! ```text
//! Loaded ─ objects ─┐
//! Secrets ──────────┼─ diff ─▶ Changes ─▶ the manager builds, binds and applies; the log and callers read it
//! Loaded ─ objects ─┘
//! ```
//!
//! An object is known by its name, a route by its listen address. Two objects are equal when they mean the same:
//! values are compared as they are read, with defaults, so that `"30s"` is `"30000ms"`. Of an object that is changed
//! each key is looked at by itself, and what its change does is said by the option struct it belongs to, in the
//! extension `x-apply` of its schema ([`Effect`]), for options of drivers by the schema of the driver. What uses
//! credentials, interceptors, connections or secrets that have changed is changed, too.
//!
//! Pure: secrets were read before ([`Secrets::read`]) and are compared by what they hash to.

mod keys;
mod objects;
mod pairs;
mod secrets;
mod text;
mod users;

pub use objects::{ObjectId, ObjectKind};
pub use secrets::Secrets;
pub(crate) use secrets::WantedSecrets;

use super::{KeyPath, Loaded};
#[cfg(test)]
pub(super) use keys::effect_at;
#[cfg(test)]
pub(crate) use keys::read_whole;
pub(super) use keys::{at, put};
use keys::{changed, effect_of, is_same, shown};
use objects::{ObjectAt, each};
use pairs::{Pair, pairs};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What taking over a change does to sessions. The later ones include the earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    None,
    /// It holds at once, and no session is touched.
    Live,
    /// It holds for sessions that are opened or accepted from then on; those that are open keep what they have.
    #[default]
    NewSessions,
    /// As before, and sessions that are open end within `reload.drain.within`.
    Drain,
    /// What has the option is stopped and begun anew: a listener leaves its address for a moment, and a connection is
    /// closed. For what is of the process as a whole ([`ObjectKind::is_of_process`]) it takes a restart of the host,
    /// and the key stays as it is.
    Restart,
}

/// What has happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is there no more.
    Removed,
    /// Some of its keys, or what it uses, mean something else.
    Changed,
}

/// One key that means something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The key, below its object.
    pub key: String,
    /// What taking it over does.
    pub effect: Effect,
    /// What it was, where that can be shown: never anything of options, logins and credentials, nor an address. Of a
    /// secret that has changed behind its reference: the beginning of a hash, which only this process can make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is, as `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What has changed, where the key itself has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// One object that is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which.
    pub object: ObjectId,
    /// What has happened to it.
    pub kind: ChangeKind,
    /// What taking it over does: the most that one of its keys does.
    pub effect: Effect,
    /// Which keys; none of what is new or gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyChange>,
}

/// All objects that are different, by kind and name. `Display` writes one line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Changes(Vec<Change>);

/// What a change of an option of a driver, a handler or an interceptor does; their schemas say.
pub trait OptionEffects {
    /// Of the option at `keys`, below the table `options` of `object`, of which `value` is written.
    fn of_option(&self, object: &ObjectId, value: &serde_json::Value, keys: &[String]) -> Effect;
}

/// For a configuration without drivers: every option is for new sessions.
impl OptionEffects for () {
    fn of_option(&self, _: &ObjectId, _: &serde_json::Value, _: &[String]) -> Effect {
        Effect::default()
    }
}

/// A configuration, and what its secrets were when it was read.
#[derive(Clone, Copy, Debug)]
pub struct ConfigSide<'a> {
    /// The values.
    pub loaded: &'a Loaded,
    /// What stood behind references to secrets.
    pub secrets: &'a Secrets,
    /// What is not there although it is written, because it waits for a plugin.
    pub waiting: &'a WaitingObjects,
}

/// Objects that wait for a plugin, each with what it lacks.
pub type WaitingObjects = BTreeMap<ObjectId, String>;

/// What is different in `new`, and what taking it over does.
pub fn diff(old: ConfigSide<'_>, new: ConfigSide<'_>, effects: &dyn OptionEffects) -> Changes {
    let mut found: BTreeMap<ObjectId, Change> = BTreeMap::new();
    let mut whole = |object: &ObjectId, kind, effect| {
        let (object, keys) = (object.clone(), Vec::new());
        found.insert(object.clone(), Change { object, kind, effect, keys });
    };
    let (before, after) = (there(old), there(new));
    let mut both = Vec::with_capacity(after.len());
    for pair in pairs(&before, &after) {
        match pair {
            Pair::Added(object) => whole(object, ChangeKind::Added, Effect::Live),
            // What a plugin may is no session.
            Pair::Removed(object) if object.kind == ObjectKind::Plugin => {
                whole(object, ChangeKind::Removed, Effect::Live);
            }
            Pair::Removed(object) => whole(object, ChangeKind::Removed, Effect::Drain),
            Pair::Both(object, was, is) => both.push((object, was, is)),
        }
    }
    for (object, was, is) in both {
        let mut keys = keys_of(object, was, is, effects);
        keys.extend(secrets_of(object, is, (old.secrets, new.secrets), effects));
        add(&mut found, object, keys);
    }
    let users = users::of_changes(old.loaded, new.loaded, &found);
    if !users.is_empty() {
        let there: BTreeSet<&ObjectId> = after.iter().map(|(object, _)| object.as_ref()).collect();
        for (object, keys) in users.into_iter().filter(|(object, _)| there.contains(object)) {
            add(&mut found, &object, keys);
        }
    }
    Changes(found.into_values().collect())
}

/// The objects of a configuration that do not wait.
fn there(side: ConfigSide<'_>) -> Vec<(Cow<'_, ObjectId>, ObjectAt<'_>)> {
    let mut objects = each(side.loaded);
    objects.retain(|(object, _)| !side.waiting.contains_key(object.as_ref()));
    objects
}

/// Adds keys to the change of an object.
fn add(found: &mut BTreeMap<ObjectId, Change>, object: &ObjectId, keys: Vec<KeyChange>) {
    if keys.is_empty() {
        return;
    }
    let fresh = || Change {
        object: object.clone(),
        kind: ChangeKind::Changed,
        effect: Effect::None,
        keys: Vec::new(),
    };
    let change = found.entry(object.clone()).or_insert_with(fresh);
    if change.kind != ChangeKind::Changed {
        return;
    }
    change.keys.extend(keys);
    change.effect = change.keys.iter().map(|key| key.effect).max().unwrap_or_default();
}

fn keys_of(
    object: &ObjectId,
    was: &ObjectAt<'_>,
    is: &ObjectAt<'_>,
    effects: &dyn OptionEffects,
) -> Vec<KeyChange> {
    if is_same(object.kind, &was.value, &is.value) {
        return Vec::new();
    }
    let change = |keys: Vec<String>| KeyChange {
        effect: effect_of(object, &is.value, &keys, effects),
        from: shown(object.kind, &was.value, &keys),
        to: shown(object.kind, &is.value, &keys),
        key: keys.into_iter().collect::<KeyPath>().to_string(),
        because: None,
    };
    changed(object.kind, &was.value, &is.value).into_iter().map(change).collect()
}

/// References to secrets that lead to another one now.
fn secrets_of(
    object: &ObjectId,
    there: &ObjectAt<'_>,
    (old, new): (&Secrets, &Secrets),
    effects: &dyn OptionEffects,
) -> Vec<KeyChange> {
    let differing = new.of(object).filter_map(|(keys, hash)| {
        let was = old.get(object, keys).filter(|was| *was != hash)?;
        Some(KeyChange {
            effect: effect_of(object, &there.value, keys, effects),
            key: keys.iter().collect::<KeyPath>().to_string(),
            from: Some(was.to_string()),
            to: Some(hash.to_string()),
            because: Some("the secret is another one".to_owned()),
        })
    });
    differing.collect()
}

impl Changes {
    /// Everything of `loaded` that does not wait, as new.
    pub fn everything(loaded: &Loaded, waiting: &WaitingObjects) -> Self {
        let (nothing, none) = (Loaded::default(), Secrets::default());
        let side = |loaded| ConfigSide { loaded, secrets: &none, waiting };
        diff(side(&nothing), side(loaded), &())
    }

    /// Those of the objects that are wanted.
    #[must_use]
    pub(crate) fn only(mut self, is_wanted: impl Fn(&ObjectId) -> bool) -> Self {
        self.0.retain(|change| is_wanted(&change.object));
        self
    }

    /// The change of an object, if it is different.
    pub fn of(&self, object: &ObjectId) -> Option<&Change> {
        self.of_name(object.kind, &object.name)
    }

    /// The change of the object of that kind and name, if it is different.
    pub(crate) fn of_name(&self, kind: ObjectKind, name: &str) -> Option<&Change> {
        // They are in the order of their objects.
        let order =
            |change: &Change| (change.object.kind, change.object.name.as_str()).cmp(&(kind, name));
        self.0.binary_search_by(order).ok().and_then(|at| self.0.get(at))
    }

    /// All of them, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Those of one kind of objects.
    pub fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(move |change| change.object.kind == kind)
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing is different but what takes a restart of the host.
    pub fn change_nothing_now(&self) -> bool {
        self.0.iter().all(|change| {
            let mut keys = change.keys.iter();
            change.object.kind.is_of_process()
                && change.kind == ChangeKind::Changed
                && keys.all(|key| key.effect == Effect::Restart)
        })
    }

    /// The keys of the process that stay as they are until a restart of the host, each with its object.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&ObjectId, &KeyChange)> {
        let of_process = self.0.iter().filter(|change| change.object.kind.is_of_process());
        let keys =
            of_process.flat_map(|change| change.keys.iter().map(move |key| (&change.object, key)));
        keys.filter(|(_, key)| key.effect == Effect::Restart)
    }
}

#[cfg(test)]
mod tests;
