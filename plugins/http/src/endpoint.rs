//! [`HttpEndpoint`]: options, once checked.

use crate::cookies::Cookies;
use crate::linger::LingerLimits;
use crate::options::{HeaderCase, HttpOptions, Version};
use crate::upgrade::Upgrades;
use crate::users::Users;
use hyper::Method;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use jackfield_fields::given;
use jackfield_plugin_api::{Error, Result, Role};
use std::time::Duration;

/// The least that hyper takes as the bound of a head.
const LEAST_HEAD: u32 = 8 << 10;

/// What many connections share.
#[derive(Debug)]
pub struct HttpEndpoint {
    pub(crate) version: Version,
    /// Of every request; `HeaderValue` hides the sensitive ones.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) ping: (Method, String),
    pub(crate) calls: Calls,
    /// Whether a session is the server-sent events of its address.
    pub(crate) events: bool,
    /// The longest of them.
    pub(crate) max_event: usize,
    /// Where calls keep them.
    pub(crate) cookies: Option<Cookies>,
    /// Of a listener.
    pub(crate) users: Users,
    /// Of a listener.
    pub(crate) upgrades: Upgrades,
    /// Whether names of fields are written `Like-This` in HTTP/1.1.
    pub(crate) title_case: bool,
    pub(crate) limits: Limits,
}

/// What bounds a `call`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    pub(crate) redirects: u32,
    pub(crate) decompress: bool,
    pub(crate) max_body: usize,
    pub(crate) timeout: Duration,
}

/// What bounds a connection. A time of `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) response: Option<Duration>,
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) body: Option<Duration>,
    pub(crate) write: Option<Duration>,
    pub(crate) request_body: u64,
    pub(crate) headers: usize,
    pub(crate) header_bytes: u32,
    pub(crate) requests: u32,
    pub(crate) linger: LingerLimits,
    pub(crate) half_close: Duration,
    pub(crate) ping: Option<Duration>,
    pub(crate) pong: Duration,
}

impl Limits {
    /// The longest head, as HTTP/1.1 counts it.
    pub(crate) fn header_bytes_size(&self) -> usize {
        usize::try_from(self.header_bytes).unwrap_or(usize::MAX)
    }
}

impl HttpEndpoint {
    pub(crate) fn new(options: &HttpOptions, role: Role) -> Result<Self> {
        fits(options, role)?;
        let method = Method::from_bytes(options.ping_method.as_bytes())
            .ok()
            .filter(|method| method != Method::CONNECT)
            .ok_or_else(|| Error::option("ping_method", "is not a method to ping with"))?;
        if options.ping_path != "*" && !options.ping_path.starts_with('/')
            || PathAndQuery::try_from(options.ping_path.as_str()).is_err()
        {
            return Err(Error::option("ping_path", "is not a path that starts with a slash"));
        }
        Ok(HttpEndpoint {
            version: options.version,
            headers: given(&options.headers, options.bearer_token.as_ref(), is_ours)?,
            ping: (method, options.ping_path.clone()),
            calls: Calls {
                redirects: options.redirects,
                decompress: options.decompress,
                max_body: usize::try_from(options.max_body).unwrap_or(usize::MAX / 2),
                timeout: seconds(at_least("call_timeout", options.call_timeout, 1)?),
            },
            events: options.sse,
            max_event: max_event(options)?,
            cookies: options.cookies.then(Cookies::default),
            users: Users::new(&options.users)?,
            upgrades: Upgrades::new(&options.upgrades)?,
            title_case: options.header_case == HeaderCase::Title,
            limits: limits(options)?,
        })
    }
}

fn max_event(options: &HttpOptions) -> Result<usize> {
    let longest = at_least("max_event", options.max_event, 1)?;
    Ok(usize::try_from(longest).unwrap_or(usize::MAX))
}

fn limits(options: &HttpOptions) -> Result<Limits> {
    let headers = at_least("max_headers", options.max_headers, 1)?;
    Ok(Limits {
        response: unless_zero(options.response_timeout),
        header: seconds(at_least("header_timeout", options.header_timeout, 1)?),
        idle: seconds(at_least("idle_timeout", options.idle_timeout, 1)?),
        body: unless_zero(options.body_timeout),
        write: unless_zero(options.write_timeout),
        request_body: options.max_request_body,
        headers: usize::try_from(headers).unwrap_or(usize::MAX),
        header_bytes: at_least("max_header_bytes", options.max_header_bytes, LEAST_HEAD)?,
        requests: at_least("max_requests", options.max_requests, 1)?,
        linger: LingerLimits {
            time: unless_zero(options.linger_timeout),
            bytes: options.max_linger_bytes,
        },
        half_close: Duration::from_millis(options.half_close_ms.into()),
        ping: unless_zero(options.ping_interval),
        pong: seconds(at_least("pong_timeout", options.pong_timeout, 1)?),
    })
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

fn unless_zero(count: u32) -> Option<Duration> {
    (count > 0).then(|| seconds(count))
}

fn at_least(option: &str, value: u32, least: u32) -> Result<u32> {
    if value >= least {
        return Ok(value);
    }
    Err(Error::option(option, format!("is {value}; expected at least {least}")))
}

/// Options of the other side are mistakes, not decoration.
fn fits(options: &HttpOptions, role: Role) -> Result<()> {
    let strangers = [
        (Role::Client, "headers", !options.headers.is_empty()),
        (Role::Client, "bearer_token", options.bearer_token.is_some()),
        (Role::Client, "cookies", options.cookies),
        (Role::Client, "sse", options.sse),
        (Role::Server, "users", !options.users.is_empty()),
    ];
    let message = match role {
        Role::Client => "is for listeners, and this is for connecting",
        Role::Server => "is for connecting, and this is a listener",
    };
    match strangers.into_iter().find(|(of, _, given)| *given && *of != role) {
        Some((_, name, _)) => Err(Error::option(name, message)),
        None => Ok(()),
    }
}

/// Fields that say where a message ends and how long its connection lives.
fn is_ours(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}
