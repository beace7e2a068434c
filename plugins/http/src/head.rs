//! Between the flat block of a head and hyper's requests and responses.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderName};
use hyper::http::request;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use jackfield_plugin_api::{Error, ErrorKind, HeaderBlock, Result};
use percent_encoding::percent_decode_str;

/// Names that HTTP itself does not know.
const FORWARDED: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Where a client's requests go unless they say otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) scheme: &'static str,
    /// Without the scheme's own port.
    pub(crate) authority: String,
}

/// A request to send: in the form that HTTP/1.1 or HTTP/2 wants.
pub(crate) fn request(head: &HeaderBlock, origin: &Origin, http2: bool) -> Result<Request<()>> {
    let text = |name: &str| head.get(name).map(std::str::from_utf8).transpose();
    let text = |name: &str| text(name).map_err(|_| wrong(name));
    let method =
        Method::from_bytes(head.get(":method").unwrap_or(b"GET")).map_err(|_| wrong(":method"))?;
    let mut headers = fields(head)?;
    let own_host = headers.remove(header::HOST);
    let own_host = own_host.as_ref().and_then(|value| value.to_str().ok());
    // A client of HTTP/1.0 need not say which host it wants, and one of HTTP/1.1 may say that it knows none.
    let filled = |authority: &&str| !authority.is_empty();
    let given = text(":authority")?.filter(filled).or(own_host.filter(filled));
    let authority = given.unwrap_or(&origin.authority);
    let authority = Authority::try_from(authority).map_err(|_| wrong(":authority"))?;
    let path = text(":path")?.unwrap_or("/");
    let path = PathAndQuery::try_from(path).map_err(|_| wrong(":path"))?;
    // Where content ends is hyper's to say.
    headers.remove(header::TRANSFER_ENCODING);
    let uri = if method == Method::CONNECT {
        Uri::builder().authority(authority)
    } else if http2 {
        let scheme = text(":scheme")?.unwrap_or(origin.scheme);
        let scheme = Scheme::try_from(scheme).map_err(|_| wrong(":scheme"))?;
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path)
    } else {
        insert_host(&mut headers, authority.as_str())?;
        join_cookies(&mut headers);
        Uri::builder().path_and_query(path)
    };
    if http2 {
        without_connection(&mut headers);
    } else if method == Method::CONNECT {
        insert_host(&mut headers, given.unwrap_or(&origin.authority))?;
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri.build().map_err(|_| wrong(":path"))?;
    *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    Ok(request)
}

fn insert_host(headers: &mut HeaderMap, host: &str) -> Result<()> {
    let value = HeaderValue::from_str(host).map_err(|_| wrong("host"))?;
    headers.insert(header::HOST, value);
    Ok(())
}

