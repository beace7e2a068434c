//! Paths of devices, each from its definition.

use super::Manager;
use super::define::policy;
use super::entries::DefinedBy;
use super::target_builder::{Extras, StackAt, TargetBuilder, Unbuilt};
use crate::config::KeyPath;
use crate::config::model::{DeviceConfig, PathConfig};
use crate::device::{Device, Exclusive, Observers, Path};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::Arc;

impl Manager {
    /// The path `name` of the device `device`. One that is exclusive has lease and observers of the one `before`, if
    /// that is given.
    pub(super) async fn make_path(
        &self,
        builder: &TargetBuilder<'_>,
        (device, name): (&str, &str),
        path: &PathConfig,
        before: Option<&Path>,
    ) -> Result<Path, Unbuilt> {
        let key = KeyPath::from_iter(["devices", device, "paths", name]);
        let all = self.core.credentials();
        let credentials = all.of_path(path.credentials.as_deref());
        let credentials =
            credentials.map_err(|error| Unbuilt::missing(key.key("credentials"), error))?;
        if path.credentials_role.is_some() && credentials.is_empty() {
            let text = "a role is one of credentials, and the path has none";
            let error = Error::new(ErrorKind::Config, text);
            return Err(Unbuilt::at(key.key("credentials_role"), error));
        }
        let at = StackAt {
            is_carried: path.via.is_some(),
            login: path.login.as_ref(),
            ..StackAt::client(key, &path.uri, &path.options)
        };
        let extras = Extras {
            credentials,
            role: path.credentials_role.as_deref(),
            interceptors: &path.interceptors,
            call_timeouts: Some(&path.policy.call_timeouts),
        };
        let target = builder.target(&at, &extras, self.dials(path.via.as_ref()).await).await?;
        let policy = policy(self.core.connect_limit(), &path.policy);
        let lives = &self.core.named.lives;
        if !path.exclusive {
            return Ok(Path::shared(device, name, target, policy).counted(lives));
        }
        if let Some((exclusive, observers)) = before.and_then(|it| it.lease().zip(it.observers())) {
            let (exclusive, observers) = (Arc::clone(exclusive), Arc::clone(observers));
            let path = Path::exclusive(device, name, target, policy, exclusive, observers);
            return Ok(path.counted(lives));
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
