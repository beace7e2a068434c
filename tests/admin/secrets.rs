//! No answer of the admin API holds a secret, wherever that is written and whatever is asked.

use serde_json::{Value, json};

use super::{AdminHost, part};

const SECRETS: [&str; 6] = ["hunter1", "hunter2", "hunter3", "hunter4", "hunter5", "hunter6"];

fn has_none(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} tells {secret}: {text}");
    }
}

const CONFIG: &str = "[connections.lab]\nuri = \"ssh://lab:hunter1@127.0.0.1:9\"\n\
         [connections.key]\nuri = \"ssh://lab@127.0.0.1:9\"\noptions = { password = \"hunter2\" }\n\
         [connections.login]\nuri = \"tcp://127.0.0.1:9\"\n\
         login = { prompt = \"#\", username = \"lab\", password = \"hunter3\" }\n\
         [credentials.lab]\nusername = \"lab\"\npassword = \"hunter4\"\n\
         [devices.core1]\ncredentials = \"lab\"\n[devices.core1.paths]\n\
         ssh = { uri = \"ssh://127.0.0.1:9\" }\n\
         console = { uri = \"ssh://lab:hunter5@127.0.0.1:9\", exclusive = true }\n\
         [upstreams.web]\ntargets = [\"ssh://lab:hunter6@127.0.0.1:9\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_holds_a_secret() {
    let host = AdminHost::start(CONFIG).await;
    // Attempts that fail put errors into infos and events.
    let mut reader = host.connect().await;
    let follow = b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut reader, follow).await.unwrap();
    for path in [
        "connections/lab",
        "connections/key",
        "devices/core1/paths/ssh",
        "devices/core1/paths/console",
    ] {
        let answer = host.put(&format!("/v1/{path}/connect?wait=30s"), json!(null)).await;
        assert_ne!(answer.status, 200, "{answer:?}");
        has_none(path, &answer.body);
    }
    let call = json!({ "to": "upstreams.web", "operation": "exec", "params": { "command": "x" } });
    has_none("call", &host.post("/v1/call", call).await.body);

    every_list_and_item_has_none(&host).await;
    no_error_repeats_what_was_sent(&host).await;
    let mut bytes = vec![0; 256 << 10];
    let mut seen = String::new();
    while !seen.contains("\"event\":\"closed\"") && !seen.contains("\"event\":\"error\"") {
        let read = tokio::io::AsyncReadExt::read(&mut reader, &mut bytes).await.unwrap();
        assert!(read > 0, "the events have ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    has_none("events", &seen);
}

async fn every_list_and_item_has_none(host: &AdminHost) {
    let document = host.get("/v1/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        if methods.get("get").is_none() || path == "/v1/events" || path.contains('{') {
            continue;
        }
        let answer = host.get(path).await;
        has_none(path, &answer.body);
        let list: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        for item in list["items"].as_array().into_iter().flatten() {
            let name = part(item["name"].as_str().unwrap());
            let upstream = item["upstream"].as_str().map(|it| format!("{it}/")).unwrap_or_default();
            has_none(path, &host.get(&format!("{path}/{upstream}{name}")).await.body);
        }
    }
}

async fn no_error_repeats_what_was_sent(host: &AdminHost) {
    for (path, body) in [
        ("/v1/connections/new", json!({ "uri": "ssh://lab:hunter1@h:x" })),
        (
            "/v1/connections/new",
            json!({ "uri": "ssh://lab@h", "options": { "password": 7, "pasword": "hunter2" } }),
        ),
        (
            "/v1/connections/new",
            json!({ "uri": "ssh://lab@h", "login": { "password": ["hunter3"] } }),
        ),
        ("/v1/targets/web", json!("ssh://lab:hunter6@127.0.0.1:9")),
        (
            "/v1/targets/web",
            json!({ "uri": "ssh://lab:hunter5@127.0.0.1:9", "options": { "passwort": "hunter4" } }),
        ),
        ("/v1/routes", json!({ "listen": "tcp://127.0.0.1:0", "to": "ssh://lab:hunter5@h:x" })),
    ] {
        let answer = host.put(path, body).await;
        has_none(path, &answer.body);
    }
}