/// Makes one field of the several that HTTP/2 may have for cookies (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let values: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&values.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Whether a request wants to turn into a WebSocket, in the way of HTTP/1.1 (RFC 6455 §4.1).
pub(crate) fn is_websocket(head: &HeaderBlock) -> bool {
    head.get("upgrade").is_some_and(|to| to.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Fields of a connection that HTTP/2 does not know (RFC 9113 §8.2.2).
fn without_connection(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if headers.get(header::TE).is_some_and(|value| value != "trailers") {
        headers.remove(header::TE);
    }
}

/// A response to send.
pub(crate) fn response(head: &HeaderBlock, http2: bool) -> Result<Response<()>> {
    let status = head.get(":status").and_then(|text| StatusCode::from_bytes(text).ok());
    let status = status.ok_or_else(|| wrong(":status"))?;
    let mut headers = fields(head)?;
    headers.remove(header::TRANSFER_ENCODING);
    if http2 {
        without_connection(&mut headers);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The fields of a block without those that start with a colon.
pub(crate) fn fields(head: &HeaderBlock) -> Result<HeaderMap> {
    let named = || head.iter().filter(|(name, _)| !name.starts_with(b":"));
    // And one for a host. A map for many more than there are takes memory that is dear to get.
    let mut headers = HeaderMap::with_capacity(named().count() + 1);
    // Values stay where they are: one run of bytes lives longer for it, and none is copied.
    let shared = head.clone().into_bytes();
    for (name, value) in named() {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let value =
            HeaderValue::from_maybe_shared(shared.slice_ref(value)).map_err(|_| wrong(&shown()))?;
        let name = self::name(name).map_err(|_| wrong(&shown()))?;
        headers
            .try_append(name, value)
            .map_err(|_| Error::new(ErrorKind::Limit, "a head has too many fields"))?;
    }
    Ok(headers)
}

/// The name of a field; those that a route adds to every request are not made anew.
fn name(text: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let known = FORWARDED.into_iter().find(|known| known.as_bytes() == text);
    known.map_or_else(|| HeaderName::from_bytes(text), |known| Ok(HeaderName::from_static(known)))
}

fn wrong(name: &str) -> Error {
    Error::new(ErrorKind::Config, "a field of the head is missing or not well formed")
        .with("field", name)
}

/// Whether a path is `base` or below it, however a server reads it: percent escapes and backslashes may
/// be separators to them, and `..` leads out again (RFC 3986 §5.2.4).
pub(crate) fn is_below(path: &str, base: &str) -> bool {
    let read = percent_decode_str(path).decode_utf8_lossy();
    let climbs = read.split(['/', '\\']).any(|segment| segment == "..");
    let below = path.strip_prefix(base);
    !climbs && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Whether content comes as it is: in chunks, or without a transfer coding. hyper undoes no other one, and takes
/// those before the last for none (RFC 9112 §6.1).
///
/// # Errors
/// The answer to such a request, and why.
pub(crate) fn plain(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    let all = headers.get_all(header::TRANSFER_ENCODING).iter();
    let codings = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let codings: Vec<&[u8]> = codings.map(<[u8]>::trim_ascii).collect();
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match &codings[..] {
        [only] if is_chunked(only) => Ok(()),
        [before @ .., last]
            if is_chunked(last)
                && before.iter().all(|coding| !coding.is_empty() && !is_chunked(coding)) =>
        {
            Err((StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked is known here"))
        }
        _ => Err((StatusCode::BAD_REQUEST, "the transfer codings are not well formed")),
    }
}

/// A received request as a block. The `Host` field becomes `:authority`, where it says anything.
///
/// # Errors
/// Which rule of HTTP/1.1 it breaks; the answer is 400.
pub(crate) fn of_request(
    mut parts: request::Parts,
    scheme: &str,
) -> Result<HeaderBlock, &'static str> {
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("the request has more than one Host field"),
        (None, None) if parts.version == Version::HTTP_11 => {
            return Err("the request has no Host field");
        }
        (host, None) => host.map(HeaderValue::as_bytes),
    };
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes()).or(host);
    let authority = authority.unwrap_or_default();
    if !authority.is_empty() && Authority::try_from(authority).is_err() {
        return Err("the Host field is no host");
    }
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":method", parts.method.as_str().as_bytes()),
        (b":scheme", scheme.as_bytes()),
        (b":authority", authority),
        (b":path", path.as_bytes()),
    ];
    let pseudo =
        pseudo.into_iter().filter(|(name, value)| *name != b":authority" || !value.is_empty());
    let fields = parts.headers.iter().filter(|(name, _)| *name != header::HOST);
    let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    HeaderBlock::new(pseudo.chain(fields)).map_err(|_| "the head is too long")
}

/// A received response as a block.
pub(crate) fn of_response(status: StatusCode, headers: &HeaderMap) -> Result<HeaderBlock> {
    let pseudo: [(&[u8], &[u8]); 1] = [(b":status", status.as_str().as_bytes())];
    // Beside chunks a length means nothing (RFC 9112 §6.3).
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let fields = headers.iter().filter(|(name, _)| !(chunked && *name == header::CONTENT_LENGTH));
    let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    HeaderBlock::new(pseudo.into_iter().chain(fields))
}

/// Whether a status is that of an interim response which others than the two ends of a connection may send
/// (RFC 9110 §15.2): not `100 Continue`, nor the end of HTTP at a 101.
pub(crate) fn is_interim(status: StatusCode) -> bool {
    (102..200).contains(&status.as_u16())
}

/// An interim response as HTTP/1.1 writes it; `None` for what is none, or not well formed.
pub(crate) fn interim(head: &HeaderBlock) -> Option<Bytes> {
    let response = response(head, false).ok().filter(|response| is_interim(response.status()))?;
    let mut text = BytesMut::with_capacity(128);
    // It has a reason where it is known (RFC 9112 §4).
    text.put_slice(format!("HTTP/1.1 {}\r\n", response.status()).as_bytes());
    for (name, value) in response.headers() {
        let parts = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        parts.into_iter().for_each(|part| text.put_slice(part));
    }
    text.put_slice(b"\r\n");
    Some(text.freeze())
}

/// Fields alone, as trailers are.
pub(crate) fn of_fields(headers: &HeaderMap) -> Result<HeaderBlock> {
    HeaderBlock::new(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}
