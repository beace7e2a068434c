//! Who may do what: by the user that the kernel names.

use std::process::Command;

use rustix::process::getuid;
use serde_json::Value;

use super::AdminHost;
use crate::support::{need::need, process::command, process::run};

/// Asks as another user; the status and the body.
async fn asked_as(user: &str, host: &AdminHost, arguments: &[&str]) -> (String, Value) {
    let mut curl: Command = command(need("setpriv", "util-linux"));
    let group = if user == "nobody" { "nogroup" } else { user };
    curl.args(["--reuid", user, "--regid", group, "--clear-groups", "--"]);
    curl.arg(need("curl", "curl")).args(["--silent", "--disable", "--max-time", "50"]);
    curl.args(["--write-out", "\n%{http_code}", "--unix-socket"]).arg(host.socket());
    curl.args(arguments);
    let ran = run(curl, "").await;
    let text = ran.text();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

/// Lets others reach the socket of a host whose folder is private.
fn open_the_way(host: &AdminHost) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.folder.path(), open).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn others_may_do_what_their_role_says_and_no_more() {
    if !getuid().is_root() {
        // Only root can be somebody else.
        return;
    }
    let host = AdminHost::start_with(
        "viewer = [\"nobody\"]\noperator = [\"@daemon\"]",
        "[upstreams.web]\ntargets = [\"tcp://127.0.0.1:1\"]\n",
    )
    .await;
    open_the_way(&host);
    let target = "http://localhost/v1/targets/web/tcp%3A%2F%2F127.0.0.1%3A1";
    let drain = format!("{target}/drain");
    let status = ["http://localhost/v1/status"];
    let (code, body) = asked_as("nobody", &host, &status).await;
    assert_eq!((code.as_str(), &body["you"]["role"]), ("200", &Value::from("viewer")), "{body}");
    let (code, body) = asked_as("nobody", &host, &["-X", "PUT", &drain]).await;
    assert_eq!(code, "403", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("this takes operator"), "{body}");
    let (code, body) = asked_as("daemon", &host, &["-X", "PUT", &drain]).await;
    assert_eq!(code, "200", "{body}");
    let (code, body) = asked_as("daemon", &host, &["-X", "DELETE", target]).await;
    assert_eq!(code, "403", "{body}");
    let (code, body) = asked_as("bin", &host, &status).await;
    assert_eq!(code, "403", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("has no role here"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_only_the_host_may_use_refuses_others_before_they_speak() {
    if !getuid().is_root() {
        return;
    }
    let host = AdminHost::start("").await;
    open_the_way(&host);
    let (code, _) = asked_as("nobody", &host, &["http://localhost/healthz"]).await;
    assert_eq!(code, "000", "it cannot even connect");
}
