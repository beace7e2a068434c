//! TCP listeners: all addresses that a name stands for, as one listener.

use super::host_names::HostNames;
use super::sockets::set_stream;
use crate::handover::{Giving, Handover, HandoverName};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::services::Socket;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};

/// How often another port is chosen when the one that the first address got is taken on another.
const PORTS: usize = 8;

/// Sockets that listen in this process, by their addresses.
static LISTENING: Mutex<BTreeMap<SocketAddr, Weak<TcpListener>>> = Mutex::new(BTreeMap::new());

tokio::task_local! {
    /// Set where a listener takes the place of another one of its address.
    static TAKES_OVER: ();
}

/// Runs `listening`, in which sockets that listen already in this process are shared: a listener that takes the place of
/// another so loses no connection that waits to be accepted.
pub async fn handed_over<F: Future>(listening: F) -> F::Output {
    TAKES_OVER.scope((), listening).await
}

/// Sockets that listen, at least one.
#[derive(Debug)]
pub(crate) struct TcpListeners {
    all: Vec<Arc<TcpListener>>,
    /// Where what each accepts has its own end; `None` where it listens on more than one address, and of those that a
    /// service manager has opened, which may be transparent.
    ends: Vec<Option<SocketAddr>>,
    /// What each is handed over as.
    names: Vec<HandoverName>,
    /// Which one is asked first, so that a busy one does not keep the others waiting.
    first: AtomicUsize,
}

impl TcpListeners {
    /// Listens on every address that the socket's host stands for, all with one port.
    ///
    /// # Errors
    /// That of an address which cannot be taken. One that this machine does not have is left out with a warning
    /// if there are others.
    pub(super) async fn bind(
        socket: &Socket,
        names: &HostNames,
        handover: &Handover,
    ) -> Result<Arc<Self>> {
        let is_any = socket.host.is_empty() || socket.host == "*";
        if is_any {
            return Ok(Self::of(vec![bind_any(socket, handover)?], handover));
        }
        let mut addresses = names.resolve(&socket.host, socket.port, socket.family).await?;
        // Lists of hosts may have a line twice.
        let mut seen = Vec::new();
        addresses.retain(|address| {
            let is_new = !seen.contains(address);
            seen.push(*address);
            is_new
        });
        let mut tries = 0;
        loop {
            tries += 1;
            match bind_all(socket, &addresses, handover) {
                Err(error) if socket.port == 0 && is_taken(&error) && tries < PORTS => {}
                bound => return bound.map(|bound| Self::of(bound, handover)),
            }
        }
    }

    /// Sockets that a service manager has opened under one name.
    pub(super) fn named(
        name: &str,
        taken: Vec<OwnedFd>,
        socket: &Socket,
        handover: &Handover,
    ) -> io::Result<Arc<Self>> {
        let listeners = taken.into_iter().map(|fd| {
            let listener = adopted(fd, socket)?;
            Ok((listener, HandoverName::Named(name.to_owned())))
        });
        Ok(Self::of(listeners.collect::<io::Result<_>>()?, handover))
    }

    fn of(bound: Vec<(TcpListener, HandoverName)>, handover: &Handover) -> Arc<Self> {
        let bound = bound.into_iter().map(|(listener, name)| (Arc::new(listener), name));
        let (all, names): (Vec<_>, Vec<_>) = bound.unzip();
        let mut listening = LISTENING.lock().ignore_poison();
        listening.retain(|_, listener| listener.strong_count() > 0);
        for listener in &all {
            if let Ok(address) = listener.local_addr() {
                listening.insert(address, Arc::downgrade(listener));
            }
        }
        drop(listening);
        let ends = all.iter().zip(&names).map(|(listener, name)| {
            let is_ours = matches!(name, HandoverName::Tcp(_));
            let end = is_ours.then(|| listener.local_addr().ok()).flatten();
            end.filter(|end| !end.ip().is_unspecified())
        });
        let ends = ends.collect();
        let listeners = Arc::new(TcpListeners { all, ends, names, first: AtomicUsize::new(0) });
        let offer = Arc::downgrade(&listeners);
        handover.offer(offer);
        listeners
    }

