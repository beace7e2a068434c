//! [`WsEndpoint`]: options, once checked.

use crate::options::WsOptions;
use crate::wire::Budget;
use jackfield_fields::given;
use jackfield_plugin_api::{Error, Result, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Bytes of unfinished messages of a listener where nothing is said.
const UNFINISHED: u64 = 64 << 20;

/// Room for answers to pings beside messages that wait to be written.
const PONGS: usize = 64 << 10;

/// What many connections share.
#[derive(Debug)]
pub struct WsEndpoint {
    /// Of the request; `HeaderValue` hides the sensitive ones.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) config: WebSocketConfig,
    pub(crate) limits: Limits,
    pub(crate) keepalive: Option<Keepalive>,
    /// Whether control frames are told by events.
    pub(crate) control_frames: bool,
    /// Of all connections of a listener.
    pub(crate) budget: Arc<Budget>,
}

/// What bounds a connection beside tungstenite's own limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_message: usize,
    pub(crate) read_ahead: usize,
    pub(crate) close_timeout: Duration,
    pub(crate) message_timeout: Option<Duration>,
}

/// Pings without being asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl WsEndpoint {
    pub(crate) fn new(options: WsOptions, role: Role) -> Result<Self> {
        fits(&options, role)?;
        for name in &options.subprotocols {
            if !is_token(name) {
                return Err(Error::option(
                    "subprotocols",
                    format!("{name:?} is not a token (RFC 9110 §5.6.2)"),
                ));
            }
        }
        let max_message = size("max_message", options.max_message)?;
        let write_buffer = size("write_buffer", options.write_buffer)?;
        let seconds = |count: u32| Duration::from_secs(u64::from(count));
        Ok(WsEndpoint {
            config: WebSocketConfig::default()
                .max_message_size(Some(max_message))
                .max_frame_size(Some(size("max_frame", options.max_frame)?))
                .read_buffer_size(size("read_buffer", options.read_buffer)?)
                .write_buffer_size(write_buffer)
                // The sink lets one message past a full buffer before it waits.
                .max_write_buffer_size(
                    write_buffer.saturating_add(max_message).saturating_add(PONGS),
                ),
            limits: Limits {
                max_message,
                read_ahead: size("read_ahead", options.read_ahead)?,
                close_timeout: seconds(options.close_timeout),
                message_timeout: (options.message_timeout > 0)
                    .then(|| seconds(options.message_timeout)),
            },
            keepalive: (options.ping_interval > 0).then(|| Keepalive {
                interval: seconds(options.ping_interval),
                timeout: seconds(options.pong_timeout),
            }),
            control_frames: options.control_frames,
            headers: headers(&options)?,
            budget: Budget::new(options.max_unfinished.unwrap_or(UNFINISHED)),
            subprotocols: options.subprotocols,
            origins: options.origins,
        })
    }
}

/// Options of the other side are mistakes, not decoration.
fn fits(options: &WsOptions, role: Role) -> Result<()> {
    let strangers = match role {
        Role::Client => [
            ("origins", !options.origins.is_empty()),
            ("max_unfinished", options.max_unfinished.is_some()),
            ("", false),
        ],
        Role::Server => [
            ("headers", !options.headers.is_empty()),
            ("bearer_token", options.bearer_token.is_some()),
            ("origin", options.origin.is_some()),
        ],
    };
    let message = match role {
        Role::Client => "is for listeners, and this is for connecting",
        Role::Server => "is for connecting, and this is a listener",
    };
    match strangers.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::option(name, message)),
        None => Ok(()),
    }
}

fn size(option: &str, bytes: u64) -> Result<usize> {
    // Sums of two of them must not overflow.
    match usize::try_from(bytes) {
        Ok(size) if (1..=usize::MAX / 4).contains(&size) => Ok(size),
        _ => Err(Error::option(option, format!("is {bytes}; expected at least 1 byte"))),
    }
}

fn headers(options: &WsOptions) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut found = given(&options.headers, options.bearer_token.as_ref(), is_ours)?;
    if let Some(origin) = &options.origin {
        let value = HeaderValue::from_str(origin)
            .map_err(|_| Error::option("origin", format!("{origin:?} is no header value")))?;
        found.push((header::ORIGIN, value));
    }
    Ok(found)
}

/// Headers of the handshake itself (RFC 6455 §4.1).
fn is_ours(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::UPGRADE
        || *name == header::ORIGIN
        || name.as_str().starts_with("sec-websocket-")
}

fn is_token(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(part)
}
