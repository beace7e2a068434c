//! The URI of a stack: drivers on top of each other, then an address.
//!
//! ```text
//! uri       = layers ":" ( "//" authority [ path ] / [ path ] ) [ "?" query ]
//! layers    = name *( "+" name )                  ; top first: mqtt+ws+tls+tcp
//! name      = lower-case letter *( lower-case letter / digit / "-" )
//! authority = [ user [ ":" password ] "@" ] [ host / "*" ] [ ":" port ]
//! path      = "/" …                               ; as written, percent escapes kept
//! ```
//!
//! Close to RFC 3986, with three differences: the scheme is a list of layers, names are lower
//! case, and a fragment is refused.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jackfield_plugin_api::mask_query;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::secret::Secret;

/// The longest URI accepted, in bytes.
pub const MAX_URI: usize = 8 * 1024;

/// The most layers in one stack.
pub const MAX_LAYERS: usize = 16;

/// The host that a listener may have for every address, as no host at all.
pub const EVERY_ADDRESS: &str = "*";

/// Everything but RFC 3986's unreserved characters is escaped in user and password.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A parsed stack URI, such as `mqtt+ws+tls://user@broker:443/mqtt?keepalive=30`.
///
/// `Display` writes the URI without its password and without the values of its query, for people, see
/// [`mask_query`]; `written` keeps the query. The default value is empty: no layer, no
/// address; it stands for "not given" and is never the result of parsing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackUri {
    /// The drivers, top first: `["mqtt", "ws", "tls"]`. Never empty after parsing.
    pub layers: Vec<String>,
    /// The user, percent-decoded.
    pub user: Option<String>,
    /// The password, percent-decoded; never printed.
    pub password: Option<Secret>,
    /// Name or address, without the brackets of an IPv6 address. `None`, or `*`: every address when
    /// listening, nothing to connect to otherwise.
    pub host: Option<String>,
    /// The port; 0 asks for any free one when listening.
    pub port: Option<u16>,
    /// Empty, or from its `/` on; percent escapes as written.
    pub path: String,
    /// What follows `?`, as written.
    pub query: Option<String>,
}

impl StackUri {
    /// Whether this is the empty default rather than a parsed URI.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers joined by `+`, top first.
    pub fn scheme(&self) -> String {
        self.layers.join("+")
    }

    /// The path with its percent escapes decoded, for files and device nodes.
    pub fn decoded_path(&self) -> Cow<'_, str> {
        percent_decode_str(&self.path).decode_utf8_lossy()
    }

    /// The `key=value` pairs of the query in order, percent-decoded; a key without `=` has the
    /// value `""`. `+` stands for itself.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let query = self.query.as_deref().unwrap_or_default();
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decode(key), decode(value))
        })
    }
}

/// Why a text is not a stack URI. Never quotes the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the URI: {message}")]
pub struct UriError {
    /// Offset in bytes from the start of the URI, counted from 0.
    pub offset: usize,
    /// What was expected there.
    pub message: String,
}

impl UriError {
    fn at(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

impl FromStr for StackUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > MAX_URI {
            return Err(UriError::at(MAX_URI, format!("expected at most {MAX_URI} bytes")));
        }
        if let Some((offset, _)) =
            text.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace())
        {
            return Err(UriError::at(
                offset,
                "white space and control characters must be percent-encoded",
            ));
        }
        if let Some(offset) = text.find('#') {
            return Err(UriError::at(offset, "a fragment has no meaning here; write %23 for #"));
        }
        let (layers, rest) = parse_layers(text)?;
        let mut uri = Self { layers, ..Self::default() };

        let query = text[rest..].find('?').map_or(text.len(), |at| rest + at);
        if query < text.len() {
            check_escapes(text, query + 1, text.len())?;
            uri.query = Some(text[query + 1..].to_owned());
        }
        let path = match text[rest..query].strip_prefix("//") {
            Some(after) => {
                let start = rest + 2;
                let end = after.find('/').map_or(query, |at| start + at);
                parse_authority(&mut uri, text, start, end)?;
                end
            }
            None => rest,
        };
        if path < query && !text[path..].starts_with('/') {
            return Err(UriError::at(
                path,
                "expected // and an address, or a path that begins with /",
            ));
        }
        check_escapes(text, path, query)?;
        uri.path = text[path..query].to_owned();
        Ok(uri)
    }
}

impl fmt::Display for StackUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_address(f)?;
        match &self.query {
            Some(query) => f.write_str(&mask_query(&format!("?{query}"))),
            None => Ok(()),
        }
    }
}

impl StackUri {
    /// The URI with its query as it was written, and without its password: what keeps it, or tells it from
    /// others.
    pub fn written(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_address(&mut text);
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
        text
    }

