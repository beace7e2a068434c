//! Where the API of a server is (RFC 8040 §3.1): `<Link rel="restconf" href="…"/>` in its `host-meta`.

/// Where it is asked for.
pub(super) const HOST_META: &str = "/.well-known/host-meta";
/// Where it mostly is, for a server without `host-meta`.
pub(super) const USUAL_ROOT: &str = "/restconf";

/// The path of the link, without a slash at its end.
pub(super) fn root_in(host_meta: &str) -> Option<String> {
    let tags = host_meta.split('<').filter_map(|tag| tag.split_once('>')).map(|(tag, _)| tag);
    let links = tags.filter_map(|tag| {
        let (name, attributes) = tag.split_once(|letter: char| letter.is_ascii_whitespace())?;
        (name.rsplit(':').next() == Some("Link")).then_some(attributes)
    });
    let link = links.into_iter().find(|link| attribute(link, "rel") == Some("restconf"))?;
    let href = attribute(link, "href")?;
    // Of a whole URL only the path: it is asked for on this connection.
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => href,
    };
    let is_path = path.is_empty() || path.starts_with('/');
    let is_plain = path.chars().all(|letter| letter.is_ascii_graphic());
    (is_path && is_plain).then(|| path.trim_end_matches('/').to_owned())
}

/// An attribute's value in quotes of either kind.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, behind) = after[1..].split_once(quote)?;
        if before.trim() == name {
            return Some(value);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::root_in;

    #[test]
    fn the_link_tells_the_path() {
        let xrd = |link: &str| {
            format!(
                "<?xml version='1.0'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{link}</XRD>"
            )
        };
        let link = xrd("<Link rel='lrdd' href='/x'/>\n<Link rel='restconf' href='/restconf/v1/'/>");
        assert_eq!(root_in(&link).as_deref(), Some("/restconf/v1"));
        let link = xrd("<x:Link\n href = \"https://h:8443/api\" rel = \"restconf\" />");
        assert_eq!(root_in(&link).as_deref(), Some("/api"));
        for none in [
            "",
            "<Link",
            "<Link rel='restconf'/>",
            "<Link rel='restconf' href='api'/>",
            "<Link rel=restconf href=/x>",
            "<Linkx rel='restconf' href='/x'/>",
            "<Link rel='restconf' href='/a b'/>",
        ] {
            assert_eq!(root_in(none), None, "{none}");
        }
    }
}
