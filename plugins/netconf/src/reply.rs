//! Answers: what is in them, or the errors that they are (RFC 6241 §4.3).

use crate::json;
use crate::options::Form;
use crate::xml::{Element, Outline, tree};
use jackfield_plugin_api::{Error, ErrorKind, Origin, Result};
use serde_json::{Value, json};

/// The most errors of one answer of which something is told.
const TOLD: usize = 8;

/// An answer that has come, as text and its first level.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) outline: Outline,
}

impl Reply {
    /// What is in it, in a form: `{ output }` for XML, `{ data }` for JSON, with the warnings of the server.
    ///
    /// # Errors
    /// What the server says is wrong.
    pub(crate) fn result(&self, form: Form, deepest: usize) -> Result<Value> {
        let mut warnings = Vec::new();
        let mut errors = Vec::new();
        for (name, place) in &self.outline.children {
            if name != "rpc-error" {
                continue;
            }
            let error = tree(&self.text[place.clone()], deepest)?;
            let is_warning = error.text_of("error-severity") == Some("warning");
            if is_warning { &mut warnings } else { &mut errors }.push(error);
        }
        if let Some(first) = errors.first() {
            return Err(failure(first, &errors[1..]));
        }
        let mut result = match form {
            Form::Xml => json!({ "output": self.inner(&warnings) }),
            Form::Json => {
                let mut all = json::of_element(&tree(&self.text, deepest)?);
                if let Some(fields) = all.as_object_mut() {
                    fields.retain(|name, _| !name.starts_with('@') && !name.ends_with("rpc-error"));
                }
                json!({ "data": all })
            }
        };
        if !warnings.is_empty() {
            let told: Vec<String> = warnings.iter().map(words).collect();
            result["warnings"] = json!(told);
        }
        Ok(result)
    }

    /// The text between its tags, without warnings.
    fn inner(&self, warnings: &[Element]) -> String {
        if warnings.is_empty() {
            return self.text[self.outline.inner.clone()].trim().to_owned();
        }
        let others = self.outline.children.iter().filter(|(name, _)| name != "rpc-error");
        others.map(|(_, place)| &self.text[place.clone()]).collect()
    }
}

/// What the server says, or the name of its error.
fn words(error: &Element) -> String {
    let text = error.text_of("error-message").or_else(|| error.text_of("error-tag"));
    printable(text.unwrap_or("the server refused without a word"))
}

/// A peer's text for one line of ours.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn failure(first: &Element, more: &[Element]) -> Error {
    let tag = first.text_of("error-tag").unwrap_or("operation-failed");
    let kind = match tag {
        "in-use" | "lock-denied" => ErrorKind::InUse,
        "data-missing" => ErrorKind::NotFound,
        "operation-not-supported" => ErrorKind::Unsupported,
        "too-big" | "resource-denied" => ErrorKind::Limit,
        _ => ErrorKind::Refused,
    };
    let mut error = Error::new(kind, words(first)).with_origin(Origin::Upstream);
    error = error.with("tag", printable(tag));
    let facts = [("type", "error-type"), ("path", "error-path"), ("app_tag", "error-app-tag")];
    for (name, element) in facts {
        if let Some(text) = first.text_of(element) {
            error = error.with(name, printable(text));
        }
    }
    if let Some(info) = first.children.iter().find(|child| child.local_name() == "error-info") {
        error = error.with("info", printable(&json::of_element(info).to_string()));
    }
    for other in more.iter().take(TOLD) {
        error = error.with("also", words(other));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::outline;

    fn reply(inner: &str) -> Reply {
        let text = format!(
            "<rpc-reply xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"1\">{inner}</rpc-reply>"
        );
        let outline = outline(&text, 20).unwrap();
        Reply { text, outline }
    }

    #[test]
    fn data_is_given_in_both_forms() {
        let answer = reply("\n<data><a xmlns=\"urn:a\">1</a></data>\n");
        assert_eq!(
            answer.result(Form::Xml, 20).unwrap(),
            json!({ "output": "<data><a xmlns=\"urn:a\">1</a></data>" })
        );
        let data = json!({ "data": { "data": { "a": { "@xmlns": "urn:a", "#text": "1" } } } });
        assert_eq!(answer.result(Form::Json, 20).unwrap(), data);
        assert_eq!(
            reply("<ok/>").result(Form::Json, 20).unwrap(),
            json!({ "data": { "ok": null } })
        );
    }

    #[test]
    fn errors_have_tag_path_and_message() {
        let one = "<rpc-error><error-type>application</error-type><error-tag>lock-denied</error-tag>\
                   <error-severity>error</error-severity><error-path>/t:a</error-path>\
                   <error-message xml:lang=\"en\">Lock\nfailed</error-message>\
                   <error-info><session-id>454</session-id></error-info></rpc-error>";
        let other = "<rpc-error><error-tag>in-use</error-tag></rpc-error>";
        let error = reply(&format!("{one}{other}")).result(Form::Xml, 20).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InUse, "Lock failed"));
        let facts: Vec<_> = error.context().collect();
        assert_eq!(
            facts,
            [
                ("tag", "lock-denied"),
                ("type", "application"),
                ("path", "/t:a"),
                ("info", "{\"session-id\":\"454\"}"),
                ("also", "in-use"),
            ]
        );
        let error = reply("<rpc-error/>").result(Form::Xml, 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
    }

    #[test]
    fn warnings_are_no_errors() {
        let warned = reply(
            "<rpc-error><error-severity>warning</error-severity><error-tag>x</error-tag></rpc-error><ok/>",
        );
        assert_eq!(
            warned.result(Form::Xml, 20).unwrap(),
            json!({ "output": "<ok/>", "warnings": ["x"] })
        );
        assert_eq!(
            warned.result(Form::Json, 20).unwrap(),
            json!({ "data": { "ok": null }, "warnings": ["x"] })
        );
    }
}
