//! Who may do what: roles of users and groups of this machine, by what the kernel tells of who connects, and of the owners
//! of certificates.

use super::remote::ShownCertificate;
use crate::config::model::AdminConfig;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use serde::Serialize;
use std::ffi::CString;
use tokio::net::unix::UCred;

/// What somebody may do; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRole {
    /// Look.
    Viewer,
    /// Drain, weigh, close, call, break leases, change the level of the log.
    Operator,
    /// Define and remove.
    Admin,
}

impl AdminRole {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            AdminRole::Viewer => "viewer",
            AdminRole::Operator => "operator",
            AdminRole::Admin => "admin",
        }
    }
}

/// Somebody who has connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdminPeer {
    /// The number of its user; none of the holder of a token or the owner of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name of its user, if it has one, or of the token, or the subject of the certificate.
    pub user: Option<String>,
    /// What it may do; `None`: nothing.
    pub role: Option<AdminRole>,
}

impl AdminPeer {
    /// As leases, events and the log have it.
    pub fn name(&self) -> String {
        let number = || format!("uid {}", self.uid.unwrap_or_default());
        self.user.clone().unwrap_or_else(number)
    }
}

/// Which certificate is meant.
#[derive(Clone, Debug, PartialEq)]
enum CertificateRule {
    Subject(String),
    /// One of the names that it is for.
    Name(String),
    /// The SHA-256 of all of it.
    Sha256(String),
}

/// Which users, groups and certificates have which role.
#[derive(Clone, Debug, Default)]
pub(super) struct RoleTable {
    own: u32,
    users: Vec<(u32, AdminRole)>,
    groups: Vec<(u32, AdminRole)>,
    certificates: Vec<(CertificateRule, AdminRole)>,
}

impl CertificateRule {
    /// `None` for what names a user or a group.
    fn of(entry: &str) -> Option<Result<Self, String>> {
        if let Some(name) = entry.strip_prefix("certificate:") {
            // Of a subject, `CN=…`; names of certificates have no `=` before other signs.
            let (kind, _) = name.split_once('=').unwrap_or_default();
            let is_subject =
                !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
            let rule = if is_subject { CertificateRule::Subject } else { CertificateRule::Name };
            return Some(match name.is_empty() {
                true => Err("expected a subject, as \"certificate:CN=ops, O=Lab\", or a name of a certificate".to_owned()),
                false => Ok(rule(name.to_owned())),
            });
        }
        let hash = entry.strip_prefix("sha256:")?.replace(':', "").to_ascii_lowercase();
        let is_hash = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        let expected =
            || "expected the SHA-256 of a certificate as 64 hexadecimal digits".to_owned();
        Some(is_hash.then_some(CertificateRule::Sha256(hash)).ok_or_else(expected))
    }

    fn means(&self, shown: &ShownCertificate) -> bool {
        match self {
            CertificateRule::Subject(subject) => shown.subject == *subject,
            CertificateRule::Name(name) => shown.names.contains(name),
            CertificateRule::Sha256(hash) => shown.sha256 == *hash,
        }
    }
}

impl RoleTable {
    /// The roles that a configuration gives.
    ///
    /// # Errors
    /// The first user or group that this machine does not have: its key, its index there, and what was expected.
    pub(super) fn of(config: &AdminConfig) -> Result<Self, (&'static str, usize, String)> {
        let mut table = RoleTable { own: Uid::effective().as_raw(), ..RoleTable::default() };
        let lists = [
            ("admin", &config.admin, AdminRole::Admin),
            ("operator", &config.operator, AdminRole::Operator),
            ("viewer", &config.viewer, AdminRole::Viewer),
        ];
        for (key, names, role) in lists {
            for (index, name) in names.iter().enumerate() {
                table.add(name, role).map_err(|expected| (key, index, expected))?;
            }
        }
        Ok(table)
    }

    fn add(&mut self, name: &str, role: AdminRole) -> Result<(), String> {
        if let Some(rule) = CertificateRule::of(name) {
            self.certificates.push((rule?, role));
            return Ok(());
        }
        if let Some(group) = name.strip_prefix('@') {
            let known = Group::from_name(group).ok().flatten();
            let known = known.ok_or_else(|| {
                format!(
                    "expected a group of this machine, found \"@{group}\", which it does not have"
                )
            })?;
            self.groups.push((known.gid.as_raw(), role));
        } else {
            let known = User::from_name(name).ok().flatten();
            let known = known.ok_or_else(|| {
                format!(
                    "expected a user of this machine, a group as \"@group\", \"certificate:NAME\" or \"sha256:HASH\", found {name:?}, which \
                     this machine does not have"
                )
            })?;
            self.users.push((known.uid.as_raw(), role));
        }
        Ok(())
    }

