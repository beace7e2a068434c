//! The operations: what each needs of the server, and the request that it becomes (RFC 6241 §7 and §8, RFC 5277,
//! RFC 6022).

use crate::hello::Hello;
use crate::options::Form;
use crate::parameters::{
    CancelCommit, Commit, CopyConfig, CreateSubscription, EditConfig, GetSchema, KillSession, Rpc,
    Target, Validate,
};
use crate::request::{Content, Get, GetConfig, leaf, store};
use jackfield_plugin_api::{Error, ErrorKind, NoParams, Operation, Result, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Result of an operation.
#[derive(Debug, Serialize, JsonSchema)]
struct Answered {
    /// What is in the answer, as XML.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// The same as JSON, where that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// What the server warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// All of them.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Get, Answered>("get", "Gets state and running configuration"),
        Operation::new::<GetConfig, Answered>("get_config", "Gets a configuration"),
        Operation::new::<EditConfig, Answered>("edit_config", "Changes a configuration"),
        Operation::new::<CopyConfig, Answered>(
            "copy_config",
            "Replaces a whole configuration by another",
        ),
        Operation::new::<Target, Answered>("delete_config", "Deletes a configuration"),
        Operation::new::<Target, Answered>("lock", "Keeps others from changing a configuration"),
        Operation::new::<Target, Answered>("unlock", "Gives a lock back"),
        Operation::new::<Commit, Answered>(
            "commit",
            "Makes the candidate the running configuration",
        ),
        Operation::new::<CancelCommit, Answered>("cancel_commit", "Takes a confirmed commit back"),
        Operation::new::<NoParams, Answered>(
            "discard_changes",
            "Makes the candidate as the running one is",
        ),
        Operation::new::<Validate, Answered>("validate", "Says whether a configuration is good"),
        Operation::new::<CreateSubscription, Answered>(
            "create_subscription",
            "Asks for notifications, which are events",
        ),
        Operation::new::<KillSession, Answered>("kill_session", "Ends another session"),
        Operation::new::<GetSchema, Answered>("get_schema", "Gets a YANG module"),
        Operation::new::<Rpc, Answered>("rpc", "Asks for whatever else the server can"),
    ]
}

/// What is sent, and in which form the answer is wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) xml: String,
    pub(crate) format: Option<Form>,
}

/// The request of an operation.
///
/// # Errors
/// [`ErrorKind::Config`] for parameters, [`ErrorKind::Unsupported`] for an operation that there is not, or that the
/// server does not offer.
pub(crate) fn request(
    operation: &str,
    given: Value,
    server: &Hello,
    deepest: usize,
) -> Result<Request> {
    let mut format = None;
    let xml = match operation {
        "get" => {
            let get: Get = params(given)?;
            format = get.format;
            format!("<get>{}</get>", filter(&get, operation, server, deepest)?)
        }
        "get_config" => {
            let asked: GetConfig = params(given)?;
            format = asked.format;
            let source = store("source", &asked.source)?;
            let filter = filter(&asked.get(), operation, server, deepest)?;
            format!("<get-config><source>{source}</source>{filter}</get-config>")
        }
        "edit_config" => edit(&params(given)?, deepest)?,
        "commit" => commit(&params(given)?, server)?,
        "create_subscription" => subscription(&params(given)?, deepest)?,
        "rpc" => {
            let rpc: Rpc = params(given)?;
            format = rpc.format;
            rpc.content.xml("content", deepest)?
        }
        _ => simple(operation, given)?,
    };
    // What was asked for wrongly is told of any server.
    for (name, capability) in NEEDED {
        if *name == operation {
            needs(server, operation, capability)?;
        }
    }
    Ok(Request { xml, format })
}

/// Which capability an operation needs (RFC 6241 §8, RFC 5277 §3.1).
const NEEDED: &[(&str, &str)] = &[
    ("commit", "candidate"),
    ("cancel_commit", "confirmed-commit"),
    ("discard_changes", "candidate"),
    ("validate", "validate"),
    ("create_subscription", "notification"),
];

fn needs(server: &Hello, operation: &str, capability: &str) -> Result<()> {
    if server.has(capability) {
        return Ok(());
    }
    let error =
        Error::new(ErrorKind::Unsupported, format!("the server does not offer {operation}"));
    Err(error.with("capability", format!(":{capability}")))
}

fn filter(get: &Get, operation: &str, server: &Hello, deepest: usize) -> Result<String> {
    if get.uses_xpath() {
        needs(server, operation, "xpath")?;
    }
    get.xml(deepest)
}

/// Those that are a name and a few leaves.
fn simple(operation: &str, given: Value) -> Result<String> {
    Ok(match operation {
        "copy_config" => {
            let CopyConfig { source, target } = params(given)?;
            let (source, target) = (store("source", &source)?, store("target", &target)?);
            format!("<copy-config><target>{target}</target><source>{source}</source></copy-config>")
        }
        "delete_config" | "lock" | "unlock" => {
            let Target { target } = params(given)?;
            let name = operation.replace('_', "-");
            format!("<{name}><target>{}</target></{name}>", store("target", &target)?)
        }
        "cancel_commit" => {
            let CancelCommit { persist_id } = params(given)?;
            format!("<cancel-commit>{}</cancel-commit>", leaf("persist-id", persist_id.as_deref()))
        }
        "discard_changes" => {
            let NoParams {} = params(given)?;
            "<discard-changes/>".to_owned()
        }
        "validate" => {
            let Validate { source } = params(given)?;
            format!("<validate><source>{}</source></validate>", store("source", &source)?)
        }
        "kill_session" => {
            let KillSession { session_id } = params(given)?;
            format!("<kill-session><session-id>{session_id}</session-id></kill-session>")
        }
        "get_schema" => {
            const NAMESPACE: &str = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring";
            let GetSchema { identifier, version } = params(given)?;
            let what = leaf("identifier", Some(&identifier)) + &leaf("version", version.as_deref());
            format!("<get-schema xmlns=\"{NAMESPACE}\">{what}</get-schema>")
        }
        _ => return Err(Error::unsupported(&format!("operation {operation:?}"))),
    })
}

