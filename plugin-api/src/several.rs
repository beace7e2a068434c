//! Listeners at all addresses of a name: [`bind_all`] makes their sockets, [`Listener::several`] one of them.

use crate::error::{Error, ErrorKind, Result};
use crate::info::Info;
use crate::listener::{Accept, Listener};
use crate::op::Op;
use crate::services::{Host, Level};
use crate::session::Session;
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

/// How often another port is chosen when the one that the first address got is taken on another.
const PORTS: usize = 8;

/// `EAFNOSUPPORT`: the machine has none of that family.
const NO_FAMILY: i32 = 97;

/// Binds a socket to each of the addresses of `name` by `bind`, all with the port that the first one gets. The order
/// stays, and an address that is there twice counts once. For a driver with sockets of its own; those of
/// [`Host::listen`] do so already.
///
/// # Errors
/// That of an address which cannot be taken, with the address. One that this machine does not have is left out with a
/// warning if there are others.
pub fn bind_all<S: AsFd>(
    host: &Host,
    name: &str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(address) {
            seen.push(*address);
        }
    }
    let is_free = seen.first().is_some_and(|first| first.port() == 0);
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_once(host, name, &seen, &bind) {
            Err(error) if is_free && error.kind() == ErrorKind::InUse && tries < PORTS => {}
            bound => return bound,
        }
    }
}

fn bind_once<S: AsFd>(
    host: &Host,
    name: &str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>> {
    let (mut bound, mut left_out) = (Vec::new(), Vec::new());
    let mut port = None;
    for address in addresses {
        let address = SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
        let failed = |error| Error::from(error).with("listen", address);
        match bind(address) {
            Ok(socket) => {
                let local = SockRef::from(&socket).local_addr()?.as_socket();
                port = port.or(local.map(|local| local.port()));
                bound.push(socket);
            }
            Err(error) if is_absent(&error) => left_out.push(failed(error)),
            Err(error) => return Err(failed(error)),
        }
    }
    if bound.is_empty() {
        let none =
            || Error::new(ErrorKind::NotFound, "no address of the wanted family to listen on");
        return Err(left_out.pop().unwrap_or_else(none));
    }
    for error in left_out {
        let text = format!("this machine does not have an address of {name}: {error}");
        host.log(Level::Warn, "listen", &text);
    }
    Ok(bound)
}

/// Whether the machine has no such address, or not this family of them.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_FAMILY)
}

impl Listener {
    /// Several as one, which accepts from each in turn. Its `local` is that of the first; if there are more, all are
    /// in the fact `locals`. An error of one is an error of all.
    pub fn several(all: Vec<Listener>) -> Listener {
        match <[Listener; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(all) => Listener::new(Several { all, first: AtomicUsize::new(0) }),
        }
    }
}

struct Several {
    all: Vec<Listener>,
    /// Which one is asked first, so that a busy one does not keep the others waiting.
    first: AtomicUsize,
}

impl Accept for Several {
    fn info(&self) -> Info {
        let mut infos = self.all.iter().map(Listener::info);
        let first = infos.next().unwrap_or_default();
        let locals: Vec<String> =
            first.local.iter().cloned().chain(infos.filter_map(|info| info.local)).collect();
        first.with("locals", locals)
    }

    async fn accept(&self) -> Result<Session> {
        let first = self.first.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        let (before, from) = self.all.split_at(first);
        let mut ops: Vec<Op<Session>> = from.iter().chain(before).map(Listener::accept).collect();
        // Each is polled until one has a session, so that all wake this task. The others lose nothing by their end.
        poll_fn(|cx| {
            let ready = ops.iter_mut().map(|op| Pin::new(op).poll(cx));
            ready.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    struct One(u16);

    impl Accept for One {
        fn info(&self) -> Info {
            Info { local: Some(format!("127.0.0.{}:1", self.0)), ..Info::default() }
        }
        async fn accept(&self) -> Result<Session> {
            Err(Error::new(ErrorKind::Other, self.0.to_string()))
        }
    }

    #[tokio::test]
    async fn several_listeners_take_turns_and_tell_all_addresses() {
        let both = Listener::several(vec![Listener::new(One(1)), Listener::new(One(2))]);
        let info = both.info();
        assert_eq!(info.local.as_deref(), Some("127.0.0.1:1"));
        assert_eq!(info.facts["locals"], serde_json::json!(["127.0.0.1:1", "127.0.0.2:1"]));
        for wanted in ["1", "2", "1"] {
            assert_eq!(both.accept().await.expect_err("its number").message(), wanted);
        }
        let only = Listener::several(vec![Listener::new(One(3))]);
        assert!(!only.info().facts.contains_key("locals"));
    }

    #[cfg(feature = "testing")]
    #[test]
    fn all_addresses_of_a_name_get_one_port() {
        let host = crate::testing::host();
        // The third one is of no machine (RFC 5737), and is left out.
        let all: Vec<SocketAddr> = ["127.0.0.1:0", "127.0.0.2:0", "192.0.2.1:0", "127.0.0.1:0"]
            .map(|address| address.parse().expect("an address"))
            .into();
        let bound = bind_all(&host, "here.test", &all, UdpSocket::bind).expect("sockets");
        let locals: Vec<_> =
            bound.iter().map(|socket| socket.local_addr().expect("an address")).collect();
        assert_eq!(locals.len(), 2);
        assert_eq!(locals[0].port(), locals[1].port());
        let taken = bind_all(&host, "here.test", &locals, UdpSocket::bind).expect_err("taken");
        assert_eq!(taken.kind(), ErrorKind::InUse, "{taken}");
        let nowhere = bind_all(&host, "x.test", &all[2..3], UdpSocket::bind);
        nowhere.expect_err("no address of this machine");
    }
}
