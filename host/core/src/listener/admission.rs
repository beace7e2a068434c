//! [`Admission`]: which peers a listener lets in, by their addresses.

use super::ListenerOptions;
use super::rates::PeerRates;
use crate::addr::Addr;
use crate::connection::{PeerCounts, PeerPlace};
use crate::networks::{Network, any_contains};
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::Arc;
use tokio::time::Instant;

/// Lets peers in.
#[derive(Debug)]
pub(super) struct Admission {
    allow: Vec<Network>,
    deny: Vec<Network>,
    here: Option<Arc<PeerCounts>>,
    rates: Option<Arc<PeerRates>>,
    /// Of all listeners together.
    host: Arc<PeerCounts>,
    /// The name of the socket that it listens on.
    pub(super) socket: Option<Arc<str>>,
}

/// The places of one connection among those of its address.
pub(super) type Places = [Option<PeerPlace>; 2];

impl Admission {
    pub(super) fn new(options: ListenerOptions, host: Arc<PeerCounts>) -> Self {
        let ListenerOptions {
            allow, deny, max_connections_per_peer, rate_per_peer, socket, ..
        } = options;
        let here = max_connections_per_peer.map(|most| PeerCounts::new(most.max(1) as usize));
        let socket = socket.map(Arc::from);
        let rates = rate_per_peer.map(|rate| Arc::new(PeerRates::new(rate)));
        Admission { allow, deny, here, rates, host, socket }
    }

    /// What `options` say from now on; whom the one before has let in counts.
    pub(super) fn after(before: &Admission, options: ListenerOptions) -> Self {
        let most = options.max_connections_per_peer.map(|most| most.max(1) as usize);
        let rate = options.rate_per_peer;
        let mut next = Admission::new(options, Arc::clone(&before.host));
        if let Some(here) = before.here.as_ref().filter(|here| Some(here.max()) == most) {
            next.here = Some(Arc::clone(here));
        }
        if let Some(rates) = before.rates.as_ref().filter(|rates| Some(rates.rate) == rate) {
            next.rates = Some(Arc::clone(rates));
        }
        next
    }

    /// Lets a peer in.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for an address that may not connect, [`ErrorKind::Limit`] for one that has as many
    /// connections as it may, or has connected as often.
    pub(super) fn admit(&self, peer: Option<&Addr>) -> Result<Places> {
        let address = peer.and_then(Addr::socket).map(|address| address.ip());
        let is_in = |list: &[Network]| address.is_some_and(|address| any_contains(list, address));
        if is_in(&self.deny) {
            return Err(Error::new(ErrorKind::Denied, "this address is denied").with("key", "deny"));
        }
        if !self.allow.is_empty() && !is_in(&self.allow) {
            let text = "this address is not among those that are allowed";
            return Err(Error::new(ErrorKind::Denied, text).with("key", "allow"));
        }
        let Some(address) = address else { return Ok([None, None]) };
        if let Some(rates) = self.rates.as_ref().filter(|it| !it.admit(address, Instant::now())) {
            let (most, per) = (rates.rate.connections, Timespan(rates.rate.per));
            let text = format!("{address} has connected {most} times within {per} already");
            return Err(Error::new(ErrorKind::Limit, text).with("key", "rate_per_peer"));
        }
        let enter = |counts: &Arc<PeerCounts>, key| {
            counts.enter(address).ok_or_else(|| {
                let text = format!("{address} has {} connections already", counts.max());
                Error::new(ErrorKind::Limit, text).with("key", key)
            })
        };
        let here = self.here.as_ref().map(|here| enter(here, "max_connections_per_peer"));
        Ok([here.transpose()?, Some(enter(&self.host, "host.max_connections_per_peer")?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(allow: &[&str], deny: &[&str], max: Option<u32>) -> Admission {
        let networks = |list: &[&str]| list.iter().map(|text| text.parse().expect(text)).collect();
        let options = ListenerOptions {
            allow: networks(allow),
            deny: networks(deny),
            max_connections_per_peer: max,
            ..ListenerOptions::default()
        };
        Admission::new(options, PeerCounts::new(3))
    }

    fn admit(admission: &Admission, peer: &str) -> Result<Places> {
        admission.admit(Some(&Addr::from(peer)))
    }

    #[test]
    fn lists_say_who_may_connect_and_deny_wins() {
        let all = admission(&[], &[], None);
        assert!(admit(&all, "192.0.2.1:5").is_ok() && all.admit(None).is_ok());
        let some = admission(&["10.0.0.0/8", "::1"], &["10.0.0.66"], None);
        let error = |peer: &str| admit(&some, peer).expect_err(peer);
        for peer in ["10.1.2.3:5", "[::ffff:10.1.2.3]:5", "[::1]:5"] {
            assert!(admit(&some, peer).is_ok(), "{peer}");
        }
        for (peer, key) in [("10.0.0.66:5", "deny"), ("192.0.2.1:5", "allow"), ("/run/a", "allow")]
        {
            let error = error(peer);
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.context().any(|(_, value)| value == key), "{error}");
        }
    }

    #[test]
    fn an_address_has_a_limit_here_and_one_of_the_host() {
        let admission = admission(&[], &[], Some(2));
        let places = [1, 2].map(|port| admit(&admission, &format!("10.0.0.1:{port}")));
        assert!(places.iter().all(Result::is_ok));
        let error = admit(&admission, "10.0.0.1:3").expect_err("its third");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(admit(&admission, "10.0.0.2:1").is_ok());
        drop(places);
        assert!(admit(&admission, "10.0.0.1:3").is_ok(), "a refused one holds no place");
        let host = Admission { here: None, ..admission };
        let places = [1, 2, 3].map(|port| admit(&host, &format!("10.0.0.3:{port}")));
        assert!(places.iter().all(Result::is_ok));
        let error = admit(&host, "10.0.0.3:4").expect_err("its fourth");
        assert!(error.to_string().contains("host.max_connections_per_peer"), "{error}");
    }
}
