//! Parameters of operations, and the XML that they become.

use crate::json::to_xml;
use crate::options::Form;
use crate::xml::{escape, tree};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// XML as a text, or the same as JSON: `{ "NAME": { "@xmlns": "…", … } }`, or such JSON as a text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Content {
    /// XML: one element or several. What begins with a brace is JSON.
    Text(String),
    /// JSON.
    Json(Map<String, Value>),
}

impl Content {
    /// The XML, which is one or more elements.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: it is neither, naming `parameter`.
    pub(crate) fn xml(&self, parameter: &str, deepest: usize) -> Result<String> {
        let wrong = |what: String| Error::new(ErrorKind::Config, what).with("parameter", parameter);
        match self {
            Content::Json(fields) => to_xml(fields, deepest),
            Content::Text(text) if text.trim_start().starts_with('{') => {
                let fields = serde_json::from_str(text);
                to_xml(
                    &fields.map_err(|error| wrong(format!("this is no JSON: {error}")))?,
                    deepest,
                )
            }
            Content::Text(text) => {
                // Inside of an element, so that there may be several.
                tree(&format!("<x>{text}</x>"), deepest)
                    .map_err(|error| wrong(error.message().to_owned()))?;
                Ok(text.clone())
            }
        }
    }
}

/// Which data: a subtree or an XPath.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    /// A subtree (RFC 6241 §6). Not set: all.
    #[serde(default)]
    filter: Option<Content>,
    /// An XPath instead, where the server has that; prefixes as `namespaces` has them.
    #[serde(default)]
    xpath: Option<String>,
    /// Namespaces of prefixes in `xpath`.
    #[serde(default)]
    namespaces: Map<String, Value>,
    /// Which defaults are in it, where the server has RFC 6243: `report-all`, `report-all-tagged`, `trim`,
    /// `explicit`.
    #[serde(default)]
    with_defaults: Option<String>,
    /// In which form the result is; not set: as the option says.
    #[serde(default)]
    pub(crate) format: Option<Form>,
}

// Those of `get` stand here again: serde refuses no unknown field of a struct that takes another one in.
/// Parameters of `get_config`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetConfig {
    /// `running`, `candidate` or `startup`.
    #[serde(default = "running")]
    pub(crate) source: String,
    /// A subtree (RFC 6241 §6). Not set: all.
    #[serde(default)]
    filter: Option<Content>,
    /// An XPath instead, where the server has that; prefixes as `namespaces` has them.
    #[serde(default)]
    xpath: Option<String>,
    /// Namespaces of prefixes in `xpath`.
    #[serde(default)]
    namespaces: Map<String, Value>,
    /// Which defaults are in it, where the server has RFC 6243.
    #[serde(default)]
    with_defaults: Option<String>,
    /// In which form the result is; not set: as the option says.
    #[serde(default)]
    pub(crate) format: Option<Form>,
}

impl GetConfig {
    /// What it asks of the source.
    pub(crate) fn get(self) -> Get {
        let GetConfig { filter, xpath, namespaces, with_defaults, format, .. } = self;
        Get { filter, xpath, namespaces, with_defaults, format }
    }
}

pub(crate) fn running() -> String {
    "running".to_owned()
}

impl Get {
    pub(crate) fn uses_xpath(&self) -> bool {
        self.xpath.is_some()
    }

    /// The filter and what follows it.
    pub(crate) fn xml(&self, deepest: usize) -> Result<String> {
        let mut xml = match (&self.filter, &self.xpath) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "filter and xpath are not given together",
                ));
            }
            (Some(filter), None) => {
                format!("<filter type=\"subtree\">{}</filter>", filter.xml("filter", deepest)?)
            }
            (None, Some(xpath)) => {
                let mut prefixes = String::new();
                for (prefix, uri) in &self.namespaces {
                    let known = prefix
                        .chars()
                        .all(|letter| letter.is_alphanumeric() || "_-.".contains(letter));
                    let uri =
                        uri.as_str().filter(|_| known && !prefix.is_empty()).ok_or_else(|| {
                            let text = "expected prefixes and their namespaces, which are texts";
                            Error::new(ErrorKind::Config, text).with("parameter", "namespaces")
                        })?;
                    prefixes.push_str(&format!(" xmlns:{prefix}=\"{}\"", escape(uri)));
                }
                format!("<filter type=\"xpath\"{prefixes} select=\"{}\"/>", escape(xpath))
            }
            (None, None) => String::new(),
        };
        if let Some(defaults) = &self.with_defaults {
            const NAMESPACE: &str = "urn:ietf:params:xml:ns:yang:ietf-netconf-with-defaults";
            let defaults = escape(defaults);
            xml.push_str(&format!(
                "<with-defaults xmlns=\"{NAMESPACE}\">{defaults}</with-defaults>"
            ));
        }
        Ok(xml)
    }
}

/// `<NAME>TEXT</NAME>`, or nothing.
pub(crate) fn leaf(name: &str, text: Option<&str>) -> String {
    text.map(|text| format!("<{name}>{}</{name}>", escape(text))).unwrap_or_default()
}

/// A datastore by its name, or a URL (RFC 6241 §8.8).
///
/// # Errors
/// [`ErrorKind::Config`]: it is neither.
pub(crate) fn store(parameter: &str, name: &str) -> Result<String> {
    if name.contains("://") {
        return Ok(leaf("url", Some(name)));
    }
    match name {
        "running" | "candidate" | "startup" => Ok(format!("<{name}/>")),
        _ => {
            let text = "expected running, candidate, startup or a URL";
            Err(Error::new(ErrorKind::Config, text).with("parameter", parameter).with("got", name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn get(value: Value) -> Get {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn filters_are_subtrees_or_paths() {
        assert_eq!(get(json!({})).xml(9).unwrap(), "");
        let subtree = "<filter type=\"subtree\"><a xmlns=\"urn:a\"/></filter>";
        for filter in [
            json!("<a xmlns=\"urn:a\"/>"),
            json!({ "a": { "@xmlns": "urn:a" } }),
            json!("{\"a\":{\"@xmlns\":\"urn:a\"}}"),
        ] {
            assert_eq!(get(json!({ "filter": filter })).xml(9).unwrap(), subtree);
        }
        let path =
            get(json!({ "xpath": "/a:b[c='1']", "namespaces": { "a": "urn:a" } })).xml(9).unwrap();
        assert_eq!(
            path,
            "<filter type=\"xpath\" xmlns:a=\"urn:a\" select=\"/a:b[c=&apos;1&apos;]\"/>"
        );
        for wrong in [
            json!({ "filter": "<a/>", "xpath": "/a" }),
            json!({ "filter": "<a>" }),
            json!({ "filter": "</x><y>" }),
            json!({ "filter": "{}}" }),
            json!({ "xpath": "/a", "namespaces": { "a=\"\" b": "c" } }),
        ] {
            assert_eq!(get(wrong.clone()).xml(9).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn stores_have_names_or_urls() {
        assert_eq!(store("source", "running").unwrap(), "<running/>");
        assert_eq!(store("source", "file:///a&b").unwrap(), "<url>file:///a&amp;b</url>");
        assert_eq!(store("source", "runing").unwrap_err().kind(), ErrorKind::Config);
    }
}