fn edit(edit: &EditConfig, deepest: usize) -> Result<String> {
    let config = match &edit.config {
        Content::Text(url) if url.contains("://") && !url.contains('<') => {
            leaf("url", Some(url.trim()))
        }
        config => format!("<config>{}</config>", config.xml("config", deepest)?),
    };
    let target = store("target", &edit.target)?;
    let options = [
        leaf("default-operation", edit.default_operation.as_deref()),
        leaf("test-option", edit.test_option.as_deref()),
        leaf("error-option", edit.error_option.as_deref()),
    ];
    Ok(format!("<edit-config><target>{target}</target>{}{config}</edit-config>", options.concat()))
}

fn commit(commit: &Commit, server: &Hello) -> Result<String> {
    if commit.confirmed || commit.persist_id.is_some() {
        needs(server, "commit", "confirmed-commit")?;
    }
    if !commit.confirmed && (commit.confirm_timeout.is_some() || commit.persist.is_some()) {
        let text = "confirm_timeout and persist are those of a commit that is confirmed later: confirmed=true";
        return Err(Error::new(ErrorKind::Config, text).with("parameter", "confirmed"));
    }
    let timeout = commit.confirm_timeout.map(|seconds| seconds.to_string());
    let parts = [
        if commit.confirmed { "<confirmed/>".to_owned() } else { String::new() },
        leaf("confirm-timeout", timeout.as_deref()),
        leaf("persist", commit.persist.as_deref()),
        leaf("persist-id", commit.persist_id.as_deref()),
    ];
    Ok(format!("<commit>{}</commit>", parts.concat()))
}

fn subscription(asked: &CreateSubscription, deepest: usize) -> Result<String> {
    const NAMESPACE: &str = "urn:ietf:params:xml:ns:netconf:notification:1.0";
    let filter = match &asked.filter {
        // The filter's own type is an attribute of the base (RFC 5277 §3.6).
        Some(filter) => format!(
            "<filter xmlns:nc=\"{}\" nc:type=\"subtree\">{}</filter>",
            crate::xml::BASE,
            filter.xml("filter", deepest)?
        ),
        None => String::new(),
    };
    let parts = [
        leaf("stream", asked.stream.as_deref()),
        filter,
        leaf("startTime", asked.start_time.as_deref()),
        leaf("stopTime", asked.stop_time.as_deref()),
    ];
    Ok(format!(
        "<create-subscription xmlns=\"{NAMESPACE}\">{}</create-subscription>",
        parts.concat()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn xml(operation: &str, given: Value) -> Result<String> {
        let names = ["candidate:1.0", "confirmed-commit:1.1", "validate:1.1", "notification:1.0"];
        let capabilities =
            names.map(|name| format!("urn:ietf:params:netconf:capability:{name}")).into();
        let server = Hello { session_id: 1, capabilities };
        request(operation, given, &server, 20).map(|request| request.xml)
    }

    #[test]
    fn operations_become_requests() {
        for (operation, given, want) in [
            ("get", json!({}), "<get></get>"),
            (
                "get_config",
                json!({ "source": "candidate" }),
                "<get-config><source><candidate/></source></get-config>",
            ),
            (
                "edit_config",
                json!({ "target": "candidate", "config": { "a": { "@xmlns": "urn:a" } }, "error_option": "rollback-on-error" }),
                "<edit-config><target><candidate/></target><error-option>rollback-on-error</error-option>\
                 <config><a xmlns=\"urn:a\"/></config></edit-config>",
            ),
            (
                "edit_config",
                json!({ "config": "https://h/c.xml" }),
                "<edit-config><target><running/></target><url>https://h/c.xml</url></edit-config>",
            ),
            ("lock", json!({ "target": "running" }), "<lock><target><running/></target></lock>"),
            (
                "delete_config",
                json!({ "target": "startup" }),
                "<delete-config><target><startup/></target></delete-config>",
            ),
            ("commit", json!({}), "<commit></commit>"),
            (
                "commit",
                json!({ "confirmed": true, "confirm_timeout": 60, "persist": "a&b" }),
                "<commit><confirmed/><confirm-timeout>60</confirm-timeout><persist>a&amp;b</persist></commit>",
            ),
            (
                "kill_session",
                json!({ "session_id": 4 }),
                "<kill-session><session-id>4</session-id></kill-session>",
            ),
            ("rpc", json!({ "content": "<reboot xmlns=\"urn:x\"/>" }), "<reboot xmlns=\"urn:x\"/>"),
        ] {
            assert_eq!(xml(operation, given).unwrap(), want);
        }
        let subscribed = xml(
            "create_subscription",
            json!({ "filter": "<a/>", "start_time": "2026-01-02T03:04:05Z" }),
        )
        .unwrap();
        assert!(
            subscribed.contains("nc:type=\"subtree\"><a/></filter><startTime>2026"),
            "{subscribed}"
        );
    }

    #[test]
    fn what_the_server_does_not_offer_is_not_sent() {
        let error = request("commit", json!({}), &Hello::default(), 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(":candidate"), "{error}");
        assert_eq!(
            xml("get", json!({ "xpath": "/a" })).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        assert_eq!(xml("get_confg", json!({})).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(xml("commit", json!({ "persist": "a" })).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(
            xml("lock", json!({ "traget": "running" })).unwrap_err().kind(),
            ErrorKind::Config
        );
    }
}
