//! Whether a request over TCP may come in at all, before anything else is looked at: web pages can send requests to this
//! machine too, and a name can be made to lead to it.
//!
//! - `Host` is an address of this machine or a name of `admin.hosts`: a page whose name was made to lead here (DNS
//!   rebinding) has another.
//! - No page of another origin (`Origin`, `Sec-Fetch-Site`) asks; the API gives none leave to (no CORS).
//! - A body is `application/json`, which no form sends.
//! - There is a token, which no page has; it is never in the address, and there are no cookies. A browser shows a
//!   certificate for any page: what is above keeps those out.

use super::problem::ApiProblem;
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, ORIGIN, TRANSFER_ENCODING};
use std::net::IpAddr;

/// Judges a request by its fields; `hosts` are names by which this API is known beside addresses of
/// this machine itself, and `local` is its address that the request was sent to.
///
/// # Errors
/// 421, 403 or 415, with what was expected.
pub(super) fn judge(
    headers: &HeaderMap,
    hosts: &[String],
    local: Option<IpAddr>,
) -> Result<(), ApiProblem> {
    let field = |name: &hyper::header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let host = field(&HOST);
    if !is_ours(host, hosts, local) {
        let text = "expected an address of this machine, localhost or a name of admin.hosts in the field host";
        return Err(ApiProblem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", text));
    }
    let site = headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or_default());
    let is_foreign_site = site.is_some_and(|site| !["same-origin", "none"].contains(&site));
    let origin = field(&ORIGIN);
    let is_foreign_origin =
        headers.contains_key(ORIGIN) && origin.split_once("://").map(|(_, at)| at) != Some(host);
    if is_foreign_site || is_foreign_origin {
        return Err(ApiProblem::forbidden("a page of another origin may not ask"));
    }
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || !["", "0"].contains(&field(&CONTENT_LENGTH).trim());
    let kind = field(&CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if has_body && !kind.eq_ignore_ascii_case("application/json") {
        let text = "expected a body of the type application/json";
        return Err(ApiProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", text));
    }
    Ok(())
}

/// Whether a value of `Host` means this API.
fn is_ours(host: &str, hosts: &[String], local: Option<IpAddr>) -> bool {
    let without_port = |text: &str| match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => text.to_owned(),
    };
    let name = if host.ends_with(']') { host.to_owned() } else { without_port(host) };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let known = |own: &String| own.eq_ignore_ascii_case(&name) || own.eq_ignore_ascii_case(host);
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || local == Some(ip))
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fields: &[(&'static str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let judged = judge(&headers, &["jackfield.example".to_owned()], "192.0.2.1".parse().ok());
        judged.map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_not_ours() {
        for own in [
            "127.0.0.1:8900",
            "127.0.0.1",
            "[::1]:8900",
            "localhost",
            "jackfield.example:443",
            "192.0.2.1:1",
        ] {
            assert_eq!(judged(&[("host", own)]), 200, "{own}");
        }
        for foreign in
            ["", "evil.example", "10.0.0.7", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert_eq!(judged(&[("host", foreign)]), 421, "{foreign}");
        }
    }

    #[test]
    fn pages_of_other_origins_and_what_forms_send_are_refused() {
        let host = ("host", "localhost:8900");
        assert_eq!(judged(&[host, ("origin", "http://localhost:8900")]), 200);
        for foreign in ["http://evil.example", "null", "http://localhost:1", ""] {
            assert_eq!(judged(&[host, ("origin", foreign)]), 403, "{foreign}");
        }
        assert_eq!(judged(&[host, ("sec-fetch-site", "same-origin")]), 200);
        for site in ["cross-site", "same-site"] {
            assert_eq!(judged(&[host, ("sec-fetch-site", site)]), 403, "{site}");
        }
        let body = ("content-length", "2");
        assert_eq!(judged(&[host, body, ("content-type", "application/json; charset=utf-8")]), 200);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            assert_eq!(judged(&[host, body, ("content-type", kind)]), 415, "{kind}");
        }
        assert_eq!(judged(&[host, ("transfer-encoding", "chunked")]), 415);
    }
}
