//! [`HttpOptions`].

use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of `http`, for connecting and accepting.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Which HTTP is spoken.
    pub version: Version,
    /// Client: fields that every request gets unless it has its own, by name.
    pub headers: BTreeMap<String, Secret>,
    /// Client: sent as `Authorization: Bearer …` (RFC 6750).
    pub bearer_token: Option<Secret>,
    /// Client: the method of `ping`; any answer below 500 counts.
    pub ping_method: String,
    /// Client: the request target of `ping`.
    pub ping_path: String,
    /// Client: redirects of a `call` that are followed unless it says otherwise. Only those to the
    /// same origin can be.
    pub redirects: u32,
    /// Client: keep the cookies that answers to a `call` set, and send them with later ones.
    pub cookies: bool,
    /// Client: the session is the server-sent events that a GET of the address is answered with.
    pub sse: bool,
    /// Client: the longest server-sent event, and the longest line of one, in bytes.
    pub max_event: u32,
    /// Client: ask for compressed content in a `call`, and decompress it.
    pub decompress: bool,
    /// Client: the longest content that a `call` collects, in bytes, after decompression.
    pub max_body: u64,
    /// Client: seconds that a `call` may take as a whole unless it says otherwise.
    pub call_timeout: u32,
    /// Client: seconds until the head of a response, from when the request has been sent; 0: no limit.
    pub response_timeout: u32,
    /// How the names of fields are written in HTTP/1.1.
    pub header_case: HeaderCase,
    /// Listener: the users that may send requests, each with a password (basic authorization); empty: anyone.
    pub users: BTreeMap<String, Secret>,
    /// Listener: protocols that a request may ask to be upgraded to (HTTP/1.1); `h2c` is none of them.
    pub upgrades: Vec<String>,
    /// Listener: seconds that a request's head may take, from when it could be sent; of an HTTP/2 connection
    /// until its first request.
    pub header_timeout: u32,
    /// Listener: seconds without any request after which the connection is ended.
    pub idle_timeout: u32,
    /// Listener: the longest content of a request, in bytes; it is never held, only counted.
    pub max_request_body: u64,
    /// Listener: seconds that what a client still sends is read and dropped before the connection is closed, 5 of
    /// them in silence (HTTP/1.1); 0: none.
    pub linger_timeout: u32,
    /// Listener: the most that is read and dropped then, in bytes.
    pub max_linger_bytes: u64,
    /// Listener: milliseconds without a byte of its answer that a client that has ended its direction is answered
    /// for, before its request is dropped (HTTP/1.1).
    pub half_close_ms: u32,
    /// Seconds between two parts of content that is received; 0: no limit.
    pub body_timeout: u32,
    /// Seconds that the peer may take nothing of what is written, or of one content over HTTP/2; 0: no
    /// limit.
    pub write_timeout: u32,
    /// The most fields of a head that is received (HTTP/1.1).
    pub max_headers: u32,
    /// The longest head that is received, in bytes.
    pub max_header_bytes: u32,
    /// The most requests at once: a client refuses more, a listener lets them wait.
    pub max_requests: u32,
    /// Seconds between HTTP/2 pings of ours; 0: none.
    pub ping_interval: u32,
    /// Seconds that the answer to one of them may take before the connection is lost.
    pub pong_timeout: u32,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            version: Version::Auto,
            headers: BTreeMap::new(),
            bearer_token: None,
            ping_method: "HEAD".to_owned(),
            ping_path: "/".to_owned(),
            redirects: 0,
            cookies: false,
            sse: false,
            max_event: 1 << 20,
            decompress: true,
            max_body: 16 << 20,
            call_timeout: 30,
            response_timeout: 60,
            header_case: HeaderCase::Lower,
            users: BTreeMap::new(),
            upgrades: vec!["websocket".to_owned()],
            header_timeout: 30,
            idle_timeout: 75,
            max_request_body: 1 << 30,
            linger_timeout: 30,
            max_linger_bytes: 64 << 20,
            half_close_ms: 300,
            body_timeout: 60,
            write_timeout: 60,
            max_headers: 100,
            max_header_bytes: 64 << 10,
            max_requests: 256,
            ping_interval: 0,
            pong_timeout: 20,
        }
    }
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// HTTP/2 where the TLS below has agreed on it (ALPN `h2`), else HTTP/1.1; a listener without
    /// ALPN sees it from the first bytes.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1 (RFC 9112).
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 (RFC 9113), without being told that the peer knows it.
    #[serde(rename = "2")]
    Http2,
}

/// How names of fields are written. They mean the same (RFC 9110 §5.1), but some embedded servers and clients
/// know only one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeaderCase {
    /// `content-type`, as in HTTP/2.
    #[default]
    Lower,
    /// `Content-Type`.
    Title,
}
