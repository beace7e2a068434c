//! A driver without a peer: its stream gives zeros at once, or nothing ever. What it takes to poll
//! it is what the crossing takes.

use jackfield_plugin_api::{
    Driver, DriverInfo, Facets, Host, Info, Request, Result, Role, Scheme, Session, Socket,
    SocketKind, Stream,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Options of `null`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NullOptions {
    /// Never give anything, and keep the waker.
    pub pending: bool,
}

/// The `null` driver.
#[derive(Debug)]
pub struct NullDriver;

impl Driver for NullDriver {
    const INFO: DriverInfo = DriverInfo::transport("null", "Gives zeros, or nothing")
        .schemes(&[Scheme::new("null", "null")])
        .client()
        .facets(Facets::STREAM.union(Facets::DIAL))
        .query_options();
    type Options = NullOptions;
    type Endpoint = bool;

    fn new(_host: Host) -> Result<Self> {
        Ok(NullDriver)
    }

    fn configure(&self, options: NullOptions, _role: Role) -> Result<bool> {
        Ok(options.pending)
    }

    async fn open(&self, pending: &bool, _request: Request) -> Result<Session> {
        let stream = Stream::new(Null { pending: *pending, waker: None });
        Ok(Session::of_stream(Info::default(), stream))
    }
}

/// The `direct` driver: a socket of the host's and nothing else. It opens nothing itself.
#[derive(Debug)]
pub struct DirectDriver;

impl Driver for DirectDriver {
    const INFO: DriverInfo = DriverInfo::transport("direct", "Sockets of the host's")
        .schemes(&[Scheme::new("direct", "direct")])
        .client()
        .facets(Facets::STREAM.union(Facets::TAKE_FD));
    type Options = NullOptions;
    type Endpoint = Socket;

    fn new(_host: Host) -> Result<Self> {
        Ok(DirectDriver)
    }

    fn configure(&self, _options: NullOptions, _role: Role) -> Result<Socket> {
        Ok(Socket::new(SocketKind::Tcp, "", 0))
    }

    fn socket(endpoint: &Socket) -> Option<&Socket> {
        Some(endpoint)
    }
}

struct Null {
    pending: bool,
    waker: Option<std::task::Waker>,
}

impl AsyncRead for Null {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pending {
            // As every real driver does: keep the waker unless it is the one that is kept.
            if !self.waker.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                self.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        buf.put_slice(&[0; 8]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Null {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

jackfield_plugin_api::export_plugin! { drivers: [NullDriver, DirectDriver], handlers: [] }
