//! The commands that ask a running host, over the socket of its admin API or the network.

mod configuration;
mod diagnose;
mod events;
mod link;
mod list;
mod log;
mod network;
mod place;
mod status;
mod top;
mod upgrade;
mod verbs;

pub(super) use configuration::{ConfigCommand, ReloadArgs, config, reload};
pub(super) use diagnose::{DiagnoseArgs, diagnose};
pub(super) use events::{EventsArgs, events};
pub(super) use link::{HostLink, part};
pub(super) use list::{PsArgs, ShowArgs, ps, running_plugins, show};
pub(super) use log::{LogArgs, log};
pub(super) use place::{AdminArgs, HostSearch, none_at};
pub(super) use status::{StatusArgs, status};
pub(super) use top::{TopArgs, top};
pub(super) use upgrade::{UpgradeArgs, upgrade};
pub(super) use verbs::{
    CloseArgs, DrainArgs, EnableArgs, LeaseCommand, TargetCommand, WeightArgs, close, drain,
    enable, lease, target, weight,
};

use super::failure::{Failure, Outcome};
use tokio::runtime::Builder;

/// Runs what asks a host to its end.
pub(in crate::cli) fn ask<T>(asking: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::run(format!("no runtime: {error}")))?;
    runtime.block_on(asking)
}
