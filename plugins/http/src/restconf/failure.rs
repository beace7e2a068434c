//! What a server says is wrong (RFC 8040 §7.1), in JSON or XML.

use jackfield_plugin_api::{Error, ErrorKind, Origin};
use serde_json::Value;

/// The members of an error that are told, and how they are called here.
const FACTS: [(&str, &str); 4] = [
    ("error-tag", "tag"),
    ("error-type", "type"),
    ("error-path", "path"),
    ("error-app-tag", "app_tag"),
];

/// The answer with that status and content as an error.
pub(super) fn failure(status: u16, content: &str) -> Error {
    let parsed: Option<Value> = serde_json::from_str(content).ok();
    let first = parsed.as_ref().and_then(first_error);
    let member = |name: &str| match first {
        Some(error) => error
            .get(name)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        None => between(content, name),
    };
    let tag = member("error-tag");
    let kind = match (status, tag.as_deref()) {
        (401, _) => ErrorKind::Denied,
        (_, Some("in-use" | "lock-denied" | "data-exists")) => ErrorKind::InUse,
        (404, _) | (_, Some("data-missing")) => ErrorKind::NotFound,
        (405 | 501, _) | (_, Some("operation-not-supported")) => ErrorKind::Unsupported,
        (413, _) | (_, Some("too-big" | "resource-denied")) => ErrorKind::Limit,
        _ => ErrorKind::Refused,
    };
    let text = member("error-message").map(|text| printable(&text));
    let text = text.unwrap_or_else(|| format!("the server answered {status}"));
    let mut error = Error::new(kind, text).with_origin(Origin::Upstream).with("status", status);
    for (name, fact) in FACTS {
        if let Some(value) = member(name) {
            error = error.with(fact, printable(&value));
        }
    }
    error
}

/// `{ "ietf-restconf:errors": { "error": [ … ] } }`, with or without the module's name.
fn first_error(content: &Value) -> Option<&Value> {
    let errors = content.get("ietf-restconf:errors").or_else(|| content.get("errors"))?;
    errors.get("error")?.get(0)
}

/// The text of the first element of that name.
pub(super) fn between(content: &str, name: &str) -> Option<String> {
    let mut tags = content.split('<').skip(1).filter_map(|tag| tag.split_once('>'));
    let (_, text) = tags.find(|(tag, _)| {
        let found =
            tag.split(|letter: char| letter.is_ascii_whitespace()).next().unwrap_or_default();
        found.rsplit(':').next() == Some(name)
    })?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(text.replace("&apos;", "'").replace("&amp;", "&").trim().to_owned())
}

/// A peer's text for one line of ours.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_both_forms() {
        let json = r#"{"ietf-restconf:errors":{"error":[{"error-type":"protocol","error-tag":"lock-denied",
            "error-path":"/a:b","error-message":"Lock\nfailed"}]}}"#;
        let xml = "<errors xmlns='urn:ietf:params:xml:ns:yang:ietf-restconf'><error><error-type>protocol</error-type>\
                   <error-tag>lock-denied</error-tag><error-path xmlns:a='urn:a'>/a:b</error-path>\
                   <error-message>Lock\nfailed</error-message></error></errors>";
        for content in [json, xml] {
            let error = failure(409, content);
            assert_eq!((error.kind(), error.message()), (ErrorKind::InUse, "Lock failed"));
            let facts: Vec<_> = error.context().collect();
            assert_eq!(
                facts,
                [("status", "409"), ("tag", "lock-denied"), ("type", "protocol"), ("path", "/a:b")]
            );
        }
        assert_eq!(failure(401, "").kind(), ErrorKind::Denied);
        assert_eq!(failure(404, "<html>").kind(), ErrorKind::NotFound);
        assert_eq!(
            failure(500, "{\"errors\":[]}").to_string(),
            "the server answered 500 [status=500]"
        );
    }
}
