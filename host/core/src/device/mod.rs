//! Devices: named things with several named paths to each, such as a console and a management
//! address.
//!
//! A path is a [managed connection](crate::connection::Managed) under a name of its own: connecting it
//! twice gives the same [`Live`], calls and posts share its session, and disconnecting it leaves the other
//! paths alone. Asking for a path
//! that is not there, or for none where it is not clear which is meant, is an error that names those
//! there are.
//!
//! An **exclusive** path has one session at a time, however it is opened ([`Exclusive`]): the next
//! ones wait in order. Everything its device says can be watched meanwhile ([`Observers`]).

mod exclusive;
pub mod lease;
#[cfg(test)]
mod lease_tests;
mod leased;
mod observe;
mod path;
mod registry;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use exclusive::LEASE;
pub use exclusive::{Exclusive, Lease};
pub use lease::LeaseOptions;
pub use observe::{Observer, ObserverOptions, Observers, Seen};
pub use path::{Path, PathSnapshot};
pub use registry::Devices;

use crate::connection::{Live, Payload, Receipt};
use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use futures_util::future::join_all;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// A named thing and the ways to it, which may change while it is used.
#[derive(Debug)]
pub struct Device {
    name: Arc<str>,
    labels: BTreeMap<String, String>,
    ways: RwLock<Ways>,
}

#[derive(Debug, Default)]
struct Ways {
    aliases: Vec<String>,
    /// The path that is meant where none is named.
    default: Option<String>,
    /// From roles to paths.
    roles: BTreeMap<String, String>,
    paths: BTreeMap<String, Path>,
}

impl Ways {
    /// The names of the paths and the roles, for errors.
    fn known(&self) -> String {
        let names = |names: Vec<&str>| names.join(" ");
        let paths = names(self.paths.keys().map(String::as_str).collect());
        if self.roles.is_empty() {
            return paths;
        }
        format!("{paths}; roles: {}", names(self.roles.keys().map(String::as_str).collect()))
    }

    fn usual(&self) -> Option<&String> {
        let only = || self.paths.keys().next().filter(|_| self.paths.len() == 1);
        self.default.as_ref().or_else(only)
    }

    fn path(&self, device: &str, name: Option<&str>) -> Result<&Path> {
        let Some(name) = name.or_else(|| self.usual().map(String::as_str)) else {
            let text = format!("device {device:?} has no default path; paths: {}", self.known());
            return Err(Error::new(ErrorKind::Config, text));
        };
        let by_role = || self.paths.get(self.roles.get(name)?);
        self.paths.get(name).or_else(by_role).ok_or_else(|| {
            let near = did_you_mean(name, self.paths.keys().chain(self.roles.keys()));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let known = self.known();
            let text = format!("device {device:?} has no path {name:?}{hint}; paths: {known}");
            Error::new(ErrorKind::NotFound, text)
        })
    }
}

/// A device as others read it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceSnapshot {
    /// Its name.
    pub name: String,
    /// Its further names.
    pub aliases: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The path that is meant where none is named, if that is clear.
    pub default: Option<String>,
    /// From roles to the paths that have them.
    pub roles: BTreeMap<String, String>,
    /// The ways to it.
    pub paths: Vec<PathSnapshot>,
}

