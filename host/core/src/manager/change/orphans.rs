//! What programs have added may use what a configuration no longer has: that is refused.

use super::Staged;
use crate::config::diff::{ChangeKind, Changes, ObjectKind};
use crate::config::{ConfigError, KeyPath, Origin, Position, Reference, Via};
use crate::manager::Manager;
use crate::manager::entries::DefinedBy;
use crate::manager::parts::Parts;
use std::collections::BTreeSet;

/// Notes what is taken away although something that a program has added uses it.
pub(super) fn refuse(live: &Manager, parts: &mut Parts<'_>, staged: &Staged, changes: &Changes) {
    if changes.iter().all(|change| change.kind != ChangeKind::Removed) {
        return;
    }
    let gone = |kind, name: &str| {
        let change = changes.of_name(kind, name);
        change.is_some_and(|change| change.kind == ChangeKind::Removed)
    };
    let lost_via = |via: &Via| match via {
        Via::Connection(name) => gone(ObjectKind::Connection, name),
        Via::Device(to) => live.path(to).is_ok() && staged.next.path(to).is_err(),
        Via::Uri(_) => false,
    };
    let mut refuse = |user: &str, lost: String| {
        let text =
            format!("{lost} is used by {user}, which was added at run time; that goes first");
        let nowhere = Position::whole(Origin::Default);
        parts.errors.push(ConfigError::new(nowhere, KeyPath::root(), text));
    };
    for entry in live.core.named.entries.all() {
        let via = entry.config.as_ref().and_then(|config| config.via.as_ref());
        if let Some(via) = via.filter(|via| entry.by != DefinedBy::Config && lost_via(via)) {
            refuse(&format!("connections.{}", entry.name), via.to_string());
        }
    }
    let listed: BTreeSet<String> =
        parts.loaded.config.routes.iter().map(|route| route.listen.to_string()).collect();
    for running in live.core.listeners.running() {
        let Some(route) = running.route() else { continue };
        // Those of the file are checked with it, or go themselves.
        let named = changes.of_name(ObjectKind::Route, running.name());
        if listed.contains(running.name()) || named.is_some() {
            continue;
        }
        let lost = match &route.to {
            Reference::Connection(name) => gone(ObjectKind::Connection, name),
            Reference::Upstream(name) => gone(ObjectKind::Upstream, name),
            Reference::Handler(name) => gone(ObjectKind::Handler, name),
            Reference::Device(to) => live.path(to).is_ok() && staged.next.path(to).is_err(),
            Reference::Admin | Reference::Uri(_) => false,
        };
        if lost {
            refuse(&format!("the route of {}", running.name()), route.to.to_string());
        }
    }
}
