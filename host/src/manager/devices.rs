//! Paths of devices, each from its definition.

use super::Manager;
use super::define::policy;
use super::entries::DefinedBy;
use super::parts::Parts;
use super::target_builder::{Extras, StackAt, TargetBuilder, Unbuilt};
use crate::config::KeyPath;
use crate::config::model::{DeviceConfig, LeaseConfig, ObserversConfig, PathConfig};
use crate::device::lease::Rules;
use crate::device::{Device, Exclusive, Observers, Path};
use jackfield_plugin_api::Result;

impl Manager {
    /// The path `name` of the device `device`.
    pub(super) async fn make_path(
        &self,
        builder: &TargetBuilder<'_>,
        (device, name): (&str, &str),
        path: &PathConfig,
    ) -> Result<Path, Unbuilt> {
        let key = KeyPath::from_iter(["devices", device, "paths", name]);
        let credentials = self.core.credentials.of_path(path.credentials.as_deref());
        let credentials =
            credentials.map_err(|error| Unbuilt::missing(key.key("credentials"), error))?;
        let at = StackAt {
            is_carried: path.via.is_some(),
            login: path.login.as_ref(),
            ..StackAt::client(key, &path.uri, &path.options)
        };
        let extras = Extras {
            credentials,
            interceptors: &path.interceptors,
            call_timeouts: Some(&path.call_timeouts),
        };
        let target = builder.target(&at, &extras, self.dials(path.via.as_ref()).await).await?;
        let policy = policy(self.core.connect_limit, &path.connection());
        let lives = &self.core.named.lives;
        if !path.exclusive {
            return Ok(Path::shared(device, name, target, policy).counted(lives));
        }
        let full = format!("devices.{device}.{name}");
        let rules = rules(path.lease.unwrap_or_default());
        let exclusive = Exclusive::telling(&full, rules, self.events().clone());
        let ObserversConfig { max, buffer } = path.observers.unwrap_or_default();
        let buffer = usize::try_from(buffer.0).unwrap_or(usize::MAX);
        let observers = Observers::new(&full, max as usize, buffer);
        let path = Path::exclusive(device, name, target, policy, exclusive, observers);
        Ok(path.counted(lives))
    }

    /// Enters a path that was made, and its device with its first one.
    pub(super) fn enter_path(
        &self,
        device: &str,
        with: &DeviceConfig,
        path: Path,
        config: &PathConfig,
        by: DefinedBy,
    ) -> Result<()> {
        let target = path.managed().target();
        self.core.paths.note(device, path.name(), config.clone(), by);
        match self.core.devices.get(device) {
            Ok(device) => device.add_path(path)?,
            Err(_) => {
                let made = Device::new(device, vec![path], None)?;
                self.core.devices.add(made.with_labels(with.labels.clone()))?;
            }
        }
        target.via().iter().for_each(|via| self.core.named.carries(via, true));
        Ok(())
    }
}

fn rules(lease: LeaseConfig) -> Rules {
    let LeaseConfig { timeout, max_waiters, expiry } = lease;
    Rules {
        timeout: timeout.0,
        max_waiters: max_waiters as usize,
        expiry: (!expiry.is_zero()).then_some(expiry.0),
        ..Rules::default()
    }
}

/// Gives devices their further names and default paths, once their paths are there.
pub(super) fn finish(parts: &mut Parts<'_>, manager: &Manager) {
    for (name, config) in &parts.loaded.config.devices {
        // One that is missing has mistakes of its own.
        let Ok(device) = manager.core.devices.get(name) else { continue };
        let aliased =
            config.aliases.iter().try_for_each(|alias| manager.core.devices.add_alias(name, alias));
        // A default path that was left out, as it is not needed, is none.
        let default = config.default.as_deref().filter(|path| config.paths.contains_key(*path));
        let default = default.map_or(Ok(None), |path| device.set_default(Some(path)));
        if let Err(error) = aliased.and(default) {
            let key = KeyPath::from_iter(["devices", name]);
            let _: Option<()> = parts.keep(Err(Unbuilt::missing(key, error)));
        }
    }
}