    /// Whether others than root and the user of the host have a role.
    pub(super) fn lets_others_in(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Whether owners of certificates have a role.
    pub(super) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The role of who has shown a certificate: the highest that it has in any way.
    pub(super) fn of_certificate(&self, shown: &ShownCertificate) -> Option<AdminRole> {
        let meant = self.certificates.iter().filter(|(rule, _)| rule.means(shown));
        meant.map(|(_, role)| *role).max()
    }

    /// The role of a user with these groups: the highest that it has in any way.
    fn role(&self, uid: u32, groups: &[u32]) -> Option<AdminRole> {
        if uid == 0 || uid == self.own {
            return Some(AdminRole::Admin);
        }
        let by_user = self.users.iter().filter(|(known, _)| *known == uid);
        let by_group = self.groups.iter().filter(|(known, _)| groups.contains(known));
        by_user.chain(by_group).map(|(_, role)| *role).max()
    }

    /// Who has connected. Asks the user database of the system, which may block.
    pub(super) fn peer(&self, credentials: UCred) -> AdminPeer {
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        let mut groups = vec![gid];
        let needs_groups = !self.groups.is_empty();
        if let Some(name) = user.as_deref().and_then(|name| CString::new(name).ok())
            && needs_groups
            && let Ok(more) = getgrouplist(&name, Gid::from_raw(gid))
        {
            groups.extend(more.into_iter().map(Gid::as_raw));
        }
        AdminPeer { uid: Some(uid), user, role: self.role(uid, &groups) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_role_that_a_user_has_in_any_way_counts() {
        let table = RoleTable {
            own: 500,
            users: vec![(7, AdminRole::Viewer), (8, AdminRole::Operator)],
            groups: vec![(70, AdminRole::Admin), (71, AdminRole::Viewer)],
            ..RoleTable::default()
        };
        assert_eq!(table.role(0, &[]), Some(AdminRole::Admin));
        assert_eq!(table.role(500, &[]), Some(AdminRole::Admin));
        assert_eq!(table.role(7, &[1, 2]), Some(AdminRole::Viewer));
        assert_eq!(table.role(7, &[1, 70]), Some(AdminRole::Admin));
        assert_eq!(table.role(8, &[71]), Some(AdminRole::Operator));
        assert_eq!(table.role(9, &[72]), None);
    }

    #[test]
    fn a_certificate_has_a_role_by_its_subject_a_name_or_its_hash_and_by_nothing_like_them() {
        let hash = "ab".repeat(32);
        let spaced = format!("sha256:{}", ["AB"; 32].join(":"));
        let config = AdminConfig {
            viewer: vec!["certificate:CN=ops, O=Lab".into()],
            operator: vec!["certificate:ops.example".into()],
            admin: vec![spaced],
            ..AdminConfig::default()
        };
        let table = RoleTable::of(&config).unwrap();
        assert!(table.has_certificates() && !table.lets_others_in());
        let role = |subject: &str, names: &[&str], sha256: &str| {
            table.of_certificate(&ShownCertificate {
                subject: subject.to_owned(),
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                sha256: sha256.to_owned(),
            })
        };
        assert_eq!(role("CN=ops, O=Lab", &[], "cd"), Some(AdminRole::Viewer));
        assert_eq!(role("CN=ops, O=Lab", &["ops.example"], "cd"), Some(AdminRole::Operator));
        assert_eq!(role("", &[], &hash), Some(AdminRole::Admin));
        assert_eq!(role("CN=ops", &["CN=ops, O=Lab", "x.ops.example"], "ab"), None);
        assert_eq!(role("ops.example", &[], ""), None);
        for wrong in ["sha256:ab", "certificate:", "sha256:"] {
            let config = AdminConfig { viewer: vec![wrong.into()], ..AdminConfig::default() };
            assert!(RoleTable::of(&config).unwrap_err().2.starts_with("expected"), "{wrong}");
        }
    }

    #[test]
    fn a_user_or_group_that_there_is_not_is_told_by_its_key() {
        let config = |admin: &str| AdminConfig {
            viewer: vec!["root".into()],
            admin: vec![admin.into()],
            ..AdminConfig::default()
        };
        assert!(RoleTable::of(&config("root")).is_ok());
        for nobody in ["no-such-user", "@no-such-group"] {
            let told = RoleTable::of(&config(nobody)).unwrap_err();
            assert_eq!((told.0, told.1), ("admin", 0));
            assert!(told.2.contains(nobody), "{}", told.2);
        }
    }
}
