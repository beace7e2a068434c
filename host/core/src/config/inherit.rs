//! What a device says once for all its paths: `uri`, `options`, `login`, `keepalive` and `reconnect` in the
//! table of the device hold for each path that does not say it itself.

use super::device::{DeviceConfig, PathConfig};
use super::model::Config;
use super::position::{KeyPath, SourceMap};
use super::tree::Options;
use crate::connection::Reconnect;

impl Config {
    /// Gives paths what their devices say for all, and `sources` where that stands.
    pub(super) fn inherit(&mut self, sources: &mut SourceMap) {
        for (name, device) in &mut self.devices {
            let from = KeyPath::from_iter(["devices", name]);
            let written =
                |path: &str, key: &str| sources.contains(&from.key("paths").key(path).key(key));
            device.inherit(written);
            for path in device.paths.keys() {
                let to = from.key("paths").key(path);
                for key in ["uri", "options", "login", "keepalive", "reconnect"] {
                    sources.inherit(&from.key(key), &to.key(key));
                }
            }
        }
    }
}

impl DeviceConfig {
    /// Gives paths what is said here for all; `is_written` tells whether a path has a key of its own.
    /// Tables (`options`, `login`) are merged, and what a path says wins.
    fn inherit(&mut self, is_written: impl Fn(&str, &str) -> bool) {
        let Self { uri, options, login, keepalive, reconnect, paths, .. } = self;
        for (name, path) in paths {
            let is_free = |key: &str| !is_written(name, key);
            if let Some(uri) = uri.as_ref().filter(|_| is_free("uri")) {
                path.uri = uri.clone();
            }
            if let Some(keepalive) = keepalive.filter(|_| is_free("keepalive")) {
                path.policy.keepalive = keepalive.0;
            }
            if let Some(reconnect) = reconnect.as_ref().filter(|_| is_free("reconnect")) {
                path.policy.reconnect = reconnect.clone();
            }
            add(&mut path.options, options);
            if let Some(login) = login {
                add(path.login.get_or_insert_default(), login);
            }
        }
    }

    /// As a configuration does, for a device that is defined at run time: there, what a path has at its
    /// default counts as not said.
    #[must_use]
    pub fn with_inherited(mut self) -> Self {
        let (none, usual) = (PathConfig::default(), Reconnect::default());
        let said: Vec<(String, &str, bool)> = self
            .paths
            .iter()
            .flat_map(|(name, path)| {
                [
                    (name.clone(), "uri", !path.uri.is_empty()),
                    (name.clone(), "keepalive", path.policy.keepalive != none.policy.keepalive),
                    (name.clone(), "reconnect", path.policy.reconnect != usual),
                ]
            })
            .collect();
        self.inherit(|path, key| {
            said.iter().any(|(name, which, said)| *said && name == path && *which == key)
        });
        self
    }
}

/// Adds what is not there.
fn add(to: &mut Options, from: &Options) {
    for (key, value) in &from.0 {
        to.0.entry(key.clone()).or_insert_with(|| value.clone());
    }
}
