//! Who the masters are, and what each may do.

use super::options::MasterOptions;
use crate::units::Units;
use ipnet::IpNet;
use jackfield_plugin_api::{Error, Info, Result};
use std::net::{IpAddr, SocketAddr};

/// One entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    addresses: Vec<IpNet>,
    port: Option<u16>,
    pub(super) priority: u8,
    pub(super) read_only: bool,
    units: Units,
}

impl Rule {
    /// Whether a unit may be asked.
    pub(super) fn allows(&self, unit: u8) -> bool {
        self.units.is_empty() || self.units.has(unit)
    }
}

/// All entries.
pub(super) struct Masters(Vec<Rule>);

impl Masters {
    pub(super) fn new(options: &[MasterOptions]) -> Result<Self> {
        let rule = |given: &MasterOptions| {
            Ok(Rule {
                addresses: given.addresses.iter().map(|it| network(it)).collect::<Result<_>>()?,
                port: given.port,
                priority: given.priority,
                read_only: given.read_only,
                units: given.units.clone(),
            })
        };
        options.iter().map(rule).collect::<Result<_>>().map(Masters)
    }

    /// The entry of a master, by what is known of its session.
    pub(super) fn of(&self, info: &Info) -> Rule {
        let address = |text: &Option<String>| text.as_deref()?.parse::<SocketAddr>().ok();
        let (peer, local) = (address(&info.peer), address(&info.local));
        let fits = |rule: &&Rule| {
            let there =
                |net: &IpNet| peer.is_some_and(|peer| net.contains(&peer.ip().to_canonical()));
            (rule.addresses.is_empty() || rule.addresses.iter().any(there))
                && (rule.port.is_none() || rule.port == local.map(|local| local.port()))
        };
        self.0.iter().find(fits).cloned().unwrap_or_default()
    }
}

fn network(text: &str) -> Result<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        let text = format!("expected an address or a network such as 10.0.0.0/24, not {text:?}");
        Error::option("masters", text)
    })
}
