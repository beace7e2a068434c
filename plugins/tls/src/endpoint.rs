//! [`TlsEndpoint`]: options, once checked and with their files read.

use crate::files::Named;
use crate::options::{ClientAuth, MinVersion, TlsOptions};
use crate::verifier::{Explaining, Unverified};
use jackfield_plugin_api::{Error, Result, Role};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What many connections share: keys, trust, and the tickets by which sessions are resumed.
pub struct TlsEndpoint(pub(crate) Side);

pub(crate) enum Side {
    Client(Client),
    Server(TlsAcceptor),
}

pub(crate) struct Client {
    pub(crate) connector: TlsConnector,
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
    pub(crate) fn new(options: &TlsOptions, role: Role) -> Result<Self> {
        fits(options, role)?;
        Ok(TlsEndpoint(match role {
            Role::Client => Side::Client(client(options)?),
            Role::Server => Side::Server(TlsAcceptor::from(Arc::new(server(options)?))),
        }))
    }
}

/// A name to ask for and to verify, or an IP address.
pub(crate) fn server_name(text: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(text.to_owned()).ok()
}

/// Options of the other side are mistakes, not decoration.
fn fits(options: &TlsOptions, role: Role) -> Result<()> {
    let (for_clients, for_listeners) = (
        [
            ("ca_file", options.ca_file.is_some()),
            ("server_name", options.server_name.is_some()),
            ("danger_skip_verification", options.danger_skip_verification),
        ],
        [
            ("client_ca_file", options.client_ca_file.is_some()),
            ("client_auth", options.client_auth != ClientAuth::None),
        ],
    );
    let (strangers, message) = match role {
        Role::Client => (&for_listeners[..], "is for listeners, and this is for connecting"),
        Role::Server => (
            &for_clients[..],
            "is for connecting, and this is a listener; it has `client_ca_file` and `client_auth`",
        ),
    };
    match strangers.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::option(name, message)),
        None => Ok(()),
    }
}

fn client(options: &TlsOptions) -> Result<Client> {
    let provider = Arc::new(ring::default_provider());
    let name = match &options.server_name {
        Some(text) => Some(server_name(text).ok_or_else(|| {
            Error::option("server_name", format!("{text:?} is neither a host name nor an IP"))
        })?),
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(options))
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(options, &provider)?);
    let mut config = match own_certificate(options)? {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| key_error(options, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn(options)?;
    Ok(Client {
        connector: TlsConnector::from(Arc::new(config)),
        server_name: name,
        verifies: !options.danger_skip_verification,
    })
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let provider = Arc::clone(provider);
    let inner: Arc<dyn ServerCertVerifier> = match &options.ca_file {
        Some(_) if options.danger_skip_verification => {
            return Err(Error::option(
                "danger_skip_verification",
                "makes `ca_file` pointless; leave one of the two out",
            ));
        }
        None if options.danger_skip_verification => return Ok(Arc::new(Unverified(provider))),
        Some(path) => {
            let file = Named { option: "ca_file", path };
            WebPkiServerVerifier::builder_with_provider(Arc::new(file.authorities()?), provider)
                .build()
                .map_err(|error| file.wrong(format!("is not usable: {error}")))?
        }
        None => Arc::new(rustls_platform_verifier::Verifier::new(provider).map_err(|error| {
            let reason = "the system's certificate authorities cannot be used";
            Error::option("ca_file", format!("is not given, and {reason}: {error}"))
        })?),
    };
    Ok(Arc::new(Explaining(inner)))
}

fn server(options: &TlsOptions) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let Some((chain, key)) = own_certificate(options)? else {
        return Err(Error::option(
            "certificate_file",
            "is missing; a TLS listener needs it, and `key_file`",
        ));
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(options))
        .map_err(|error| unusable(&error))?;
    let builder = match clients(options, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| key_error(options, &error))?;
    config.alpn_protocols = alpn(options)?;
    Ok(config)
}

fn clients(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let path = match (options.client_auth, &options.client_ca_file) {
        (ClientAuth::None, None) => return Ok(None),
        (ClientAuth::None, Some(_)) => {
            return Err(Error::option(
                "client_auth",
                "is \"none\" while `client_ca_file` is given; expected \"optional\" or \"required\"",
            ));
        }
        (_, None) => {
            return Err(Error::option("client_ca_file", "is missing; `client_auth` needs it"));
        }
        (_, Some(path)) => path,
    };
    let file = Named { option: "client_ca_file", path };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(file.authorities()?), provider);
    let builder = match options.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required | ClientAuth::None => builder,
    };
    builder.build().map(Some).map_err(|error| file.wrong(format!("is not usable: {error}")))
}

type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own_certificate(options: &TlsOptions) -> Result<Option<OwnCertificate>> {
    match (&options.certificate_file, &options.key_file) {
        (Some(chain), Some(key)) => Ok(Some((
            Named { option: "certificate_file", path: chain }.certificates()?,
            Named { option: "key_file", path: key }.key()?,
        ))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(Error::option("key_file", "is missing; `certificate_file` needs it"))
        }
        (None, Some(_)) => {
            Err(Error::option("certificate_file", "is missing; `key_file` needs it"))
        }
    }
}

fn key_error(options: &TlsOptions, error: &rustls::Error) -> Error {
    let named = |option: &'static str, path: &Option<std::path::PathBuf>, message: String| {
        let path = path.as_deref().unwrap_or(std::path::Path::new(""));
        Named { option, path }.wrong(message)
    };
    match error {
        rustls::Error::InconsistentKeys(_) => named(
            "key_file",
            &options.key_file,
            "is not the key of the certificate in `certificate_file`".into(),
        ),
        rustls::Error::InvalidCertificate(_) => named(
            "certificate_file",
            &options.certificate_file,
            format!("has an unusable certificate: {error}"),
        ),
        _ => named("key_file", &options.key_file, format!("has an unusable key: {error}")),
    }
}

fn alpn(options: &TlsOptions) -> Result<Vec<Vec<u8>>> {
    match options.alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
        Some(name) => {
            Err(Error::option("alpn", format!("{name:?} must have 1 to 255 bytes (RFC 7301 §3.1)")))
        }
        None => Ok(options.alpn.iter().map(|name| name.clone().into_bytes()).collect()),
    }
}

fn versions(options: &TlsOptions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match options.min_version {
        MinVersion::Tls12 => &BOTH,
        MinVersion::Tls13 => &BOTH[..1],
    }
}

/// What rustls says of a set of versions that the provider lacks; both are compiled in.
fn unusable(error: &rustls::Error) -> Error {
    Error::option("min_version", error.to_string())
}
