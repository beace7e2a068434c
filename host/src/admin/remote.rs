//! Sessions that routes with `to = "admin"` bring: encrypted, from any address, of the owner of a certificate or the
//! holder of a token. What a certificate says is taken from the facts that the driver tells once it has checked it
//! (`peer_verified`); nothing here knows of a protocol.

use super::caller::AdminCaller;
use super::places::OpenPlaces;
use super::roles::{AdminPeer, RoleTable};
use super::server;
use crate::addr::Addr;
use crate::route::{AdminService, ServedSession};
use crate::shutdown::Stopping;
use jackfield_plugin_api::{Error, ErrorKind, Info, Origin, Session};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// What the session of somebody on the network has shown.
#[derive(Debug)]
pub(super) struct RemotePeer {
    certificate: Option<ShownCertificate>,
    local: Option<IpAddr>,
}

/// What a certificate says that was checked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ShownCertificate {
    /// Its subject, as `CN=ops, O=Example`; may be empty.
    pub(super) subject: String,
    /// The names that it is for.
    pub(super) names: Vec<String>,
    /// The SHA-256 of all of it, in lower-case hexadecimal.
    pub(super) sha256: String,
}

impl ShownCertificate {
    fn of(info: &Info) -> Option<Self> {
        let fact = |name: &str| info.facts.get(name);
        if fact("peer_verified") != Some(&Value::Bool(true)) {
            return None;
        }
        let text = |name: &str| fact(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Of a certificate that the layer has seen itself; what a proxy tells of one has no hash.
        if text("peer_sha256").len() != 64 {
            return None;
        }
        let names = fact("peer_names").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
        Some(ShownCertificate {
            subject: text("peer_subject"),
            names: names.collect(),
            sha256: text("peer_sha256"),
        })
    }

    /// Whose it is, for people.
    fn name(&self) -> String {
        let subject = Some(&self.subject).filter(|subject| !subject.is_empty());
        subject.or(self.names.first()).unwrap_or(&self.sha256).clone()
    }
}

impl RemotePeer {
    fn of(info: &Info) -> Self {
        let local = info.local.as_deref().map(Addr::from);
        let local = local.and_then(|local| local.socket()).map(|local| local.ip());
        RemotePeer { certificate: ShownCertificate::of(info), local }
    }

    /// The address of this machine that it has connected to.
    pub(super) fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Whose certificate was shown, and what that may do; `None` without one.
    pub(super) fn peer(&self, roles: &RoleTable) -> Option<AdminPeer> {
        let shown = self.certificate.as_ref()?;
        let role = roles.of_certificate(shown);
        Some(AdminPeer { uid: None, user: Some(shown.name()), role })
    }
}

impl AdminService for OpenPlaces {
    fn serve(self: Arc<Self>, session: Session, stopping: Stopping) -> ServedSession {
        Box::pin(async move {
            let info = session.info();
            if !info.encrypted {
                let text = "the admin API takes no session in the clear from a route";
                return Err(Error::new(ErrorKind::Config, text));
            }
            let stream = session.take_stream().ok_or_else(|| {
                Error::unsupported("the admin API on a session without a byte stream")
            })?;
            let (api, room) = self.parts();
            // Nothing here keeps the places open: who has gone ends with the session.
            drop(self);
            let Some(_place) = room.take(api.most_connections()) else {
                server::refuse(stream).await;
                return Err(Error::new(ErrorKind::Refused, "admin.max_connections are open")
                    .with_origin(Origin::Downstream));
            };
            let caller = AdminCaller::Remote(Arc::new(RemotePeer::of(&info)));
            server::talk(api, stream, caller, stopping.told()).await;
            // Until here, for its facts and its end belong together.
            drop(session);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_certificate_that_was_checked_says_who_asks() {
        let told = || Info::new().with("peer_subject", "CN=ops");
        let info = || told().with("peer_sha256", "ab".repeat(32));
        assert_eq!(ShownCertificate::of(&info()), None);
        assert_eq!(ShownCertificate::of(&info().with("peer_verified", false)), None);
        assert_eq!(ShownCertificate::of(&info().with("peer_verified", "true")), None);
        assert_eq!(ShownCertificate::of(&told().with("peer_verified", true)), None);
        let info = info().with("peer_verified", true).with("peer_names", json!(["a", "b"]));
        let shown = ShownCertificate::of(&info).unwrap();
        assert_eq!((shown.name(), shown.names.len()), ("CN=ops".to_owned(), 2));
    }
}