impl Device {
    /// A device with these paths.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for no path at all, two of one name, or a default that is none of them.
    pub fn new(name: &str, paths: Vec<Path>, default: Option<&str>) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for path in paths {
            if let Some(twice) = by_name.insert(path.name().to_owned(), path) {
                let text = format!("device {name:?} has two paths {:?}", twice.name());
                return Err(Error::new(ErrorKind::Config, text));
            }
        }
        if by_name.is_empty() {
            return Err(Error::new(ErrorKind::Config, format!("device {name:?} has no paths")));
        }
        let ways = Ways { paths: by_name, ..Ways::default() };
        let device = Device { name: name.into(), labels: BTreeMap::new(), ways: RwLock::new(ways) };
        device.set_default(default)?;
        Ok(device)
    }

    /// With further names.
    #[must_use]
    pub fn with_aliases(self, aliases: Vec<String>) -> Self {
        self.write().aliases = aliases;
        self
    }

    /// With labels.
    #[must_use]
    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.labels = labels;
        self
    }

    fn read(&self) -> RwLockReadGuard<'_, Ways> {
        self.ways.read().ignore_poison()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ways> {
        self.ways.write().ignore_poison()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its further names; [`Devices::add_alias`] gives it one more.
    pub fn aliases(&self) -> Vec<String> {
        self.read().aliases.clone()
    }

    fn change_aliases(&self, change: impl FnOnce(&mut Vec<String>)) {
        change(&mut self.write().aliases);
    }

    /// Its paths, by name.
    pub fn paths(&self) -> Vec<Path> {
        self.read().paths.values().cloned().collect()
    }

    /// Adds a path.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] when it has one of that name.
    pub fn add_path(&self, path: Path) -> Result<()> {
        let mut ways = self.write();
        if ways.paths.contains_key(path.name()) || ways.roles.contains_key(path.name()) {
            let text =
                format!("device {:?} has a path or a role {:?} already", self.name, path.name());
            return Err(Error::new(ErrorKind::InUse, text));
        }
        ways.paths.insert(path.name().to_owned(), path);
        Ok(())
    }

    /// Puts a path in the place of the one of its name.
    pub fn replace_path(&self, path: Path) {
        self.write().paths.insert(path.name().to_owned(), path);
    }

    /// Takes a path away by its name, with its roles; was it the default one, there is no default path any more.
    /// What runs over it runs on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; [`ErrorKind::InUse`] for the last one, without which it
    /// would be no device.
    pub fn remove_path(&self, name: &str) -> Result<Path> {
        let mut ways = self.write();
        let path = ways.path(&self.name, Some(name))?.clone();
        if path.name() != name {
            let text =
                format!("{name:?} is a role: expected the name of a path, {:?}", path.name());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        if ways.paths.len() == 1 {
            let text = format!("{name:?} is the only path of device {:?}", self.name);
            return Err(Error::new(ErrorKind::InUse, text));
        }
        ways.paths.remove(name);
        ways.roles.retain(|_, path| path != name);
        ways.default.take_if(|default| default == name);
        Ok(path)
    }

    /// Which path has which role.
    pub fn roles(&self) -> BTreeMap<String, String> {
        self.read().roles.clone()
    }

    /// Gives paths their roles, in the place of those that they had, all at once: after a switchover, for example.
    /// A role is found as a path is, by [`Device::path`] and whatever takes the name of a path; nothing that is
    /// connected changes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; [`ErrorKind::InUse`] for a role with the name of a path. Nothing
    /// has changed then.
    pub fn set_roles(&self, roles: BTreeMap<String, String>) -> Result<()> {
        let mut ways = self.write();
        let before = std::mem::take(&mut ways.roles);
        let fits = roles.iter().try_for_each(|(role, path)| {
            ways.path(&self.name, Some(path))?;
            if ways.paths.contains_key(role) {
                let text = format!("device {:?} has a path {role:?}", self.name);
                return Err(Error::new(ErrorKind::InUse, text));
            }
            Ok(())
        });
        ways.roles = if fits.is_ok() { roles } else { before };
        fits
    }

    /// Lets the paths of two roles change places: the standby becomes the active one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for what is no role, naming those that are; nothing has changed then.
    pub fn swap_roles(&self, one: &str, other: &str) -> Result<()> {
        let mut ways = self.write();
        let path = |role: &str| {
            ways.roles.get(role).cloned().ok_or_else(|| {
                let near = did_you_mean(role, ways.roles.keys());
                let hint = near.map(|near| format!(" (did you mean {near:?}?)"));
                let (hint, known) = (hint.unwrap_or_default(), ways.known());
                let text =
                    format!("device {:?} has no role {role:?}{hint}; paths: {known}", self.name);
                Error::new(ErrorKind::NotFound, text)
            })
        };
        let (of_one, of_other) = (path(one)?, path(other)?);
        ways.roles.extend([(one.to_owned(), of_other), (other.to_owned(), of_one)]);
        Ok(())
    }

    /// The path of that name or with that role; `None`: the default one, or the only one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; [`ErrorKind::Config`] when none is named and it is
    /// not clear which is meant.
    pub fn path(&self, name: Option<&str>) -> Result<Path> {
        self.read().path(&self.name, name).cloned()
    }

    /// Makes `path` the one that is meant where none is named, for everybody, until the host ends;
    /// `None`: no path is, unless there is only one. Nothing that is connected changes. Answers the
    /// one before.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; nothing has changed then.
    pub fn set_default(&self, path: Option<&str>) -> Result<Option<String>> {
        let mut ways = self.write();
        if path.is_some() {
            ways.path(&self.name, path)?;
        }
        Ok(std::mem::replace(&mut ways.default, path.map(str::to_owned)))
    }

    /// As [`Device::set_default`], until the answer is dropped: then it is the one before again.
    ///
    /// # Errors
    /// As there.
    pub fn default_for_now(&self, path: &str) -> Result<DefaultForNow<'_>> {
        let before = self.set_default(Some(path))?;
        Ok(DefaultForNow { device: self, before })
    }

    /// Runs an operation on the session that a path shares, which is opened if there is none; `None`: the
    /// default path. See [`Live::call`].
    ///
    /// # Errors
    /// [`Device::path`]'s, or as there.
    pub async fn call(&self, path: Option<&str>, operation: &str, params: &Value) -> Result<Value> {
        self.path(path)?.call(operation, params).await
    }

    /// Queues a payload for the session that a path shares; `None`: the default path. See [`Live::post`].
    ///
    /// # Errors
    /// [`Device::path`]'s, or as there; [`ErrorKind::Closed`] if it is not connected.
    pub fn post(&self, path: Option<&str>, payload: impl Into<Payload>) -> Result<Receipt> {
        self.path(path)?.post(payload)
    }

    /// Connects a path and waits at most for `limit`; one that is connected, or on its way, is not
    /// connected again. Cancel safe: it goes on connecting.
    ///
    /// # Errors
    /// [`Device::path`]'s, or why it did not become ready.
    pub async fn connect(&self, path: Option<&str>, limit: Duration) -> Result<Arc<Live>> {
        let live = self.path(path)?.managed().live();
        live.wait_ready(limit).await?;
        Ok(live)
    }

    /// Disconnects a path, politely, and waits for its end; the other paths stay. Answers whether it
    /// was connected, or on its way.
    ///
    /// # Errors
    /// [`Device::path`]'s.
    pub async fn disconnect(&self, path: Option<&str>, reason: &str) -> Result<bool> {
        let last = self.path(path)?.managed().last();
        match last.filter(|live| !live.state().is_final()) {
            Some(live) => {
                live.close(0, reason).await;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Disconnects all paths, all at once. Answers for each whether it was connected, or on its way.
    pub async fn disconnect_all(&self, reason: &str) -> BTreeMap<String, bool> {
        let ended = self.paths().into_iter().map(|path| async move {
            let last = path.managed().last().filter(|live| !live.state().is_final());
            if let Some(live) = &last {
                live.close(0, reason).await;
            }
            (path.name().to_owned(), last.is_some())
        });
        join_all(ended).await.into_iter().collect()
    }

    /// As others read it.
    pub fn snapshot(&self) -> DeviceSnapshot {
        let (paths, ways) = (self.paths(), self.read());
        DeviceSnapshot {
            name: self.name.to_string(),
            aliases: ways.aliases.clone(),
            labels: self.labels.clone(),
            default: ways.usual().cloned(),
            roles: ways.roles.clone(),
            paths: paths.iter().map(Path::snapshot).collect(),
        }
    }
}

/// A default path for a while.
#[derive(Debug)]
#[must_use = "dropping it restores the default before"]
pub struct DefaultForNow<'a> {
    device: &'a Device,
    before: Option<String>,
}

impl Drop for DefaultForNow<'_> {
    fn drop(&mut self) {
        // A path of before that has gone meanwhile leaves no default.
        if self.device.set_default(self.before.as_deref()).is_err() {
            let _ = self.device.set_default(None);
        }
    }
}
