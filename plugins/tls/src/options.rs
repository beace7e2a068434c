//! [`TlsOptions`].

use jackfield_certificates::{CertificateFiles, ClientAuth};
use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of `tls`, for connecting and accepting.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsOptions {
    /// Client: certificates to trust, PEM; only these. Of authorities, or a server's own, such as `openssl req -x509`
    /// makes. Without it: the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Client: the same as text, PEM itself, in the place of `ca_file`.
    pub ca: Option<String>,
    /// SHA-256 of the certificates of peers to trust, in hexadecimal or base64, whatever authority issued
    /// them; their dates are checked, and a server's name unless its certificate has none. Client: only these.
    pub certificate_hashes: Vec<String>,
    /// Certificates that were revoked: lists of all authorities up to the trusted one, PEM. A peer whose certificate
    /// is on one, or on none because a list is missing or too old, is refused.
    pub crl_file: Option<PathBuf>,
    /// Client: the name to ask for (SNI, RFC 6066 §3) and to find in the certificate; without it the
    /// host of the address.
    pub server_name: Option<String>,
    /// Application protocols to offer, the preferred one first (ALPN, RFC 7301); empty: none.
    pub alpn: Vec<String>,
    /// Our certificate, PEM, followed by those of its intermediate authorities. A listener needs one.
    pub certificate_file: Option<PathBuf>,
    /// The private key of `certificate_file`, PEM, not encrypted. Nobody else may read the file: mode 0600,
    /// or 0640 if root owns it.
    pub key_file: Option<PathBuf>,
    /// PEM itself in the place of `certificate_file`.
    pub certificate: Option<String>,
    /// PEM itself in the place of `key_file`.
    pub key: Option<Secret>,
    /// Listener: more certificates. A client gets the one that has the name it asks for (SNI, RFC 6066 §3), exactly
    /// or by a wildcard, else that of `certificate_file`, else the first of these.
    pub certificates: Vec<CertificateFiles>,
    /// Listener: certificates of the authorities whose clients are trusted, or clients' own, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Listener: PEM itself in the place of `client_ca_file`.
    pub client_ca: Option<String>,
    /// Listener: whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The oldest TLS version that is spoken.
    pub min_version: MinVersion,
    /// Client: trust whatever certificate the server shows. The connection is encrypted, but
    /// anybody on the way can read and change it.
    pub danger_skip_verification: bool,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}
