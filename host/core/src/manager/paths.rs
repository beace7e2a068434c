//! The verbs on devices and their paths at run time: define, remove, further names. The state directory
//! keeps those that were written as a file would say them ([`super::written`]).

use super::Manager;
use super::define::in_range;
use super::entries::DefinedBy;
use super::named::{Existing, Removal};
use super::snapshot::Defined;
use crate::config::model::{DeviceConfig, PathConfig};
use crate::config::{DevicePath, KeyPath, Reference, Via, is_name};
use crate::connection::Managed;
use crate::device::{Device, DeviceSnapshot, Path};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What defines each path, by device and path: equal definitions are used again, and another path may be
/// defined like it.
#[derive(Debug, Default)]
pub(super) struct DefinedPaths(Mutex<BTreeMap<(String, String), DefinedPath>>);

#[derive(Clone, Debug)]
struct DefinedPath {
    config: Arc<PathConfig>,
    by: DefinedBy,
}

impl DefinedPaths {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), DefinedPath>> {
        self.0.lock().ignore_poison()
    }

    /// Notes a definition, with the credentials that it has of its device.
    pub(super) fn note(&self, device: &str, path: &str, config: PathConfig, by: DefinedBy) {
        let defined = DefinedPath { config: Arc::new(config), by };
        self.all().insert((device.to_owned(), path.to_owned()), defined);
    }

    pub(super) fn forget(&self, device: &str, path: &str) {
        self.all().remove(&(device.to_owned(), path.to_owned()));
    }

    pub(super) fn get(&self, device: &str, path: &str) -> Option<Arc<PathConfig>> {
        let all = self.all();
        let found = all.get(&(device.to_owned(), path.to_owned()));
        found.map(|defined| Arc::clone(&defined.config))
    }

    /// Where a path comes from.
    pub(super) fn by(&self, device: &str, path: &str) -> Option<DefinedBy> {
        self.all().get(&(device.to_owned(), path.to_owned())).map(|defined| defined.by)
    }

    /// The paths of a device that came by calls, and whether others did not.
    fn called(&self, device: &str) -> (Vec<String>, bool) {
        let all = self.all();
        let of = all.iter().filter(|((name, _), _)| name == device);
        let (called, others): (Vec<_>, Vec<_>) =
            of.partition(|(_, defined)| defined.by == DefinedBy::Call);
        (called.into_iter().map(|((_, path), _)| path.clone()).collect(), !others.is_empty())
    }
}

/// `path` with the credentials of its device where it names none.
pub(super) fn with_credentials(path: &PathConfig, device: &DeviceConfig) -> PathConfig {
    let credentials = path.credentials.clone().or_else(|| device.credentials.clone());
    PathConfig { credentials, ..path.clone() }
}

impl Manager {
    /// Defines a device with its paths without connecting; paths that it has already and `device` does not
    /// name stay.
    ///
    /// # Errors
    /// As [`Manager::define_path`] for the first path that fails, those before it are defined then;
    /// [`ErrorKind::InUse`] for an alias that is another's; [`ErrorKind::NotFound`] for a default path
    /// that there is not.
    pub async fn define_device(
        &self,
        name: &str,
        device: DeviceConfig,
        existing: Existing,
    ) -> Result<Arc<Device>> {
        plain_name(name)?;
        if let Some(other) = self.device(name).ok().filter(|other| other.name() != name) {
            let text = format!("{name:?} is an alias of device {:?}", other.name());
            return Err(Error::new(ErrorKind::InUse, text));
        }
        let device = device.with_inherited();
        if device.paths.is_empty() {
            return Err(Error::new(ErrorKind::Config, format!("device {name:?} has no paths")));
        }
        for (path, config) in &device.paths {
            let config = with_credentials(config, &device);
            self.put_path((name, path), &device, &config, existing).await?;
        }
        for alias in &device.aliases {
            self.alias_device(name, alias)?;
        }
        let made = self.device(name)?;
        if !device.roles.is_empty() {
            made.set_roles(device.roles)?;
        }
        if let Some(path) = &device.default {
            made.set_default(Some(path))?;
        }
        Ok(made)
    }

