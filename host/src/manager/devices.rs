//! Paths of devices, each from its definition.

use super::Manager;
use super::define::policy;
use super::entries::DefinedBy;
use super::parts::Parts;
use super::target_builder::{Extras, StackAt, TargetBuilder, Unbuilt};
use crate::config::KeyPath;
use crate::config::model::{DeviceConfig, PathConfig};
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
            call_timeouts: Some(&path.policy.call_timeouts),
        };
        let target = builder.target(&at, &extras, self.dials(path.via.as_ref()).await).await?;
        let policy = policy(self.core.connect_limit, &path.policy);
        let lives = &self.core.named.lives;
        if !path.exclusive {
            return Ok(Path::shared(device, name, target, policy).counted(lives));
        }
        let full = format!("devices.{device}.{name}");
        let lease = path.lease.unwrap_or_default();
        let exclusive = Exclusive::telling(&full, lease, self.events().clone());
        let observers = Observers::new(&full, path.observers.unwrap_or_default());
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
