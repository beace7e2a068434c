//! [`HostNames`]: the one place where host names become addresses.

use crate::work::{self, OpeningStep};
use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::timeout;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Gives the addresses of a host name; the layer above sets it where the system is not to be asked.
pub type NameLookup = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<IpAddr>>> + Send + Sync>;

/// How names are resolved: by the system, until a [`NameLookup`] is set.
#[derive(Default)]
pub struct HostNames {
    asked: ArcSwapOption<(Option<NameLookup>, Duration)>,
}

impl std::fmt::Debug for HostNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostNames")
    }
}

/// Where to: an address, or a name that is to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress<'a> {
    /// An IP address and a port.
    Known(SocketAddr),
    /// A host name and a port.
    Named(&'a str, u16),
}

impl<'a> HostAddress<'a> {
    /// Of a host as it is written.
    pub fn of(host: &'a str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => HostAddress::Known(SocketAddr::new(ip, port)),
            Err(_) => HostAddress::Named(host, port),
        }
    }
}

/// The most that one name may take where nothing was set.
const LIMIT: Duration = Duration::from_secs(10);

impl HostNames {
    /// Who is asked from now on, or the system, and the most that one name may take.
    pub fn set(&self, lookup: Option<NameLookup>, limit: Duration) {
        self.asked.store(Some(Arc::new((lookup, limit))));
    }

    /// Addresses of a host in the order of trying: families alternate, starting with that of the first. `family` is
    /// 4, 6, or anything else for both. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there are none; [`ErrorKind::TimedOut`].
    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
        family: u32,
    ) -> Result<Vec<SocketAddr>> {
        if let HostAddress::Known(address) = HostAddress::of(host, port) {
            return Ok(vec![address]);
        }
        // Boxed: most addresses are known.
        Box::pin(self.look_up(host, port, family)).await
    }

    async fn look_up(&self, host: &str, port: u16, family: u32) -> Result<Vec<SocketAddr>> {
        let (lookup, limit) = self.asked.load_full().map_or((None, LIMIT), |asked| {
            // RFC 6761 §6.3: that name is nobody's but this machine's.
            (asked.0.clone().filter(|_| !is_local(host)), asked.1)
        });
        work::opening(OpeningStep::Resolving);
        let looking = async {
            match lookup {
                Some(lookup) => lookup(host.to_owned()).await,
                None => by_system(host).await,
            }
        };
        let text = || format!("looking up the host name {host:?} took longer than {limit:?}");
        let found = timeout(limit, looking).await;
        work::opening(OpeningStep::Connecting);
        let found = found.map_err(|_| Error::new(ErrorKind::TimedOut, text()))??;
        let wanted = found.into_iter().filter(|address| match family {
            4 => address.is_ipv4(),
            6 => address.is_ipv6(),
            _ => true,
        });
        let ordered = interleave(wanted.map(|ip| SocketAddr::new(ip, port)).collect());
        if ordered.is_empty() {
            let text = format!("host name {host:?} has no address of the wanted family");
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        work::resolved(host, &ordered);
        Ok(ordered)
    }
}

/// `localhost` and names below it.
fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

async fn by_system(host: &str) -> Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("host name {host:?} does not resolve: {error}"))
    })?;
    Ok(found.map(|address| address.ip()).collect())
}

fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let (mut same, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(same.len() + other.len());
    while !same.is_empty() || !other.is_empty() {
        ordered.extend(same.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_in_the_systems_order() {
        let list = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').filter_map(|address| address.parse().ok()).collect()
        };
        let ordered = interleave(list("[::1]:1 [::2]:1 127.0.0.1:1 [::3]:1 127.0.0.2:1"));
        assert_eq!(ordered, list("[::1]:1 127.0.0.1:1 [::2]:1 127.0.0.2:1 [::3]:1"));
    }

    fn answering(addresses: &'static [&'static str]) -> HostNames {
        let lookup: NameLookup = Arc::new(move |_| {
            let found = addresses.iter().filter_map(|address| address.parse().ok()).collect();
            Box::pin(std::future::ready(Ok(found)))
        });
        let names = HostNames::default();
        names.set(Some(lookup), LIMIT);
        names
    }

    #[tokio::test]
    async fn whoever_is_set_is_asked_and_addresses_and_this_machine_are_not_asked_for() {
        let names = answering(&["192.0.2.1", "2001:db8::1"]);
        let found = async |host: &str, family| {
            let found = names.resolve(host, 7, family).await.expect("an address");
            found.iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("web.test", 0).await, ["192.0.2.1:7", "[2001:db8::1]:7"]);
        assert_eq!(found("web.test", 6).await, ["[2001:db8::1]:7"]);
        assert_eq!(found("10.0.0.1", 0).await, ["10.0.0.1:7"]);
        for local in ["localhost", "LocalHost.", "a.localhost"] {
            let answer = names.resolve(local, 7, 4).await;
            assert!(
                answer.is_err() || answer.is_ok_and(|all| all[0].ip().is_loopback()),
                "{local}"
            );
        }
        let none = answering(&[]).resolve("web.test", 7, 0).await.expect_err("no address");
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_takes_too_long_is_given_up() {
        let names = HostNames::default();
        names.set(Some(Arc::new(|_| Box::pin(std::future::pending()))), LIMIT);
        let error = names.resolve("web.test", 7, 0).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("web.test"), "{error}");
    }
}
