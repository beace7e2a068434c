//! `[devices]`: what they hold, and what a reference to a path means.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::connection::problems;
use super::model::{Config, Labels};
use super::reference::{DevicePath, Via};
use super::templates::Extends;
use super::tree::Options;
use crate::connection::{Policy, Reconnect};
use crate::device::{LeaseOptions, ObserverOptions};
use crate::nearest::did_you_mean;
use crate::stack::uri::StackUri;
use crate::units::Timespan;
use jackfield_text::range::{Problem, Ranges};

/// `[devices.NAME]`: a named thing with several named paths to it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// The template whose keys it has, too, as far as it does not say them itself; see `[templates.NAME]`. Files
    /// only. Default: none.
    #[schemars(extend("x-apply" = "none"))]
    pub extends: Extends,
    /// The path that is meant where none is named. Default: the only one, if there is only one.
    #[schemars(extend("x-apply" = "live"))]
    pub default: Option<String>,
    /// The credentials of paths that name none themselves. Default: `[credentials.default]`, if
    /// there is one.
    pub credentials: Option<String>,
    /// Further names of the device; no two devices share one. Default: `[]`.
    #[schemars(extend("x-apply" = "live"))]
    pub aliases: Vec<String>,
    /// Which path has which role, such as `{ active = "a", standby = "b" }` of two consoles of one device. A role
    /// is named as a path is, where something is called, posted, connected or opened: `devices.NAME.standby`. Default: none.
    #[schemars(extend("x-apply" = "live"))]
    pub roles: BTreeMap<String, String>,
    /// Free labels. Default: none.
    #[schemars(extend("x-apply" = "live"))]
    pub labels: Labels,
    /// What paths connect to that name nothing themselves. Default: none.
    pub uri: Option<StackUri>,
    /// Options of all paths; those of a path win. Default: none.
    pub options: Options,
    /// How one logs in on all paths; the keys of a path win. Default: nothing is said.
    pub login: Option<Options>,
    /// `keepalive` of paths that have none themselves. Default: none.
    pub keepalive: Option<Timespan>,
    /// `reconnect` of paths that have none themselves. Default: none.
    pub reconnect: Option<Reconnect>,
    /// `[devices.NAME.paths]`: the ways to it, by name. At least one.
    pub paths: BTreeMap<String, PathConfig>,
}

/// One way to a device. Keys that connections have too mean what they mean there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathConfig {
    /// The template whose keys it has, too, as far as it does not say them itself; see `[templates.NAME]`. Files
    /// only. Default: none.
    #[schemars(extend("x-apply" = "none"))]
    pub extends: Extends,
    /// What to connect to. Required.
    #[schemars(extend("x-apply" = "drain"))]
    pub uri: StackUri,
    /// Options of the drivers in the stack; they win over credentials. Default: none.
    pub options: Options,
    /// What dials for this path: `"connections.NAME"` or `"devices.NAME.PATH"`. Default: the host
    /// dials.
    #[schemars(extend("x-apply" = "drain"))]
    pub via: Option<Via>,
    /// The credentials of this path. Default: those of the device.
    pub credentials: Option<String>,
    /// The role whose options they have for this path, such as `bmc`; what the role does not say they say themselves.
    /// Default: none.
    pub credentials_role: Option<String>,
    /// Whether there is at most one session of this path at a time. Default: false.
    #[schemars(extend("x-apply" = "drain"))]
    pub exclusive: bool,
    /// How an exclusive path goes from one to the next. Default: that of `{}`.
    #[schemars(extend("x-apply" = "drain"))]
    pub lease: Option<LeaseOptions>,
    /// How an exclusive path is watched. Default: that of `{}`.
    #[schemars(extend("x-apply" = "drain"))]
    pub observers: Option<ObserverOptions>,
    /// Login dialogue of a new session; name and password are those of the credentials, unless it
    /// has its own. Default: nothing is sent.
    pub login: Option<Options>,
    /// What stands around its operations, as for connections. Default: `[]`.
    pub interceptors: Vec<String>,
    /// What it does by itself, as a connection.
    #[serde(flatten)]
    pub policy: Policy,
}

impl PathConfig {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        let given = [("lease", self.lease.is_some()), ("observers", self.observers.is_some())];
        let mut found = Ranges::new();
        for (key, given) in given {
            found = found.expect(
                self.exclusive || !given,
                key,
                "only for a path with exclusive = true",
            );
        }
        if let Some(observers) = &self.observers {
            found = found.below("observers", observers.problems());
        }
        let mut problems = problems(&self.uri, &self.policy);
        problems.extend(found.problems());
        problems
    }
}

impl DeviceConfig {
    /// The path that has `role`, unless that is the name of a path.
    pub fn with_role(&self, role: &str) -> Option<&str> {
        let found = self.roles.get(role).filter(|_| !self.paths.contains_key(role));
        found.map(String::as_str)
    }
}

/// What can carry others and be carried: a connection, or a path of a device, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link<'a> {
    /// `connections.NAME`
    Connection(&'a str),
    /// `devices.NAME.PATH`
    Path(&'a str, &'a str),
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Connection(name) => f.write_str(name),
            Link::Path(device, path) => write!(f, "devices.{device}.{path}"),
        }
    }
}

