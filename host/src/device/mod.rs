//! Devices: named things with several named paths to each, such as a console and a management
//! address.
//!
//! A path is a [managed connection](crate::connection::Managed) under a name of its own: connecting it
//! twice gives the same [`Live`], and disconnecting it leaves the other paths alone. Asking for a path
//! that is not there, or for none where it is not clear which is meant, is an error that names those
//! there are.
//!
//! An **exclusive** path has one session at a time, whoever opens it and how ([`Exclusive`]): the next
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

pub use exclusive::{Exclusive, Lease};
pub use observe::{Observer, Observers, Seen};
pub use path::{Path, PathSnapshot};
pub use registry::Devices;

use crate::connection::Live;
use crate::nearest::did_you_mean;
use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A named thing and the ways to it.
#[derive(Debug)]
pub struct Device {
    name: Arc<str>,
    aliases: Vec<String>,
    labels: BTreeMap<String, String>,
    default: ArcSwapOption<String>,
    paths: BTreeMap<String, Path>,
}

/// A device as others read it.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceSnapshot {
    /// Its name.
    pub name: String,
    /// Its further names.
    pub aliases: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The path that is meant where none is named, if that is clear.
    pub default: Option<String>,
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
        let device = Device {
            name: name.into(),
            aliases: Vec::new(),
            labels: BTreeMap::new(),
            default: ArcSwapOption::new(default.map(|path| Arc::new(path.to_owned()))),
            paths: by_name,
        };
        if default.is_some() {
            device.path(default)?;
        }
        Ok(device)
    }

    /// With further names.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Vec<String>) -> Self {
        self.aliases = aliases;
        self
    }

    /// With labels.
    #[must_use]
    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.labels = labels;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its further names.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Its paths, by name.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.values()
    }

    /// The path of that name; `None`: the default one, or the only one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; [`ErrorKind::Config`] when none is named and it is
    /// not clear which is meant.
    pub fn path(&self, name: Option<&str>) -> Result<&Path> {
        let known = || {
            let names: Vec<&str> = self.paths.keys().map(String::as_str).collect();
            names.join(" ")
        };
        match name.map(str::to_owned).or_else(|| self.default_path()) {
            Some(name) => self.paths.get(&name).ok_or_else(|| {
                let near = did_you_mean(&name, self.paths.keys());
                let hint = near.map(|near| format!(" (did you mean {near:?}?)"));
                let text = format!(
                    "device {:?} has no path {name:?}{}; paths: {}",
                    self.name,
                    hint.unwrap_or_default(),
                    known()
                );
                Error::new(ErrorKind::NotFound, text)
            }),
            None => {
                let text =
                    format!("device {:?} has no default path; paths: {}", self.name, known());
                Err(Error::new(ErrorKind::Config, text))
            }
        }
    }

    fn default_path(&self) -> Option<String> {
        let only = || self.paths.keys().next().filter(|_| self.paths.len() == 1).cloned();
        self.default.load().as_deref().cloned().or_else(only)
    }

    /// Makes `path` the one that is meant where none is named, for everybody, until the host ends;
    /// `None`: no path is, unless there is only one. Nothing that is connected changes. Answers the
    /// one before.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the paths; nothing has changed then.
    pub fn set_default(&self, path: Option<&str>) -> Result<Option<String>> {
        let path = match path {
            Some(path) => Some(Arc::new(self.path(Some(path))?.name().to_owned())),
            None => None,
        };
        Ok(self.default.swap(path).as_deref().cloned())
    }

    /// As [`Device::set_default`], until the answer is dropped: then it is the one before again.
    ///
    /// # Errors
    /// As there.
    pub fn default_for_now(&self, path: &str) -> Result<DefaultForNow<'_>> {
        let before = self.set_default(Some(path))?;
        Ok(DefaultForNow { device: self, before })
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
        let ended = self.paths.values().map(|path| async move {
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
        DeviceSnapshot {
            name: self.name.to_string(),
            aliases: self.aliases.clone(),
            labels: self.labels.clone(),
            default: self.default_path(),
            paths: self.paths.values().map(Path::snapshot).collect(),
        }
    }
}

/// A default path for a while.
#[derive(Debug)]
#[must_use = "dropped, the default is the one before again"]
pub struct DefaultForNow<'a> {
    device: &'a Device,
    before: Option<String>,
}

impl Drop for DefaultForNow<'_> {
    fn drop(&mut self) {
        // A path of before is there still: paths do not go.
        let _ = self.device.set_default(self.before.as_deref());
    }
}
