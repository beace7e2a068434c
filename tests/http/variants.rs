//! Back-ends that want the same verbs in different ways: a template for each, and endpoints that name theirs.

use serde_json::{Value, json};

use super::{ECHO, answering};
use crate::support::host::TestHost;

/// What is said once for each kind of device.
const KINDS: &str = r#"
[templates.rest]
labels = { kind = "rest" }

[templates.nxos]
extends = "rest"
labels = { os = "nxos" }
options = { cookies = true, headers = { content-type = "application/json-rpc" } }

[templates.iosxe]
extends = "rest"
labels = { os = "iosxe" }
options = { bearer_token = "t0ken", headers = { accept = "application/yang-data+json" } }

[templates.iosxe-old]
extends = "iosxe"
options = { version = "1.1", headers = { accept = "application/vnd.yang.data+json" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_names_its_variant_and_has_its_headers_and_login() {
    // Says back what it was asked, head and body.
    let server = answering("http", ECHO, "").await;
    let address = server.address(0);
    let connection = |name: &str, more: &str| {
        format!(
            "[connections.{name}]\nextends = \"{name}\"\nuri = \"http://{address}/api\"\n{more}"
        )
    };
    let toml = [
        KINDS.to_owned(),
        connection("nxos", ""),
        connection("iosxe", ""),
        // The endpoint's own word counts more.
        connection("iosxe-old", "options = { bearer_token = \"other\" }\n"),
    ];
    let host = TestHost::start(&toml.concat()).await;
    for (name, os, there, missing) in [
        ("nxos", "nxos", r#"["content-type","application/json-rpc"]"#, "authorization"),
        ("iosxe", "iosxe", r#"["authorization","bearer t0ken"]"#, "json-rpc"),
        ("iosxe-old", "iosxe", r#"["authorization","bearer other"]"#, "t0ken"),
    ] {
        let connection = host.manager().connection(name).await.expect("it is defined");
        let answer = connection.call("post", &json!({ "body": "show version" })).await.unwrap();
        let said = answer["body"].as_str().unwrap().to_ascii_lowercase();
        assert!(said.contains(there), "{name}: {said}");
        assert!(said.contains("show version") && !said.contains(missing), "{name}: {said}");
        let accept = match name {
            "iosxe" => r#"["accept","application/yang-data+json"]"#,
            "iosxe-old" => r#"["accept","application/vnd.yang.data+json"]"#,
            _ => "",
        };
        assert!(said.contains(accept), "{name}: {said}");
        let live = connection.connect(crate::support::process::DEADLINE).await.unwrap();
        let info = serde_json::to_value(live.info()).unwrap();
        assert_eq!((&info["labels"]["kind"], &info["labels"]["os"]), (&json!("rest"), &json!(os)));
        assert_ne!(info["facts"]["http_version"], Value::Null);
    }
}
