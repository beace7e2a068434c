//! [`Address`] and [`Request`]: where to, and what an open, accept or listen is given.

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::Exchange;
use crate::info::Info;
use crate::op::Transfer;
use crate::raw::{RawObject, RawStr, abi, layout};
use crate::secret::Secret;
use crate::session::{Session, SessionTable};
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where to: the parts of a URI after its scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Address {
    /// Host name or IP address without brackets; empty if none was given.
    pub host: String,
    /// Port, or the default of the scheme; `None` if the protocol has none.
    pub port: Option<u16>,
    /// From the first slash on, without the query; may be empty.
    pub path: String,
    /// After the question mark.
    pub query: Option<String>,
    /// User name before the host.
    pub user: Option<String>,
    /// Password before the host.
    pub password: Option<Secret>,
}

impl Address {
    /// A host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Address { host: host.into(), port: Some(port), ..Address::default() }
    }

    /// A path, for what has no host.
    pub fn at_path(path: impl Into<String>) -> Self {
        Address { path: path.into(), ..Address::default() }
    }

    /// Sets the path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the user name.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// The path with its query, `/` when empty: a request target (RFC 9112 §3.2.1).
    pub fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// The host as URIs have it: an IPv6 address in brackets.
    pub fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        let host = self.bracketed_host();
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Borrows this as its raw form for one call.
    pub(crate) fn lend<R>(&self, call: impl FnOnce(*const RawAddress) -> R) -> R {
        let text = |part: &Option<String>| part.as_deref().map_or(RawStr::new(""), RawStr::new);
        let raw = RawAddress {
            size: size_of::<RawAddress>(),
            host: RawStr::new(&self.host),
            port: self.port.map_or(-1, i64::from),
            path: RawStr::new(&self.path),
            query: text(&self.query),
            user: text(&self.user),
            password: RawStr::new(self.password.as_ref().map_or("", Secret::expose)),
            given: u64::from(self.query.is_some())
                | u64::from(self.user.is_some()) << 1
                | u64::from(self.password.is_some()) << 2,
        };
        call(&raw const raw)
    }

    /// # Safety
    /// `raw` points to an address that is alive for this call.
    pub(crate) unsafe fn from_raw(raw: *const RawAddress) -> Self {
        // SAFETY: by this function's contract.
        unsafe {
            let Some(raw) = layout::read(raw) else { return Address::default() };
            let given = |bit: u32, text: RawStr| {
                (raw.given & (1 << bit) != 0).then(|| text.get().to_owned())
            };
            Address {
                host: raw.host.get().to_owned(),
                port: u16::try_from(raw.port).ok(),
                path: raw.path.get().to_owned(),
                query: given(0, raw.query),
                user: given(1, raw.user),
                password: given(2, raw.password).map(Secret::new),
            }
        }
    }
}

abi! {
    /// An [`Address`] lent for a call. Grows at its end only.
    #[derive(Debug, Clone, Copy)]
    pub grows struct RawAddress {
        size: usize,
        host: RawStr,
        port: i64,
        path: RawStr,
        query: RawStr,
        user: RawStr,
        password: RawStr,
        given: u64,
    }
}

abi! {
    /// What an open, accept or listen is given. Grows at its end only.
    #[derive(Debug, Clone, Copy)]
    pub grows struct RawRequest {
        size: usize,
        /// Alive for the call.
        address: *const RawAddress,
        deadline_ms: u64,
        /// Given away with the call; null for a transport.
        carrier: RawObject<SessionTable>,
        /// JSON, for what later versions add.
        extra: RawStr,
    }
}

/// What an open, accept or listen is given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// Where to connect or listen. For an accept: what the listener was given.
    pub address: Address,
    /// How long the caller will wait; it also drops the call when the time is over.
    pub deadline: Duration,
    carrier: Option<Session>,
    /// Boxed: most requests have none, and are moved often.
    extra: Option<Box<Extra>>,
}

/// What later versions add: members that a reader does not know are passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Info>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deferred: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<String>,
}

impl Request {
    /// A request without a carrier.
    pub fn new(address: Address, deadline: Duration) -> Self {
        Request { address, deadline, carrier: None, extra: None }
    }

