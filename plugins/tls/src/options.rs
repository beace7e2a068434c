//! [`TlsOptions`].

use jackfield_certificates::ClientAuth;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of `tls`, for connecting and accepting.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsOptions {
    /// Client: certificates of the authorities to trust, PEM; only these. Without it: the system's.
    pub ca_file: Option<PathBuf>,
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
    /// Listener: certificates of the authorities whose clients are trusted, PEM.
    pub client_ca_file: Option<PathBuf>,
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
