//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3): a session with streams and datagrams on a
//! QUIC connection, begun with a request that browsers can make.
//!
//! The wire formats are those of `web-transport-proto`; who reads what, and when, is here, on the
//! host's tasks. A connection carries one session.

mod capsules;
mod codes;
mod driver;
mod handshake;
mod incoming;
mod queue;
mod session;
mod settings;

pub use driver::WebTransportDriver;
pub(crate) use handshake::{Ask, Rules, accept, connect};

/// The application protocol (RFC 9114 §3.1).
pub(crate) const ALPN: &str = "h3";
