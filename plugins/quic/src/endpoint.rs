//! [`QuicEndpoint`]: options, once checked and with their files read.

use crate::client::Client;
use crate::listener::Server;
use crate::options::QuicOptions;
use crate::webtransport;
use jackfield_certificates::{Credentials, Texts};
use jackfield_plugin_api::{Error, Host, Result, Role};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;

/// What many connections share: keys, trust, tickets, limits.
pub struct QuicEndpoint(pub(crate) Side);

pub(crate) enum Side {
    Client(Client),
    Server(Server),
}

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    /// What the application likes.
    Quic,
    /// HTTP/3, as far as WebTransport needs it.
    WebTransport,
}

impl Protocol {
    fn alpn(self) -> &'static str {
        match self {
            Protocol::Quic => "jackfield",
            Protocol::WebTransport => webtransport::ALPN,
        }
    }

    /// Options of the other protocol are mistakes, not decoration.
    fn fit(self, options: &QuicOptions) -> Result<()> {
        let (strangers, message) = match self {
            Protocol::Quic => (
                &[
                    ("origin", options.origin.is_some()),
                    ("origins", !options.origins.is_empty()),
                    ("protocols", !options.protocols.is_empty()),
                ][..],
                "is for webtransport, and this is quic",
            ),
            Protocol::WebTransport => (
                &[("alpn", !options.alpn.is_empty()), ("early_data", options.early_data)][..],
                "is for quic; webtransport is always `h3`, without early data",
            ),
        };
        match strangers.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::option(name, message)),
            None => Ok(()),
        }
    }
}

/// Without keys.
impl std::fmt::Debug for QuicEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Side::Client(_) => "QuicEndpoint(client)",
            Side::Server(_) => "QuicEndpoint(server)",
        })
    }
}

impl QuicEndpoint {
    /// Checks options and reads their files. Blocks.
    pub(crate) fn new(
        host: Host,
        mut options: QuicOptions,
        role: Role,
        protocol: Protocol,
    ) -> Result<Self> {
        protocol.fit(&options)?;
        if options.alpn.is_empty() {
            options.alpn.push(protocol.alpn().to_owned());
        }
        credentials(&options).fit(role)?;
        fit(&options, role)?;
        Ok(QuicEndpoint(match role {
            Role::Client => Side::Client(Client::new(host, options)?),
            Role::Server => Side::Server(Server::new(host, options, protocol)?),
        }))
    }
}

pub(crate) fn credentials(options: &QuicOptions) -> Credentials<'_> {
    static ONLY: [&SupportedProtocolVersion; 1] = [&TLS13];
    Credentials {
        ca_file: options.ca_file.as_deref(),
        server_name: options.server_name.as_deref(),
        certificate_hashes: &options.certificate_hashes,
        alpn: &options.alpn,
        certificate_file: options.certificate_file.as_deref(),
        key_file: options.key_file.as_deref(),
        certificates: &options.certificates,
        client_ca_file: options.client_ca_file.as_deref(),
        client_auth: options.client_auth,
        crl_file: options.crl_file.as_deref(),
        texts: Texts {
            ca: options.ca.as_deref(),
            certificate: options.certificate.as_deref(),
            key: options.key.as_ref(),
            client_ca: options.client_ca.as_deref(),
        },
        danger_skip_verification: options.danger_skip_verification,
        versions: &ONLY,
    }
}

/// Options of the other side are mistakes, not decoration.
fn fit(options: &QuicOptions, role: Role) -> Result<()> {
    let (strangers, message) = match role {
        Role::Client => (
            &[("validate_address", options.validate_address), ("reuse_port", options.reuse_port)][..],
            "is for listeners, and this is for connecting",
        ),
        Role::Server => (
            &[
                ("bind", options.bind.is_some()),
                ("origin", options.origin.is_some()),
                ("resume", !options.resume),
            ][..],
            "is for connecting, and this is a listener",
        ),
    };
    match strangers.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::option(name, message)),
        None => Ok(()),
    }
}
