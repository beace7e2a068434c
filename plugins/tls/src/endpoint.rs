//! [`TlsEndpoint`]: options, once checked and with their files read.

use crate::options::{MinVersion, TlsOptions};
use jackfield_certificates::{Credentials, Reloading, Texts};
use jackfield_plugin_api::{Host, Result, Role};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What many connections share: keys, trust, and the tickets by which sessions are resumed.
pub struct TlsEndpoint(pub(crate) Side);

pub(crate) enum Side {
    Client(Client),
    Server(Reloading<TlsAcceptor>),
}

pub(crate) struct Client {
    pub(crate) connector: Reloading<TlsConnector>,
    /// Instead of the address's host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// Whether the server's certificate is checked.
    pub(crate) verifies: bool,
}

/// Without keys.
impl std::fmt::Debug for TlsEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Side::Client(_) => "TlsEndpoint(client)",
            Side::Server(_) => "TlsEndpoint(server)",
        })
    }
}

impl TlsEndpoint {
    /// Checks options and reads their files. Blocks.
    pub(crate) fn new(options: TlsOptions, role: Role, host: Host) -> Result<Self> {
        credentials(&options).fit(role)?;
        let (verifies, files) = (!options.danger_skip_verification, credentials(&options).files());
        Ok(TlsEndpoint(match role {
            Role::Client => Side::Client(Client {
                server_name: credentials(&options).name()?,
                connector: Reloading::new(host, "tls", files, move || {
                    Ok(TlsConnector::from(Arc::new(credentials(&options).client()?)))
                })?,
                verifies,
            }),
            Role::Server => Side::Server(Reloading::new(host, "tls", files, move || {
                Ok(TlsAcceptor::from(Arc::new(credentials(&options).server()?)))
            })?),
        }))
    }
}

fn credentials(options: &TlsOptions) -> Credentials<'_> {
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
        versions: versions(options),
    }
}

fn versions(options: &TlsOptions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match options.min_version {
        MinVersion::Tls12 => &BOTH,
        MinVersion::Tls13 => &BOTH[..1],
    }
}
