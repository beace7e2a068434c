//! [`Credentials`]: a driver's options about certificates, lent to be checked and read.

use crate::files::Named;
use crate::refusals::{Refusals, Telling};
use crate::sni::ByName;
use crate::trust;
use jackfield_plugin_api::{Error, Result, Role, Secret};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, PEM, followed by those of its intermediate authorities.
    pub certificate_file: PathBuf,
    /// Its private key, PEM, not encrypted, which nobody else may read.
    pub key_file: PathBuf,
}

/// Certificates and a key as PEM itself, in the place of files; each field is the option of that name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// Client: in the place of `ca_file`.
    pub ca: Option<&'a str>,
    /// In the place of `certificate_file`.
    pub certificate: Option<&'a str>,
    /// In the place of `key_file`.
    pub key: Option<&'a Secret>,
    /// Listener: in the place of `client_ca_file`.
    pub client_ca: Option<&'a str>,
}

/// What a driver's options say; each field is the option of that name.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Client: authorities, or servers' own certificates, to trust; without it the system's authorities.
    pub ca_file: Option<&'a Path>,
    /// Client: the name to ask for and to find in the certificate.
    pub server_name: Option<&'a str>,
    /// SHA-256 of the certificates of peers to trust; empty: authorities decide.
    pub certificate_hashes: &'a [String],
    /// Application protocols, the preferred one first.
    pub alpn: &'a [String],
    /// Our certificate with its intermediate authorities.
    pub certificate_file: Option<&'a Path>,
    /// Its private key.
    pub key_file: Option<&'a Path>,
    /// Listener: more certificates, chosen by the name that a client asks for.
    pub certificates: &'a [CertificateFiles],
    /// Listener: authorities whose clients are trusted, or clients' own certificates.
    pub client_ca_file: Option<&'a Path>,
    /// Listener: whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Lists of certificates that were revoked.
    pub crl_file: Option<&'a Path>,
    /// What is given as text in the place of files.
    pub texts: Texts<'a>,
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
                ("ca", self.texts.ca.is_some()),
                ("server_name", self.server_name.is_some()),
                ("danger_skip_verification", self.danger_skip_verification),
            ],
            [
                ("certificates", !self.certificates.is_empty()),
                ("client_ca_file", self.client_ca_file.is_some()),
                ("client_ca", self.texts.client_ca.is_some()),
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

    /// All files that these options name; when one of them has changed, what was made of them is old.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = [
            self.ca_file,
            self.certificate_file,
            self.key_file,
            self.client_ca_file,
            self.crl_file,
        ]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
        for more in self.certificates {
            files.extend([more.certificate_file.clone(), more.key_file.clone()]);
        }
        files
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
        let keys = self.own_keys(&provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .map_err(|error| unusable(&error))?;
        let builder = match trust::of_clients(self, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(keys)));
        config.alpn_protocols = self.protocols()?;
        Ok(config)
    }

    /// The certificates of a listener; the first is for clients that ask for none of their names.
    fn own_keys(&self, provider: &CryptoProvider) -> Result<Vec<CertifiedKey>> {
        let mut keys = Vec::new();
        if let Some((chain, key)) = self.own_certificate()? {
            let key = CertifiedKey::from_der(chain, key, provider);
            keys.push(key.map_err(|error| self.key_error(&error))?);
        }
        for CertificateFiles { certificate_file, key_file } in self.certificates {
            let chain = Named::file("certificates", certificate_file);
            let file = Named::file("certificates", key_file);
            let key = CertifiedKey::from_der(chain.certificates()?, file.key()?, provider);
            keys.push(key.map_err(|error| key_error(&error, chain, file))?);
        }
        match keys.is_empty() {
            true => Err(Error::option(
                "certificate_file",
                "is missing; a TLS listener needs it, and `key_file`",
            )),
            false => Ok(keys),
        }
    }

    fn own_certificate(&self) -> Result<Option<OwnCertificate>> {
        match (self.chain()?, self.key()?) {
            (Some(chain), Some(key)) => Ok(Some((chain.certificates()?, key.key()?))),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(Error::option("key_file", "is missing; `certificate_file` needs it"))
            }
            (None, Some(_)) => {
                Err(Error::option("certificate_file", "is missing; `key_file` needs it"))
            }
        }
    }

    /// Whom a client trusts, if it says so.
    pub(crate) fn authorities(&self) -> Result<Option<Named<'_>>> {
        Named::one_of(("ca_file", self.ca_file), ("ca", self.texts.ca))
    }

    /// Whom a listener trusts, if it says so.
    pub(crate) fn client_authorities(&self) -> Result<Option<Named<'_>>> {
        Named::one_of(("client_ca_file", self.client_ca_file), ("client_ca", self.texts.client_ca))
    }

    fn chain(&self) -> Result<Option<Named<'_>>> {
        let file = ("certificate_file", self.certificate_file);
        Named::one_of(file, ("certificate", self.texts.certificate))
    }

    fn key(&self) -> Result<Option<Named<'_>>> {
        Named::one_of(("key_file", self.key_file), ("key", self.texts.key.map(Secret::expose)))
    }

    fn key_error(&self, error: &rustls::Error) -> Error {
        match (self.chain(), self.key()) {
            (Ok(Some(chain)), Ok(Some(key))) => key_error(error, chain, key),
            _ => Error::option("key_file", error.to_string()),
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

fn key_error(error: &rustls::Error, certificate: Named<'_>, key: Named<'_>) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            key.wrong("is not the key of the certificate that is shown")
        }
        rustls::Error::InvalidCertificate(_) => {
            certificate.wrong(format!("has an unusable certificate: {error}"))
        }
        _ => key.wrong(format!("has an unusable key: {error}")),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What rustls says of a set of versions that the provider lacks; both are compiled in.
fn unusable(error: &rustls::Error) -> Error {
    Error::option("min_version", error.to_string())
}