    /// Where it listens: the first address, and all as the fact `locals` if there are several.
    pub(super) fn info(&self) -> Info {
        let locals = self.all.iter().filter_map(|listener| listener.local_addr().ok());
        let locals: Vec<String> = locals.map(|address| address.to_string()).collect();
        let mut info = Info::new();
        info.local = locals.first().cloned();
        if locals.len() > 1 { info.with("locals", locals) } else { info }
    }

    /// The next connection, on whichever address: its socket, its own end where that is known, and its peer's. Cancel
    /// safe.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, Option<SocketAddr>, SocketAddr)>> {
        if let ([only], [end]) = (&*self.all, &*self.ends) {
            return only.poll_accept(cx).map_ok(|(stream, peer)| (stream, *end, peer));
        }
        let count = self.all.len();
        let first = self.first.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let each = (first..count).chain(0..first);
        let accepted = each.filter_map(|at| self.all.get(at).zip(self.ends.get(at)));
        // Each is polled until one has a connection, so that all wake this task.
        accepted
            .map(|(listener, end)| {
                let accepted = listener.poll_accept(cx);
                accepted.map_ok(|(stream, peer)| (stream, *end, peer))
            })
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    }
}

impl Giving for TcpListeners {
    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>> {
        let each = self.all.iter().zip(&self.names);
        each.map(|(listener, name)| Ok((name.clone(), listener.as_fd().try_clone_to_owned()?)))
            .collect()
    }
}

fn is_taken(error: &Error) -> bool {
    error.kind() == ErrorKind::InUse
}

/// All addresses of the machine; without IPv6, those of IPv4.
fn bind_any(socket: &Socket, handover: &Handover) -> Result<(TcpListener, HandoverName)> {
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), socket.port);
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), socket.port);
    let addresses: &[SocketAddr] = match socket.family {
        4 => &[v4],
        6 => &[v6],
        _ => &[v6, v4],
    };
    let mut last = Error::new(ErrorKind::NotFound, "no address to listen on");
    for address in addresses {
        match take_or_bind(socket, *address, socket.family == 0, handover) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Error::from(error).with("listen", address),
        }
    }
    Err(last)
}

fn bind_all(
    socket: &Socket,
    addresses: &[SocketAddr],
    handover: &Handover,
) -> Result<Vec<(TcpListener, HandoverName)>> {
    let mut bound: Vec<(TcpListener, HandoverName)> = Vec::new();
    let mut left_out = Vec::new();
    for address in addresses {
        let mut address = *address;
        if let Some((first, _)) = bound.first() {
            address.set_port(first.local_addr()?.port());
        }
        match take_or_bind(socket, address, false, handover) {
            Ok(listener) => bound.push(listener),
            Err(error) if is_absent(&error) => {
                left_out.push(Error::from(error).with("listen", address));
            }
            Err(error) => return Err(Error::from(error).with("listen", address)),
        }
    }
    let Some((first, _)) = bound.first() else {
        let none = || Error::new(ErrorKind::NotFound, "no address to listen on");
        return Err(left_out.pop().unwrap_or_else(none));
    };
    let local = first.local_addr()?.to_string();
    for error in left_out {
        let host = &socket.host;
        tracing::warn!(local, host, %error, "this machine does not have an address of the name");
    }
    Ok(bound)
}

/// Whether the machine has no such address, or not this family of them.
fn is_absent(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}

/// The socket that was handed over for this address, or a new one.
fn take_or_bind(
    socket: &Socket,
    address: SocketAddr,
    dual: bool,
    handover: &Handover,
) -> io::Result<(TcpListener, HandoverName)> {
    let name = HandoverName::Tcp(address);
    let listener = match handover.take(&name)?.pop() {
        Some(taken) => adopted(taken, socket)?,
        None => bind_one(socket, address, dual)?,
    };
    Ok((listener, name))
}

/// A socket that listens already, with the options of `socket` that can still be set.
fn adopted(taken: OwnedFd, socket: &Socket) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(taken);
    // Another kind of socket, such as one of Unix, has no such address.
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    set_stream(&SockRef::from(&listener), socket)?;
    TcpListener::from_std(listener)
}

