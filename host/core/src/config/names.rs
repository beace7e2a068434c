//! What `host.resolver` refers to: it must be reached without names, and is needed to reach anything else.

use std::net::IpAddr;

use super::check::Check;
use super::device::Link;
use super::model::{Config, UpstreamConfig};
use super::position::KeyPath;
use super::reference::{Reference, Via};
use crate::stack::uri::StackUri;

const EXPECTED: &str = "expected \"connections.NAME\" or \"upstreams.NAME\"";

impl Config {
    /// Takes in what `whole` looks names up by, and what that goes via, where it was left out.
    pub fn keep_resolver(&mut self, whole: &Config) {
        for to in &whole.host.resolver {
            let mut part = whole.clone();
            match to {
                Reference::Connection(name) => {
                    part.upstreams.clear();
                    part.retain_chain(Link::Connection(name));
                }
                Reference::Upstream(name) => part.upstreams.retain(|other, _| other == name),
                _ => continue,
            }
            self.connections.extend(part.connections);
            self.upstreams.extend(part.upstreams);
            for (name, device) in part.devices {
                self.devices.entry(name).or_insert(device);
            }
        }
    }
}

impl Check<'_> {
    /// `host.resolver`, and what its connection or the targets of its upstream connect to.
    pub(super) fn resolver(&mut self) {
        let config = self.config;
        for (index, to) in config.host.resolver.iter().enumerate() {
            let at = KeyPath::from_iter(["host", "resolver"]).index(index);
            match to {
                Reference::Connection(name) => {
                    self.destination(&at, to);
                    self.by_address(&at, name);
                }
                Reference::Upstream(name) => {
                    self.destination(&at, to);
                    let targets = config.upstreams.get(name).map(|upstream| &upstream.targets);
                    for target in targets.into_iter().flatten() {
                        match &target.to {
                            Some(Via::Connection(name)) => self.by_address(&at, name),
                            _ => self.is_address(&at, &target.uri),
                        }
                    }
                }
                _ => self.fail(at, EXPECTED, None),
            }
        }
    }

    /// Services of an upstream, which the system cannot look up.
    pub(super) fn discovers(&mut self, at: &KeyPath, upstream: &UpstreamConfig) {
        self.ranges(at, upstream.discover.problems());
        let at = at.key("services");
        if upstream.discover.services.is_empty() {
            return;
        }
        if self.config.host.resolver.is_empty() && !self.is_alone {
            self.fail(
                at.clone(),
                "expected host.resolver beside it: the system knows no services",
                None,
            );
        }
        for (index, service) in upstream.discover.services.iter().enumerate() {
            let is_name =
                service.host.as_deref().is_some_and(|host| host.parse::<IpAddr>().is_err());
            if !is_name || service.port.is_some() {
                let expected = "expected a URI with the name of a service and no port, such as \
                                \"tcp://_name._tcp.example.com\"";
                self.fail(at.index(index), expected, None);
            }
        }
    }

    fn by_address(&mut self, at: &KeyPath, connection: &str) {
        let config = self.config;
        if let Some(connection) = config.connections.get(connection) {
            self.is_address(at, &connection.uri);
        }
    }

    /// To look up its name, it would have to be asked itself.
    fn is_address(&mut self, at: &KeyPath, uri: &StackUri) {
        let host = uri.host.as_deref().unwrap_or_default();
        if !uri.is_empty() && host.parse::<IpAddr>().is_err() {
            let message = format!(
                "expected a server by its IP address, since names are looked up there: {uri}"
            );
            self.fail(at.clone(), message, None);
        }
    }
}