/// Why a text names no path, and what it may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathProblem {
    /// What is missing.
    pub message: String,
    /// The nearest that there is.
    pub near: Option<String>,
}

impl Config {
    /// The device of that name or alias, with its name.
    pub fn device(&self, name: &str) -> Option<(&str, &DeviceConfig)> {
        let named = self.devices.get_key_value(name);
        let aliased = || {
            let is = |device: &DeviceConfig| device.aliases.iter().any(|alias| alias == name);
            self.devices.iter().find(|(_, device)| is(device))
        };
        named.or_else(aliased).map(|(name, device)| (name.as_str(), device))
    }

    /// The path that `to` means, the default one and one by its role included.
    ///
    /// # Errors
    /// An unknown device or path, or no path named where there are several and no default.
    pub fn path(&self, to: &DevicePath) -> Result<Link<'_>, PathProblem> {
        let Some((name, device)) = self.device(&to.device) else {
            let names = self.devices.keys();
            let aliases = self.devices.values().flat_map(|device| &device.aliases);
            let near = did_you_mean(&to.device, names.chain(aliases));
            let near = near.map(|near| match &to.path {
                Some(path) => format!("devices.{near}.{path}"),
                None => format!("devices.{near}"),
            });
            return Err(PathProblem {
                message: format!("there is no [devices.{}]", to.device),
                near,
            });
        };
        let known: Vec<&str> = device.paths.keys().map(String::as_str).collect();
        let only = || if device.paths.len() == 1 { known.first().copied() } else { None };
        let path = match to.path.as_deref().or(device.default.as_deref()).or_else(only) {
            Some(path) => device.with_role(path).unwrap_or(path),
            None => {
                let message = format!("{to} has no default path; paths: {}", known.join(" "));
                return Err(PathProblem { message, near: None });
            }
        };
        match device.paths.get_key_value(path) {
            Some((path, _)) => Ok(Link::Path(name, path)),
            None => {
                let near = did_you_mean(path, known.iter().copied());
                let near = near.map(|near| format!("devices.{}.{near}", to.device));
                let message =
                    format!("[devices.{name}] has no path {path:?}; paths: {}", known.join(" "));
                Err(PathProblem { message, near })
            }
        }
    }

    /// Everything that can be carried.
    pub fn links(&self) -> impl Iterator<Item = Link<'_>> {
        let paths = self.devices.iter().flat_map(|(device, config)| {
            config.paths.keys().map(move |path| Link::Path(device, path))
        });
        self.connections.keys().map(|name| Link::Connection(name)).chain(paths)
    }

    /// Whether `link` is a path with `exclusive = true`.
    pub fn is_exclusive(&self, link: Link<'_>) -> bool {
        let Link::Path(device, path) = link else { return false };
        let path = self.devices.get(device).and_then(|device| device.paths.get(path));
        path.is_some_and(|path| path.exclusive)
    }

    /// What `via` means; `None` when it means nothing.
    pub fn carrier<'a>(&'a self, via: &'a Via) -> Option<Link<'a>> {
        match via {
            Via::Connection(name) => {
                self.connections.get_key_value(name).map(|(name, _)| Link::Connection(name))
            }
            Via::Device(path) => self.path(path).ok(),
            // What stands for itself is in no table.
            Via::Uri(_) => None,
        }
    }

    /// What carries `link`, if something does.
    pub fn carrier_of(&self, link: Link<'_>) -> Option<Link<'_>> {
        let via = match link {
            Link::Connection(name) => self.connections.get(name)?.via.as_ref()?,
            Link::Path(device, path) => self.devices.get(device)?.paths.get(path)?.via.as_ref()?,
        };
        self.carrier(via)
    }

    /// The names of the credentials for a path, in the order they are tried.
    pub fn credentials_for(&self, device: &str, path: &str) -> Vec<&str> {
        let Some(device) = self.devices.get(device) else { return Vec::new() };
        let own = device.paths.get(path).and_then(|path| path.credentials.as_deref());
        self.credentials_from(own.or(device.credentials.as_deref()).unwrap_or("default"))
    }

    /// The credentials `first` and those tried after them; none if there are no such.
    pub fn credentials_from(&self, first: &str) -> Vec<&str> {
        let Some((first, found)) = self.credentials.get_key_value(first) else { return Vec::new() };
        let mut names = vec![first.as_str()];
        names.extend(found.fallback.iter().map(String::as_str));
        names
    }

    /// Leaves out what cannot be needed to reach `start`: other connections and paths.
    pub fn retain_chain(&mut self, start: Link<'_>) {
        let mut kept: Vec<String> = Vec::new();
        let mut here = Some(start);
        while let Some(link) = here {
            let name = format!("{link}");
            if kept.contains(&name) {
                break;
            }
            kept.push(name);
            here = self.carrier_of(link);
        }
        self.connections.retain(|name, _| kept.contains(name));
        self.devices.retain(|device, config| {
            config.paths.retain(|path, _| kept.contains(&format!("devices.{device}.{path}")));
            !config.paths.is_empty()
        });
    }
}