    /// Defines a path of a device that there is without connecting; credentials are those of the
    /// configuration. What goes via a path that is replaced goes via the new one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the device; [`ErrorKind::InUse`] for a name that is taken by another
    /// definition, unless it is replaced; by an equal one, that is used again. [`ErrorKind::Config`] for a
    /// name, a key or options that are not acceptable, or a via that may lead back.
    pub async fn define_path(
        &self,
        device: &str,
        name: &str,
        path: PathConfig,
        existing: Existing,
    ) -> Result<Path> {
        let device = self.device(device)?;
        let with = DeviceConfig::default();
        self.put_path((device.name(), name), &with, &path, existing).await
    }

    /// Defines a path as another one of the device is defined: one more session to the same place, under a
    /// name of its own.
    ///
    /// # Errors
    /// As [`Manager::define_path`]; [`ErrorKind::NotFound`] for the other path, naming the paths.
    pub async fn define_path_like(
        &self,
        device: &str,
        name: &str,
        like: &str,
        existing: Existing,
    ) -> Result<Path> {
        let device = self.device(device)?;
        let other = device.path(Some(like))?;
        let none = || Error::unsupported("a path like one that a program made itself");
        let config = self.core.paths.get(device.name(), other.name()).ok_or_else(none)?;
        self.define_path(device.name(), name, (*config).clone(), existing).await
    }

    async fn put_path(
        &self,
        (device, name): (&str, &str),
        with: &DeviceConfig,
        config: &PathConfig,
        existing: Existing,
    ) -> Result<Path> {
        plain_name(name)?;
        let key = KeyPath::from_iter(["devices", device, "paths", name]);
        in_range(&key, config.problems())?;
        let known =
            || self.path(&DevicePath { device: device.to_owned(), path: Some(name.into()) });
        if let Some(path) = self.device(device).ok().and_then(|it| it.roles().remove(name)) {
            let text = format!("device {device:?} has a role {name:?}, of its path {path:?}");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        if let Ok(path) = known() {
            if self.core.paths.get(device, name).is_some_and(|known| *known == *config) {
                return Ok(path);
            }
            if existing == Existing::Refuse {
                let uri = path.managed().target().stack().display().to_owned();
                let text = format!("device {device:?} has a path {name:?} already");
                return Err(Error::new(ErrorKind::InUse, text).with("uri", uri));
            }
        }
        let builder = self.run_time_builder();
        let made = self.make_path(&builder, (device, name), config, None).await?;
        let what = format!("devices.{device}.{name}");
        let Ok(old) = known() else {
            self.enter_path(device, with, made, config, DefinedBy::Call)?;
            self.tell_defined(what, false);
            return known();
        };
        let replaced = self.replace_path(device, &old, made, config).await?;
        self.tell_defined(what, true);
        Ok(replaced)
    }

    /// Puts a path in the place of another: who holds the old one has the new one.
    async fn replace_path(
        &self,
        device: &str,
        old: &Path,
        made: Path,
        config: &PathConfig,
    ) -> Result<Path> {
        let carried = self.carried_by(old.managed());
        if !carried.is_empty() && made.managed().target().via().is_some() {
            let text = format!("{carried} is dialled via it, so it cannot have a via of its own");
            return Err(Error::new(ErrorKind::Config, text).with("path", old.name()));
        }
        let (before, after) = (old.managed().target(), made.managed().target());
        let ended = old.managed().take_over(made.managed());
        let made = made.on(Arc::clone(old.managed()));
        self.device(device)?.replace_path(made.clone());
        self.core.paths.note(device, made.name(), config.clone(), DefinedBy::Call);
        before.via().iter().for_each(|via| self.core.named.carries(via, false));
        after.via().iter().for_each(|via| self.core.named.carries(via, true));
        if let Some(live) = ended {
            live.close(0, "replaced by another definition").await;
        }
        // Those that watch it watch the new one.
        for path in [None, Some(made.name().to_owned())] {
            let to = DevicePath { device: device.to_owned(), path };
            self.reroute(&Reference::Device(to)).await;
        }
        Ok(made)
    }

    /// A device with where its paths come from.
    pub(super) fn device_snapshot(&self, device: &Device) -> Defined<DeviceSnapshot> {
        let (added, others) = self.core.paths.called(device.name());
        let defined_by = match (others, added.is_empty()) {
            (true, _) => DefinedBy::Config,
            (false, false) => DefinedBy::Call,
            (false, true) => DefinedBy::Program,
        };
        let added = if defined_by == DefinedBy::Config { added } else { Vec::new() };
        Defined { it: device.snapshot(), defined_by, added }
    }

    /// Takes a path from its device. Routes that lead to it and sessions that run over it go on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name; [`ErrorKind::InUse`] while something goes via it, or
    /// for the only path of a device.
    pub async fn remove_path(&self, device: &str, name: &str, end: Removal) -> Result<()> {
        let device = self.device(device)?;
        let path = device.path(Some(name))?;
        self.carries_nothing(path.managed())?;
        let path = device.remove_path(name)?;
        self.forget_path(device.name(), &path, end).await;
        Ok(())
    }

    /// Takes a device away with all its paths and names.
    ///
    /// # Errors
    /// As [`Manager::remove_path`].
    pub async fn remove_device(&self, name: &str, end: Removal) -> Result<()> {
        let device = self.device(name)?;
        for path in device.paths() {
            self.carries_nothing(path.managed())?;
        }
        let device = self.core.devices.remove(name)?;
        for path in device.paths() {
            self.forget_path(device.name(), &path, end.clone()).await;
        }
        Ok(())
    }

    async fn forget_path(&self, device: &str, path: &Path, end: Removal) {
        self.core.paths.forget(device, path.name());
        self.tell_removed(format!("devices.{device}.{}", path.name()));
        let target = path.managed().target();
        target.via().iter().for_each(|via| self.core.named.carries(via, false));
        if let (Some(live), Removal::Close { code, reason }) = (path.managed().last(), end) {
            live.close(code, &reason).await;
        }
    }

    /// Gives a device one more name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is no name; [`ErrorKind::NotFound`] for the device;
    /// [`ErrorKind::InUse`] for a name of another.
    pub fn alias_device(&self, device: &str, alias: &str) -> Result<()> {
        plain_name(alias)?;
        self.core.devices.add_alias(device, alias)
    }

    /// Takes one of its further names from a device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn unalias_device(&self, alias: &str) -> Result<()> {
        self.core.devices.remove_alias(alias)
    }

