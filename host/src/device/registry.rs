//! [`Devices`]: all devices, by name and alias.

use super::Device;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Devices by name; no name or alias stands for two.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    by_name: BTreeMap<String, Arc<Device>>,
    /// From aliases to names.
    aliases: BTreeMap<String, String>,
}

impl Devices {
    /// Adds a device.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] when its name or one of its aliases is taken; nothing is added then.
    pub fn add(&mut self, device: Device) -> Result<()> {
        let mut own: Vec<&str> = Vec::new();
        for name in
            std::iter::once(device.name()).chain(device.aliases().iter().map(String::as_str))
        {
            let other = self.find(name).map(Device::name);
            let other = other.or_else(|| own.contains(&name).then_some(device.name()));
            if let Some(other) = other {
                let text = format!("{name:?} is already a name of device {other:?}");
                return Err(Error::new(ErrorKind::InUse, text).with("device", device.name()));
            }
            own.push(name);
        }
        let name = device.name().to_owned();
        for alias in device.aliases() {
            self.aliases.insert(alias.clone(), name.clone());
        }
        self.by_name.insert(name, Arc::new(device));
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Device> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.by_name.get(name).map(AsRef::as_ref)
    }

    /// The device of that name or alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Arc<Device>> {
        let own = self.aliases.get(name).map_or(name, String::as_str);
        self.by_name.get(own).ok_or_else(|| {
            let near = did_you_mean(name, self.by_name.keys().chain(self.aliases.keys()));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no device {name:?}{hint}"))
        })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.by_name.values()
    }
}
