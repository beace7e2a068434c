//! Checks of devices, credentials and what carries what.

use std::collections::BTreeMap;

use super::check::Check;
use super::device::{DeviceConfig, Link, PathConfig};
use super::model::RouteConfig;
use super::position::KeyPath;
use super::reference::{DevicePath, Reference, is_name};
use crate::nearest::did_you_mean;

/// The most credentials tried after the first ones.
const MAX_FALLBACK: usize = 8;

impl Check<'_> {
    pub(super) fn credentials(&mut self) {
        for (name, credentials) in &self.config.credentials {
            let at = KeyPath::from_iter(["credentials", name]).key("fallback");
            for (index, fallback) in credentials.fallback.iter().enumerate() {
                let path = at.index(index);
                let twice = credentials.fallback[..index].contains(fallback);
                if fallback == name || twice {
                    self.fail(path, "was tried before", None);
                } else if index == MAX_FALLBACK {
                    self.fail(path, format!("expected at most {MAX_FALLBACK} names"), None);
                } else {
                    self.credentials_exist(path, fallback);
                }
            }
        }
    }

    pub(super) fn credentials_exist(&mut self, path: KeyPath, name: &str) {
        let known = &self.config.credentials;
        let told = self.is_known(&KeyPath::from_iter(["credentials", name]));
        if !told && !known.contains_key(name) {
            let near = did_you_mean(name, known.keys()).map(str::to_owned);
            let table = KeyPath::from_iter(["credentials", name]);
            self.fail(path, format!("there is no [{table}]"), near);
        }
    }

    pub(super) fn devices(&mut self) {
        let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, device) in &self.config.devices {
            let at = KeyPath::from_iter(["devices", name]);
            self.plain_name(at.clone(), name);
            self.aliases(&at, name, device, &mut aliases);
            if let Some(name) = &device.credentials {
                self.credentials_exist(at.key("credentials"), name);
            }
            if device.paths.is_empty() {
                self.fail(at.key("paths"), "expected at least one path, found none", None);
            }
            if let Some(default) = &device.default {
                self.default_path(at.key("default"), default, device);
            }
            self.roles(&at.key("roles"), device);
            for (name, path) in &device.paths {
                let at = at.key("paths").key(name);
                self.plain_name(at.clone(), name);
                self.path(&at, path);
            }
        }
    }

    /// Devices, aliases and paths are written with dots between them, so they have none themselves.
    fn plain_name(&mut self, path: KeyPath, name: &str) {
        if !is_plain(name) {
            let message = "expected a name of a-z, 0-9, _ and -, which begins with a letter or \
                           digit and has at most 64 characters";
            let near = name.to_lowercase().replace('.', "-");
            self.fail_name(path, message, is_plain(&near).then_some(near));
        }
    }

    fn aliases<'n>(
        &mut self,
        at: &KeyPath,
        name: &'n str,
        device: &'n DeviceConfig,
        aliases: &mut BTreeMap<&'n str, &'n str>,
    ) {
        for (index, alias) in device.aliases.iter().enumerate() {
            let path = at.key("aliases").index(index);
            if !is_plain(alias) {
                let message = "expected a name of a-z, 0-9, _ and -";
                self.fail(path, message, None);
            } else if self.config.devices.contains_key(alias) {
                self.fail(path, format!("{alias:?} is the name of [devices.{alias}]"), None);
            } else if let Some(other) = aliases.insert(alias, name) {
                self.fail(path, format!("{alias:?} is an alias of [devices.{other}]"), None);
            }
        }
    }

    fn default_path(&mut self, path: KeyPath, default: &str, device: &DeviceConfig) {
        if !device.paths.contains_key(default) {
            let known: Vec<&str> = device.paths.keys().map(String::as_str).collect();
            let near = did_you_mean(default, known.iter().copied()).map(str::to_owned);
            let message = format!("there is no such path; paths: {}", known.join(" "));
            self.fail(path, message, near);
        }
    }

    fn roles(&mut self, at: &KeyPath, device: &DeviceConfig) {
        for (role, path) in &device.roles {
            let at = at.key(role);
            self.plain_name(at.clone(), role);
            if device.paths.contains_key(role) {
                self.fail_name(at, "is the name of a path of this device", None);
            } else {
                self.default_path(at, path, device);
            }
        }
    }

    /// What is built once names a path: a role may be another one's meanwhile.
    pub(super) fn is_no_role(&mut self, path: &KeyPath, to: &DevicePath) {
        let device = self.config.device(&to.device).map(|(_, device)| device);
        let role = to.path.as_deref().and_then(|role| Some((role, device?.with_role(role)?)));
        if let Some((role, has)) = role {
            let near = format!("devices.{}.{has}", to.device);
            let message =
                format!("expected a path: {role:?} is a role, which can pass to another path");
            self.fail(path.clone(), message, Some(near));
        }
    }

    fn path(&mut self, at: &KeyPath, path: &PathConfig) {
        self.ranges(at, path.problems());
        self.via(&at.key("via"), path.via.as_ref());
        if let Some(name) = &path.credentials {
            self.credentials_exist(at.key("credentials"), name);
        }
    }

    /// Only exclusive paths are watched: the bytes of a shared session belong to no single user.
    pub(super) fn observed(&mut self, at: &KeyPath, route: &RouteConfig) {
        if !route.observe {
            return;
        }
        let found = match &route.to {
            Reference::Device(to) => self.config.path(to).ok(),
            _ => None,
        };
        let exclusive = match found {
            Some(link) => self.config.is_exclusive(link),
            // It has a mistake of its own.
            _ if matches!(route.to, Reference::Device(_)) => true,
            _ => false,
        };
        if !exclusive {
            let message =
                "expected false: the route leads to no path of a device with exclusive = true";
            self.fail(at.key("observe"), message, None);
        }
    }

    /// Nothing may be dialled through itself. Each cycle is reported once, at the first of its names.
    pub(super) fn cycles(&mut self) {
        for start in self.config.links() {
            let Some(trail) = self.cycle_from(start) else { continue };
            if trail.iter().min() == Some(&start) {
                let names: Vec<String> = trail.iter().map(ToString::to_string).collect();
                let message = format!("leads back to itself: {} -> {start}", names.join(" -> "));
                let at = match start {
                    Link::Connection(name) => KeyPath::from_iter(["connections", name]),
                    Link::Path(device, path) => {
                        KeyPath::from_iter(["devices", device, "paths", path])
                    }
                };
                self.fail(at.key("via"), message, None);
            }
        }
    }

    /// What is met on the way from `start` back to itself, if `via` leads there.
    fn cycle_from<'n>(&'n self, start: Link<'n>) -> Option<Vec<Link<'n>>> {
        let (mut trail, mut here) = (Vec::new(), start);
        // A way that meets nothing twice has at most as many steps as there are links.
        for _ in self.config.links() {
            trail.push(here);
            here = self.config.carrier_of(here)?;
            if here == start {
                return Some(trail);
            }
        }
        None
    }
}

fn is_plain(name: &str) -> bool {
    is_name(name) && !name.contains('.')
}