    /// What stands before the query.
    fn write_address(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        write!(f, "{}:", self.scheme())?;
        let address = self.user.is_some() || self.host.is_some() || self.port.is_some();
        if address || !self.path.is_empty() {
            f.write_str("//")?;
        }
        if let Some(user) = &self.user {
            write!(f, "{}@", utf8_percent_encode(user, USER_INFO))?;
        }
        match &self.host {
            // A zone that begins like an escaped `%` needs one before it.
            Some(host) if host.contains("%25") => write!(f, "[{}]", host.replacen('%', "%25", 1))?,
            Some(host) if host.contains(':') => write!(f, "[{host}]")?,
            Some(host) => f.write_str(host)?,
            None => {}
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// The layers, and the offset behind their colon.
fn parse_layers(text: &str) -> Result<(Vec<String>, usize), UriError> {
    let mut layers = Vec::new();
    let mut start = 0;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b':' | b'+' if offset == start => {
                return Err(UriError::at(offset, "expected the name of a driver"));
            }
            b':' | b'+' => {
                layers.push(text[start..offset].to_owned());
                if layers.len() > MAX_LAYERS {
                    return Err(UriError::at(
                        start,
                        format!("expected at most {MAX_LAYERS} layers"),
                    ));
                }
                if byte == b':' {
                    return Ok((layers, offset + 1));
                }
                start = offset + 1;
            }
            b'a'..=b'z' => {}
            b'0'..=b'9' | b'-' if offset > start => {}
            b'A'..=b'Z' => {
                return Err(UriError::at(offset, "driver names are lower case"));
            }
            _ => {
                return Err(UriError::at(
                    offset,
                    "expected a driver name (a-z, then a-z, 0-9 or -), then + or :",
                ));
            }
        }
    }
    Err(UriError::at(text.len(), "expected : after the driver names, as in tcp://host:port"))
}

/// Parses `text[start..end]`: user, password, host and port.
fn parse_authority(
    uri: &mut StackUri,
    text: &str,
    start: usize,
    end: usize,
) -> Result<(), UriError> {
    let mut host = start;
    if let Some(at) = text[start..end].rfind('@').map(|at| start + at) {
        let colon = text[start..at].find(':').map(|colon| start + colon);
        let user = decode(text, start, colon.unwrap_or(at))?;
        if user.is_empty() && colon.is_none() {
            return Err(UriError::at(start, "expected a user before @"));
        }
        uri.user = (!user.is_empty()).then_some(user);
        if let Some(colon) = colon {
            uri.password = Some(Secret::new(decode(text, colon + 1, at)?));
        }
        host = at + 1;
    }
    let port = parse_host(uri, text, host, end)?;
    if port == end {
        return Ok(());
    }
    let digits = &text[port + 1..end];
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(number) if valid => uri.port = Some(number),
        _ => return Err(UriError::at(port + 1, "expected a port from 0 to 65535")),
    }
    Ok(())
}

/// Parses the host at `start`; returns the offset of the colon before the port, or `end`.
fn parse_host(uri: &mut StackUri, text: &str, start: usize, end: usize) -> Result<usize, UriError> {
    if text[start..end].starts_with('[') {
        let Some(close) = text[start..end].find(']').map(|at| start + at) else {
            return Err(UriError::at(end, "expected ] after the IPv6 address"));
        };
        uri.host = Some(parse_ipv6(text, start + 1, close)?);
        return match text.as_bytes().get(close + 1).filter(|_| close + 1 < end) {
            None | Some(b':') => Ok(close + 1),
            Some(_) => Err(UriError::at(close + 1, "expected : and a port, or / after ]")),
        };
    }
    let colon = text[start..end].find(':').map_or(end, |at| start + at);
    if text[colon..end].matches(':').count() > 1 {
        return Err(UriError::at(start, "an IPv6 address is written in brackets, as in [::1]"));
    }
    let host = &text[start..colon];
    if host == EVERY_ADDRESS {
        uri.host = Some(host.to_owned());
        return Ok(colon);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(bad) = host.find(|c| !allowed(c)) {
        return Err(UriError::at(
            start + bad,
            "expected a host name (letters, digits, . - _), an IPv4 address or an IPv6 address in brackets",
        ));
    }
    let numeric = host.contains('.') && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(UriError::at(start, "expected an IPv4 address, as in 192.0.2.1"));
    }
    uri.host = (!host.is_empty()).then(|| host.to_owned());
    Ok(colon)
}

/// An IPv6 address with an optional zone; RFC 6874 writes the `%` before the zone as `%25`.
fn parse_ipv6(text: &str, start: usize, end: usize) -> Result<String, UriError> {
    let (address, zone) = match text[start..end].split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (&text[start..end], None),
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Err(UriError::at(start, "expected an IPv6 address between the brackets"));
    };
    match zone {
        None => Ok(address.to_string()),
        Some(zone)
            if !zone.is_empty()
                && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) =>
        {
            Ok(format!("{address}%{zone}"))
        }
        Some(_) => Err(UriError::at(start, "expected the name of an interface after %")),
    }
}

/// `text[start..end]` with its percent escapes decoded.
fn decode(text: &str, start: usize, end: usize) -> Result<String, UriError> {
    check_escapes(text, start, end)?;
    match percent_decode_str(&text[start..end]).decode_utf8() {
        Ok(decoded) if decoded.contains('\0') => {
            Err(UriError::at(start, "user and password must not contain %00"))
        }
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(UriError::at(start, "expected percent escapes that form UTF-8 text")),
    }
}

/// Every `%` in `text[start..end]` must begin an escape.
fn check_escapes(text: &str, start: usize, end: usize) -> Result<(), UriError> {
    let bytes = &text.as_bytes()[start..end];
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = bytes.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(UriError::at(
                start + at,
                "expected two hexadecimal digits after %; write %25 for % itself",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