/// The socket that listens on `address` already, where that is to be shared.
fn taken_over(address: SocketAddr) -> Option<io::Result<TcpListener>> {
    TAKES_OVER.try_with(|()| ()).ok()?;
    let there = LISTENING.lock().ignore_poison().get(&address).and_then(Weak::upgrade)?;
    let shared = SockRef::from(&*there).try_clone();
    Some(shared.and_then(|shared| TcpListener::from_std(shared.into())))
}

fn bind_one(socket: &Socket, address: SocketAddr, dual: bool) -> io::Result<TcpListener> {
    if let Some(shared) = taken_over(address) {
        return shared;
    }
    let tcp = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        tcp.set_only_v6(!dual)?;
    }
    tcp.set_reuse_address(true)?;
    // Set once here, and not for each connection that is accepted.
    set_stream(&SockRef::from(&tcp), socket)?;
    if socket.reuse_port {
        tcp.set_reuse_port(true)?;
    }
    if socket.send_buffer > 0 {
        tcp.set_send_buffer_size(socket.send_buffer as usize)?;
    }
    if socket.recv_buffer > 0 {
        tcp.set_recv_buffer_size(socket.recv_buffer as usize)?;
    }
    tcp.bind(&SockAddr::from(address))?;
    tcp.listen(i32::try_from(socket.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(tcp.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::services::SocketKind;
    use std::future::poll_fn;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_have_one_port_and_each_is_accepted_from() {
        let socket = Socket::new(SocketKind::Tcp, "here.test", 0);
        let handover = Handover::default();
        // The third one is of no machine (RFC 5737), and is left out.
        let all = addresses(&["127.0.0.1:0", "127.0.0.2:0", "192.0.2.1:0"]);
        let listeners =
            TcpListeners::of(bind_all(&socket, &all, &handover).expect("listeners"), &handover);
        let info = listeners.info();
        let local: SocketAddr = info.local.expect("an address").parse().expect("an address");
        let locals = [1, 2].map(|last| format!("127.0.0.{last}:{}", local.port()));
        assert_eq!(info.facts["locals"], serde_json::json!(locals));
        for _ in 0..3 {
            for to in &locals {
                let client = TcpStream::connect(to).await.expect("a listener");
                let (stream, local, peer) =
                    poll_fn(|cx| listeners.poll_accept(cx)).await.expect("a connection");
                assert_eq!(stream.local_addr().ok(), local);
                assert_eq!(local.expect("an address").to_string(), *to);
                assert_eq!(client.local_addr().expect("an address"), peer);
            }
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error_and_so_is_one_that_is_not_here_if_it_is_the_only()
    {
        let holder = std::net::TcpListener::bind("127.0.0.2:0").expect("a listener");
        let held = holder.local_addr().expect("an address");
        let socket = Socket::new(SocketKind::Tcp, "here.test", held.port());
        let free = SocketAddr::new([127, 0, 0, 3].into(), held.port());
        let handover = Handover::default();
        let error = bind_all(&socket, &[free, held], &handover).expect_err("it is taken");
        assert!(is_taken(&error), "{error}");
        let error =
            bind_all(&socket, &addresses(&["192.0.2.1:0"]), &handover).expect_err("not here");
        assert!(!is_taken(&error), "{error}");
    }
    #[tokio::test]
    async fn a_socket_that_is_handed_over_goes_to_its_address_and_loses_no_connection() {
        let (old, new) = (Handover::default(), Handover::default());
        let socket = Socket::new(SocketKind::Tcp, "127.0.0.1", 0);
        let before =
            TcpListeners::bind(&socket, &HostNames::default(), &old).await.expect("a listener");
        let local = before.info().local.expect("an address");
        for (name, fd) in before.give().expect("a descriptor") {
            new.receive(name, fd);
        }
        // It waits in the backlog.
        let _client = TcpStream::connect(&local).await.expect("a listener");
        drop(before);
        let after =
            TcpListeners::bind(&socket, &HostNames::default(), &new).await.expect("a listener");
        assert_eq!(after.info().local.as_ref(), Some(&local));
        poll_fn(|cx| after.poll_accept(cx)).await.expect("a connection");
    }
}
