//! [`Devices`]: all devices, by name and alias, changed while they are used.

use super::Device;
use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Devices by name; no name or alias stands for two.
#[derive(Debug, Default)]
pub struct Devices(RwLock<DeviceTable>);

#[derive(Debug, Default)]
struct DeviceTable {
    by_name: BTreeMap<String, Arc<Device>>,
    /// From aliases to names.
    aliases: BTreeMap<String, String>,
}

impl DeviceTable {
    fn get(&self, name: &str) -> Option<&Arc<Device>> {
        let own = self.aliases.get(name).map_or(name, String::as_str);
        self.by_name.get(own)
    }

    fn find(&self, name: &str) -> Result<&Arc<Device>> {
        self.get(name).ok_or_else(|| {
            let near = did_you_mean(name, self.by_name.keys().chain(self.aliases.keys()));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no device {name:?}{hint}"))
        })
    }

    /// `name` must be no name yet of another device.
    fn is_free(&self, name: &str, device: &str) -> Result<()> {
        let Some(other) = self.get(name) else { return Ok(()) };
        let text = format!("{name:?} is already a name of device {:?}", other.name());
        Err(Error::new(ErrorKind::InUse, text).with("device", device))
    }
}

impl Devices {
    fn read(&self) -> RwLockReadGuard<'_, DeviceTable> {
        self.0.read().ignore_poison()
    }

    fn write(&self) -> RwLockWriteGuard<'_, DeviceTable> {
        self.0.write().ignore_poison()
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] when its name or one of its aliases is taken; nothing is added then.
    pub fn add(&self, device: Device) -> Result<Arc<Device>> {
        let (mut table, aliases) = (self.write(), device.aliases());
        let mut own: Vec<&str> = Vec::new();
        for name in std::iter::once(device.name()).chain(aliases.iter().map(String::as_str)) {
            table.is_free(name, device.name())?;
            if own.contains(&name) {
                let text = format!("{name:?} is already a name of device {:?}", device.name());
                return Err(Error::new(ErrorKind::InUse, text).with("device", device.name()));
            }
            own.push(name);
        }
        let (name, device) = (device.name().to_owned(), Arc::new(device));
        table.aliases.extend(aliases.into_iter().map(|alias| (alias, name.clone())));
        table.by_name.insert(name, Arc::clone(&device));
        Ok(device)
    }

    /// Takes a device away, with its aliases. What runs over its paths runs on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn remove(&self, name: &str) -> Result<Arc<Device>> {
        let mut table = self.write();
        let device = Arc::clone(table.find(name)?);
        table.aliases.retain(|_, own| own != device.name());
        table.by_name.remove(device.name());
        Ok(device)
    }

    /// Puts `devices` in the place of those of their names, and takes `gone` away, all at once. No name may be that of
    /// another device then.
    pub fn change(&self, devices: Vec<Arc<Device>>, gone: &[String]) {
        let mut table = self.write();
        let names: Vec<&str> = devices.iter().map(|device| device.name()).collect();
        let leaves =
            |name: &String| names.contains(&name.as_str()) || gone.iter().any(|gone| gone == name);
        table.aliases.retain(|_, own| !leaves(own));
        table.by_name.retain(|name, _| !leaves(name));
        for device in devices {
            let name = device.name().to_owned();
            table.aliases.extend(device.aliases().into_iter().map(|alias| (alias, name.clone())));
            table.by_name.insert(name, device);
        }
    }

    /// Gives a device one more name; one that it has already changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the device; [`ErrorKind::InUse`] for a name that is another's.
    pub fn add_alias(&self, device: &str, alias: &str) -> Result<()> {
        let mut table = self.write();
        let device = Arc::clone(table.find(device)?);
        if table.get(alias).is_some_and(|other| Arc::ptr_eq(other, &device)) {
            return Ok(());
        }
        table.is_free(alias, device.name())?;
        table.aliases.insert(alias.to_owned(), device.name().to_owned());
        device.change_aliases(|aliases| aliases.push(alias.to_owned()));
        Ok(())
    }

    /// Takes one of its further names from a device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is none, with the nearest name.
    pub fn remove_alias(&self, alias: &str) -> Result<()> {
        let mut table = self.write();
        let device = Arc::clone(table.find(alias)?);
        if table.aliases.remove(alias).is_none() {
            let text = format!("{alias:?} is the name of a device, not an alias");
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        device.change_aliases(|aliases| aliases.retain(|name| name != alias));
        Ok(())
    }

    /// The device of that name or alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn get(&self, name: &str) -> Result<Arc<Device>> {
        self.read().find(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Device>> {
        self.read().by_name.values().cloned().collect()
    }
}
