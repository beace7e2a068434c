//! What runs, as others read it: the faces of the host only render this.

use super::entries::DefinedBy;
use crate::connection::{ConnectionSnapshot, Flags, LivesCount, ManagedSnapshot};
use crate::device::DeviceSnapshot;
use crate::driver::PluginState;
use crate::upstream::UpstreamSnapshot;
use serde::Serialize;

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct HostSnapshot {
    /// What listens.
    pub listeners: Vec<ListenerSnapshot>,
    /// The named connections and the session that each shares.
    pub named: Vec<NamedSnapshot>,
    /// How many of them, and of devices' paths, have a life now, and had.
    pub named_lives: LivesCount,
    /// Devices with their paths, who has the exclusive ones and who waits.
    pub devices: Vec<DeviceSnapshot>,
    /// Sets of targets, by name.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// What lives.
    pub connections: Vec<ConnectionSnapshot>,
    /// How many connections there have been.
    pub connections_total: u64,
    /// Plugins that run, and how each said it was when it was last asked.
    pub plugins: Vec<PluginState>,
}

/// One listener.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerSnapshot {
    /// As it is written in the configuration.
    pub listen: String,
    /// Where it listens, with the port that the system chose.
    pub local: Option<String>,
    /// Where its route leads.
    pub to: String,
    /// What it is and does: `is_listening`.
    pub flags: Flags,
}

/// One named connection.
#[derive(Clone, Debug, Serialize)]
pub struct NamedSnapshot {
    /// What it is and does.
    #[serde(flatten)]
    pub connection: ManagedSnapshot,
    /// Where its definition comes from.
    pub defined_by: DefinedBy,
}
