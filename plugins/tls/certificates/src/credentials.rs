//! [`Credentials`]: a driver's options about certificates, lent to be checked and read.

use crate::files::Named;
use crate::refusals::{Refusals, Telling};
use crate::trust;
use jackfield_plugin_api::{Error, Result, Role};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Whether a listener's clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked; one that is shown must be valid.
    Optional,
    /// They must show a valid one.
    Required,
}

/// What a driver's options say; each field is the option of that name.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Client: authorities to trust; without it the system's.
    pub ca_file: Option<&'a Path>,
    /// Client: the name to ask for and to find in the certificate.
    pub server_name: Option<&'a str>,
    /// Client: SHA-256 of the only certificates to trust; empty: authorities decide.
    pub certificate_hashes: &'a [String],
    /// Application protocols, the preferred one first.
    pub alpn: &'a [String],
    /// Our certificate with its intermediate authorities.
    pub certificate_file: Option<&'a Path>,
    /// Its private key.
    pub key_file: Option<&'a Path>,
    /// Listener: authorities whose clients are trusted.
    pub client_ca_file: Option<&'a Path>,
    /// Listener: whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Client: trust any certificate.
    pub danger_skip_verification: bool,
    /// TLS versions that may be spoken.
    pub versions: &'static [&'static SupportedProtocolVersion],
}

/// A name to ask for and to verify, or an IP address; `None` for text that is neither.
pub fn server_name(text: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(text.to_owned()).ok()
}

type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Credentials<'_> {
    /// Refuses options of the other side: they are mistakes, not decoration.
    ///
    /// # Errors
    /// Naming the option.
    pub fn fit(&self, role: Role) -> Result<()> {
        let (for_clients, for_listeners) = (
            [
                ("ca_file", self.ca_file.is_some()),
                ("server_name", self.server_name.is_some()),
                ("certificate_hashes", !self.certificate_hashes.is_empty()),
                ("danger_skip_verification", self.danger_skip_verification),
            ],
            [
                ("client_ca_file", self.client_ca_file.is_some()),
                ("client_auth", self.client_auth != ClientAuth::None),
            ],
        );
        let (strangers, message) = match role {
            Role::Client => (&for_listeners[..], "is for listeners, and this is for connecting"),
            Role::Server => (
                &for_clients[..],
                "is for connecting, and this is a listener; it has `client_ca_file` and \
                 `client_auth`",
            ),
        };
        match strangers.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::option(name, message)),
            None => Ok(()),
        }
    }

    /// The name that replaces the address's host.
    ///
    /// # Errors
    /// What is neither a host name nor an IP address.
    pub fn name(&self) -> Result<Option<ServerName<'static>>> {
        let Some(text) = self.server_name else { return Ok(None) };
        server_name(text).map(Some).ok_or_else(|| {
            Error::option("server_name", format!("{text:?} is neither a host name nor an IP"))
        })
    }

    /// A client's configuration. Reads files; blocks.
    ///
    /// # Errors
    /// Naming the option, and the file if there is one.
    pub fn client(&self) -> Result<ClientConfig> {
        let provider = provider();
        self.client_with(&provider, trust::of_servers(self, &provider)?)
    }

    /// As [`Credentials::client`], with what is refused kept for [`Refusals::explain`].
    ///
    /// # Errors
    /// As [`Credentials::client`].
    pub fn client_telling(&self, refusals: &Arc<Refusals>) -> Result<ClientConfig> {
        let provider = provider();
        let inner = trust::of_servers(self, &provider)?;
        self.client_with(&provider, Arc::new(Telling { inner, refusals: Arc::clone(refusals) }))
    }

    fn client_with(
        &self,
        provider: &Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(self.versions)
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.own_certificate()? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| self.key_error(&error))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols()?;
        Ok(config)
    }

    /// A listener's configuration. Reads files; blocks.
    ///
    /// # Errors
    /// As [`Credentials::client`].
    pub fn server(&self) -> Result<ServerConfig> {
        let provider = provider();
        let Some((chain, key)) = self.own_certificate()? else {
            return Err(Error::option(
                "certificate_file",
                "is missing; a TLS listener needs it, and `key_file`",
            ));
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .map_err(|error| unusable(&error))?;
        let builder = match trust::of_clients(self, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| self.key_error(&error))?;
        config.alpn_protocols = self.protocols()?;
        Ok(config)
    }

    fn own_certificate(&self) -> Result<Option<OwnCertificate>> {
        match (self.certificate_file, self.key_file) {
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

    fn key_error(&self, error: &rustls::Error) -> Error {
        let named = |option: &'static str, path: Option<&Path>, message: String| {
            Named { option, path: path.unwrap_or(Path::new("")) }.wrong(message)
        };
        match error {
            rustls::Error::InconsistentKeys(_) => named(
                "key_file",
                self.key_file,
                "is not the key of the certificate in `certificate_file`".into(),
            ),
            rustls::Error::InvalidCertificate(_) => named(
                "certificate_file",
                self.certificate_file,
                format!("has an unusable certificate: {error}"),
            ),
            _ => named("key_file", self.key_file, format!("has an unusable key: {error}")),
        }
    }

    fn protocols(&self) -> Result<Vec<Vec<u8>>> {
        match self.alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
            Some(name) => Err(Error::option(
                "alpn",
                format!("{name:?} must have 1 to 255 bytes (RFC 7301 §3.1)"),
            )),
            None => Ok(self.alpn.iter().map(|name| name.clone().into_bytes()).collect()),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What rustls says of a set of versions that the provider lacks; both are compiled in.
fn unusable(error: &rustls::Error) -> Error {
    Error::option("min_version", error.to_string())
}
