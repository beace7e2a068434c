//! Where a redirect leads (RFC 9110 §15.4).

use crate::head::Origin;
use hyper::Uri;
use jackfield_plugin_api::{Error, ErrorKind, Result};

/// What to do with an answer that may be a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is none.
    Stay,
    /// Ask again.
    Follow {
        /// For this target.
        path: String,
        /// With GET and without content.
        as_get: bool,
    },
}

/// # Errors
/// [`ErrorKind::Refused`] if it leads to another origin: a session is a connection to one, and its
/// credentials are for that one only.
pub(crate) fn next(
    status: u16,
    location: &[u8],
    method: &str,
    path: &str,
    origin: &Origin,
) -> Result<Next> {
    let as_get = match status {
        301 | 302 => method == "POST",
        303 => method != "HEAD",
        307 | 308 => false,
        _ => return Ok(Next::Stay),
    };
    let broken = || Error::new(ErrorKind::Protocol, "the server redirects to an invalid address");
    let location = std::str::from_utf8(location).map_err(|_| broken())?;
    let location = location.split('#').next().unwrap_or_default();
    let absolute = match location.strip_prefix("//") {
        Some(rest) => format!("{}://{rest}", origin.scheme),
        None => location.to_owned(),
    };
    if let Some((scheme, _)) = absolute.split_once("://")
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        let uri: Uri = absolute.parse().map_err(|_| broken())?;
        if !is_same(&uri, origin) {
            return Err(Error::new(ErrorKind::Refused, "the redirect leads to another origin")
                .with("location", absolute));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        return Ok(Next::Follow { path, as_get });
    }
    Ok(Next::Follow { path: resolve(path, location), as_get })
}

fn is_same(uri: &Uri, origin: &Origin) -> bool {
    let default = if origin.scheme == "https" { 443 } else { 80 };
    let ours: Option<Uri> = format!("{}://{}", origin.scheme, origin.authority).parse().ok();
    let place =
        |uri: &Uri| (uri.host().map(str::to_ascii_lowercase), uri.port_u16().unwrap_or(default));
    uri.scheme_str() == Some(origin.scheme) && ours.is_some_and(|ours| place(&ours) == place(uri))
}

/// A relative reference (RFC 3986 §5.2) without scheme and authority.
fn resolve(base: &str, location: &str) -> String {
    let base = base.split('?').next().unwrap_or("/");
    let (path, query) = match location.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (location, String::new()),
    };
    let joined = match path {
        "" => base.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{}/{path}", base.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    format!("{}{query}", without_dots(&joined))
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (index, part) in parts.iter().enumerate() {
        match *part {
            ".." => drop(kept.pop()),
            "." => {}
            part => kept.push(part),
        }
        if index + 1 == parts.len() && matches!(*part, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{Next, next};
    use crate::head::Origin;
    use jackfield_plugin_api::ErrorKind;

    #[test]
    fn references_are_resolved_within_the_origin_only() {
        let origin = Origin { scheme: "http", authority: "a.test".into() };
        let to = |location: &str| match next(302, location.as_bytes(), "GET", "/x/y?q", &origin) {
            Ok(Next::Follow { path, .. }) => Ok(path),
            Ok(Next::Stay) => panic!("not followed"),
            Err(error) => Err(error.kind()),
        };
        for (location, path) in [
            ("/new?a=b", "/new?a=b"),
            ("z", "/x/z"),
            ("../z/./", "/z/"),
            ("../../../..", "/"),
            ("?p", "/x/y?p"),
            ("http://A.test:80/there#part", "/there"),
            ("//a.test/there", "/there"),
            ("http://a.test", "/"),
        ] {
            assert_eq!(to(location).as_deref(), Ok(path), "{location}");
        }
        for elsewhere in ["https://a.test/", "http://b.test/", "//b.test/", "http://a.test:81/"] {
            assert_eq!(to(elsewhere), Err(ErrorKind::Refused), "{elsewhere}");
        }
        assert_eq!(to("http://[/"), Err(ErrorKind::Protocol));
    }

    #[test]
    fn the_status_decides_what_becomes_a_get() {
        let origin = Origin { scheme: "http", authority: "a.test".into() };
        let as_get = |status, method| match next(status, b"/", method, "/", &origin).unwrap() {
            Next::Follow { as_get, .. } => Some(as_get),
            Next::Stay => None,
        };
        assert_eq!(as_get(301, "POST"), Some(true));
        assert_eq!(as_get(302, "PUT"), Some(false));
        assert_eq!(as_get(303, "PUT"), Some(true));
        assert_eq!(as_get(308, "POST"), Some(false));
        assert_eq!(as_get(200, "GET"), None);
        assert_eq!(as_get(304, "GET"), None);
    }
}
