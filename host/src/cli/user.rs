//! `jackfield run --user`: a host that is started by root and runs as a user of its own.
//!
//! It becomes that user before it does anything else: before there are threads, before a file is read and before a
//! plugin is loaded. No code of a plugin ever runs as root, and what cannot be read later cannot be read now. Of what
//! root may it keeps one thing, ports below 1024, for listeners that a change of the configuration adds.

use super::failure::{Failure, Outcome};
use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;

/// Who the host is to be.
#[derive(Debug, Default, clap::Args)]
pub(super) struct UserArgs {
    /// Become this user before anything else, with its groups; for a host that root starts. Ports below 1024 can
    /// still be listened on
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The main group, in place of that of the user
    #[arg(long, value_name = "NAME", requires = "user")]
    group: Option<String>,
}

/// What is kept: as `AmbientCapabilities=CAP_NET_BIND_SERVICE` of systemd.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

impl UserArgs {
    /// Becomes that user, if one is named. Call it while there is one thread: each has its own privileges.
    pub(super) fn apply(&self) -> Outcome<()> {
        let Some(name) = &self.user else { return Ok(()) };
        let user = known_user(name)?;
        let group = self.group.as_deref().map(known_group).transpose()?;
        let gid = group.unwrap_or(user.gid);
        if user.uid == Uid::effective() && gid == Gid::effective() {
            // As the process after an upgrade is, from the beginning.
            return Ok(());
        }
        if !Uid::effective().is_root() {
            return Err(Failure::config(format!(
                "--user {name}: expected to be started by root, who can become another user"
            )));
        }
        become_user(name, user.uid, gid)
            .map_err(|error| Failure::run(format!("--user {name}: {error}")))
    }
}

fn known_user(name: &str) -> Outcome<User> {
    let known = User::from_name(name).ok().flatten();
    known.ok_or_else(|| {
        Failure::config(format!(
            "--user {name}: expected a user of this machine, which has no such"
        ))
    })
}

fn known_group(name: &str) -> Outcome<Gid> {
    let known = Group::from_name(name).ok().flatten();
    known.map(|group| group.gid).ok_or_else(|| {
        Failure::config(format!(
            "--group {name}: expected a group of this machine, which has no such"
        ))
    })
}

fn become_user(name: &str, uid: Uid, gid: Gid) -> std::io::Result<()> {
    let name = CString::new(name)?;
    initgroups(&name, gid)?;
    setgid(gid)?;
    if uid.is_root() {
        return Ok(());
    }
    set_keep_capabilities(true)?;
    setuid(uid)?;
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: KEPT };
    // A container may have taken it from root: then there is nothing to keep.
    if set_capabilities(None, sets).is_ok() {
        // For the process after an upgrade.
        configure_capability_in_ambient_set(KEPT, true)?;
    } else {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets)?;
    }
    set_no_new_privs(true)?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(std::io::Error::other("the way back to root is open"));
    }
    Ok(())
}
