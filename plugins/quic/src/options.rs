//! [`QuicOptions`].

use jackfield_certificates::{CertificateFiles, ClientAuth};
use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of `quic` and `webtransport`, for connecting and listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuicOptions {
    /// Application protocols, the preferred one first (ALPN, RFC 7301); both sides must have one in
    /// common (RFC 9001 §8.1). Empty: `jackfield`; `h3` for webtransport, which knows no other.
    pub alpn: Vec<String>,
    /// Client: certificates to trust, PEM; only these. Of authorities, or a server's own, such as `openssl req -x509`
    /// makes. Without it: the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Client: the same as text, PEM itself, in the place of `ca_file`.
    pub ca: Option<String>,
    /// Client: the name to ask for (SNI, RFC 6066 §3) and to find in the certificate; without it the
    /// host of the address.
    pub server_name: Option<String>,
    /// SHA-256 of the certificates of peers to trust, in hexadecimal or base64, whatever authority issued
    /// them; their dates are checked, and a server's name unless its certificate has none. Client: only these.
    pub certificate_hashes: Vec<String>,
    /// Certificates that were revoked: lists of all authorities up to the trusted one, PEM. A peer whose certificate
    /// is on one, or on none because a list is missing or too old, is refused.
    pub crl_file: Option<PathBuf>,
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
    /// Client: trust whatever certificate the server shows. The connection is encrypted, but
    /// anybody on the way can read and change it.
    pub danger_skip_verification: bool,
    /// Client: local address to send from, `IP` or `IP:PORT`.
    pub bind: Option<String>,
    /// Seconds without a packet from the peer after which the connection is lost; the lower value of
    /// both sides counts (RFC 9000 §10.1); 0: never.
    pub idle_timeout: u32,
    /// Seconds of silence after which the peer is asked for a sign of life; 0: never. Without it: 10
    /// for a client, 0 for a listener.
    pub keepalive: Option<u32>,
    /// Bidirectional streams that the peer may have open at once; a connection begins with 8 at most,
    /// and with the fourth the peer is told of all.
    pub max_bidi_streams: u32,
    /// Unidirectional streams that the peer may have open at once; they begin in the same way.
    pub max_uni_streams: u32,
    /// Bytes of one stream that the peer may send before they are read; at least 1.
    #[schemars(range(min = 1))]
    pub stream_window: u32,
    /// Bytes of all streams of a connection that the peer may send before they are read; at least 1.
    #[schemars(range(min = 1))]
    pub window: u32,
    /// Bytes of all streams of a connection that are kept until the peer has acknowledged them; at
    /// least 1.
    #[schemars(range(min = 1))]
    pub send_window: u32,
    /// Bytes of datagrams of a connection that wait to be received; the oldest are dropped; 0: the
    /// peer may send none.
    pub datagram_queue: u32,
    /// Bytes of datagrams of a connection that wait to be sent; at least 1.
    #[schemars(range(min = 1))]
    pub datagram_send_queue: u32,
    /// Client: keep the tickets that servers give, up to 8 of each of 256 servers, so that a later
    /// handshake is shorter (RFC 8446 §2.2). A server knows by its tickets who was there before.
    pub resume: bool,
    /// Client: send at once to a server that is known, before it has answered; listener: accept such
    /// data. Anybody who has recorded early data can send it again (RFC 8446 §8), so only what may
    /// happen twice belongs into it.
    pub early_data: bool,
    /// Listener: let peers change their address without losing the connection.
    pub migration: bool,
    /// How fast to send.
    pub congestion: Congestion,
    /// Listener: handshakes at once; more are refused; at least 1. From half of it on, peers first
    /// have to show that their address is theirs.
    #[schemars(range(min = 1))]
    pub handshakes: u32,
    /// Listener: seconds that a handshake may take; at least 1.
    #[schemars(range(min = 1))]
    pub handshake_timeout: u32,
    /// Listener: connections that wait to be accepted; more are refused; at least 1.
    #[schemars(range(min = 1))]
    pub backlog: u32,
    /// Listener: let every peer show that its address is its own (Retry, RFC 9000 §8.1.2), which
    /// costs a round trip.
    pub validate_address: bool,
    /// Webtransport, client: where the request comes from, as a browser says it: `https://host`.
    pub origin: Option<String>,
    /// Webtransport, listener: origins whose pages may connect; empty: all. A request without an
    /// origin is no browser's and may.
    pub origins: Vec<String>,
    /// Webtransport: names of what is spoken in the session, the preferred one first; the client
    /// offers them, the listener chooses the first of its own that was offered.
    pub protocols: Vec<String>,
    /// Listener: let several listeners share the port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Send buffer of the socket in bytes; 0: the system's.
    pub send_buffer: u32,
    /// Receive buffer of the socket in bytes; 0: the system's.
    pub recv_buffer: u32,
}

/// A congestion controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Congestion {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// NewReno (RFC 9002 §7).
    NewReno,
    /// BBR; experimental in the library that does it.
    Bbr,
}

impl Default for QuicOptions {
    fn default() -> Self {
        QuicOptions {
            alpn: Vec::new(),
            ca_file: None,
            ca: None,
            server_name: None,
            certificate_hashes: Vec::new(),
            crl_file: None,
            certificates: Vec::new(),
            certificate_file: None,
            certificate: None,
            key: None,
            key_file: None,
            client_ca_file: None,
            client_ca: None,
            client_auth: ClientAuth::None,
            danger_skip_verification: false,
            bind: None,
            idle_timeout: 30,
            keepalive: None,
            max_bidi_streams: 100,
            max_uni_streams: 100,
            stream_window: 1 << 20,
            window: 8 << 20,
            send_window: 4 << 20,
            datagram_queue: 1 << 20,
            datagram_send_queue: 1 << 20,
            resume: true,
            early_data: false,
            migration: true,
            congestion: Congestion::Cubic,
            handshakes: 1024,
            handshake_timeout: 10,
            backlog: 1024,
            validate_address: false,
            origin: None,
            origins: Vec::new(),
            protocols: Vec::new(),
            reuse_port: false,
            send_buffer: 0,
            recv_buffer: 0,
        }
    }
}