    fn carries_nothing(&self, managed: &Arc<Managed>) -> Result<()> {
        let carried = self.carried_by(managed);
        if carried.is_empty() {
            return Ok(());
        }
        let text = format!("{carried} is dialled via {}; remove it first", managed.name());
        Err(Error::new(ErrorKind::InUse, text))
    }

    /// Something that goes via a path; empty if nothing does.
    fn carried_by(&self, managed: &Arc<Managed>) -> String {
        let via =
            |other: Option<&Arc<Managed>>| other.is_some_and(|other| Arc::ptr_eq(other, managed));
        // One that was not built yet holds nothing, but names it.
        let names = |to: &Via| {
            let Via::Device(to) = to else { return false };
            self.path(to).is_ok_and(|path| Arc::ptr_eq(path.managed(), managed))
        };
        let named = self.core.named.entries.all().into_iter().find_map(|entry| {
            let built = entry.managed.get().map(|built| via(built.target().via()));
            let named = || entry.config.as_ref().and_then(|config| config.via.as_ref());
            built.unwrap_or_else(|| named().is_some_and(names)).then(|| entry.name.to_string())
        });
        let devices = self.core.devices.all();
        let mut paths = devices.iter().flat_map(|device| device.paths());
        let mut path = || paths.find(|path| via(path.managed().target().via()));
        let mut targets = self.upstreams().into_iter().flat_map(|upstream| upstream.targets());
        let mut target = || targets.find(|(_, target)| via(target.via()));
        let found = named.or_else(|| path().map(|path| path.managed().name().to_owned()));
        found.or_else(|| target().map(|(name, _)| name)).unwrap_or_default()
    }
}

/// Devices, aliases and paths are written with dots between them, so they have none themselves.
fn plain_name(name: &str) -> Result<()> {
    if is_name(name) && !name.contains('.') {
        return Ok(());
    }
    let text = format!(
        "{name:?} is no name: expected a-z, 0-9, _ and -, beginning with a letter or digit, at most 64 \
         characters"
    );
    Err(Error::new(ErrorKind::Config, text))
}