    /// Sets what the session below gives.
    #[must_use]
    pub fn with_carrier(mut self, carrier: Session) -> Self {
        self.carrier = Some(carrier);
        self
    }

    /// Asks an accepting layer that knows the operation `accept` to keep its answer to the peer back until
    /// that is called: then the session is there before anything is promised. The session says `deferred` in
    /// its facts, and in `protocols` what the peer offers; `accept` takes `{protocol}`, which is what was chosen
    /// of that, or nothing. A session that is closed or dropped before is a refusal.
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.extra().deferred = true;
        self
    }

    /// Whether the answer to the peer is to wait for the operation `accept`. See [`Request::deferred`].
    pub fn is_deferred(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.deferred)
    }

    /// Names protocols of the application that a layer offers to its peer, the preferred one first, unless
    /// its options name some: subprotocols of WebSocket, for example.
    #[must_use]
    pub fn with_protocols(mut self, protocols: Vec<String>) -> Self {
        self.extra().protocols = protocols;
        self
    }

    /// Protocols of the application that are to be offered to the peer. See [`Request::with_protocols`].
    pub fn protocols(&self) -> &[String] {
        self.extra.as_ref().map_or(&[], |extra| &extra.protocols)
    }

    /// The byte stream to speak over, and what is known of it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the stack gives this layer nothing to speak over.
    pub fn take_carrier(&mut self) -> Result<(Stream, Info)> {
        let none = || Error::new(ErrorKind::Config, "a layer needs a byte stream below it");
        let carrier = self.carrier.take().ok_or_else(none)?;
        let info = carrier.info();
        Ok((carrier.take_stream().ok_or_else(none)?, info))
    }

    /// The requests to speak over, and what is known of them, where the carrier has requests: for an accepting layer
    /// that a request of another protocol may turn into. It answers the next one, which may be
    /// [upgraded](crate::Envelope::upgrade).
    pub fn take_exchange(&mut self) -> Option<(Exchange, Info)> {
        let carrier = self.carrier.as_ref()?;
        let taken = (carrier.take_exchange()?, carrier.info());
        self.carrier = None;
        Some(taken)
    }

    /// Sets whom the session is opened for.
    #[must_use]
    pub fn with_client(mut self, client: Info) -> Self {
        self.extra().client = Some(client);
        self
    }

    /// What is known of the session that this one is opened for, such as its peer: only for drivers that
    /// [tell who it is](crate::Driver::tells_client). `None` where the host opens it for itself.
    pub fn client(&self) -> Option<&Info> {
        self.extra.as_ref()?.client.as_ref()
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Hands this over for one call.
    #[cfg(feature = "host")]
    pub(crate) fn give<R>(mut self, call: impl FnOnce(*const RawRequest) -> R) -> R {
        let carrier = self.carrier.take().map_or(RawObject::none(), Transfer::into_raw);
        // Most requests have none, and what is written here can always be written.
        let extra = match &self.extra {
            Some(extra) => serde_json::to_string(extra).unwrap_or_default(),
            None => String::new(),
        };
        let deadline_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
        self.address.lend(|address| {
            let raw = RawRequest {
                size: size_of::<RawRequest>(),
                address,
                deadline_ms,
                carrier,
                extra: RawStr::new(&extra),
            };
            call(&raw const raw)
        })
    }

    /// # Safety
    /// `raw` points to a request made by [`Request::give`], taken once.
    pub(crate) unsafe fn from_raw(raw: *const RawRequest) -> Self {
        // SAFETY: by this function's contract.
        unsafe {
            let Some(raw) = layout::read(raw) else {
                return Request::new(Address::default(), Duration::ZERO);
            };
            Request {
                address: Address::from_raw(raw.address),
                deadline: Duration::from_millis(raw.deadline_ms),
                carrier: (!raw.carrier.is_none()).then(|| Session::from_raw(raw.carrier)),
                extra: match raw.extra.get() {
                    "" => None,
                    text => serde_json::from_str(text).ok(),
                },
            }
        }
    }
}
