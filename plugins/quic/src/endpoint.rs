//! [`QuicEndpoint`]: options, once checked and with their files read.

use crate::client::Client;
use crate::listener::Server;
use crate::options::QuicOptions;
use jackfield_certificates::Credentials;
use jackfield_plugin_api::{Error, Host, Result, Role};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;

/// What many connections share: keys, trust, tickets, limits.
pub struct QuicEndpoint(pub(crate) Side);

pub(crate) enum Side {
    Client(Client),
    Server(Server),
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
    pub(crate) fn new(host: Host, options: &QuicOptions, role: Role) -> Result<Self> {
        if options.alpn.is_empty() {
            return Err(Error::option("alpn", "is empty; QUIC needs an application protocol"));
        }
        let credentials = credentials(options);
        credentials.fit(role)?;
        fit(options, role)?;
        Ok(QuicEndpoint(match role {
            Role::Client => Side::Client(Client::new(host, options, &credentials)?),
            Role::Server => Side::Server(Server::new(host, options, &credentials)?),
        }))
    }
}

fn credentials(options: &QuicOptions) -> Credentials<'_> {
    static ONLY: [&SupportedProtocolVersion; 1] = [&TLS13];
    Credentials {
        ca_file: options.ca_file.as_deref(),
        server_name: options.server_name.as_deref(),
        certificate_hashes: &options.certificate_hashes,
        alpn: &options.alpn,
        certificate_file: options.certificate_file.as_deref(),
        key_file: options.key_file.as_deref(),
        client_ca_file: options.client_ca_file.as_deref(),
        client_auth: options.client_auth,
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
            &[("bind", options.bind.is_some())][..],
            "is for connecting; a listener's address says where it listens",
        ),
    };
    match strangers.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::option(name, message)),
        None => Ok(()),
    }
}
