//! Who may ask, and cookies, with programs of others.

use serde_json::json;

use super::{ECHO, answering, call};
use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{curl::curl, http::Nginx},
};

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_admitted_by_name_and_password() {
    let host = answering("http", ECHO, "users = { lab = \"s3cret\" }").await;
    let url = format!("http://{}/", host.address(0));
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        for (user, status) in [("lab:s3cret", "200"), ("lab:wrong", "401"), ("", "401")] {
            let mut arguments = vec![flag, "-w", "%{http_code}", &url];
            if !user.is_empty() {
                arguments.extend(["--user", user]);
            }
            let text = curl(None, &arguments).await.ok().text();
            assert!(text.ends_with(status), "{flag} {user}: {text}");
            assert!(!text.contains("authorization"), "what was checked goes no further: {text}");
        }
    }
    // Asks first without, and follows the challenge; this curl cannot where it takes HTTP/2 for granted.
    let arguments = ["--anyauth", "--user", "lab:s3cret", "-w", "%{http_code}", &url];
    let text = curl(None, &arguments).await.ok().text();
    assert!(text.ends_with("200"), "{text}");
    let ours = TestHost::start("").await;
    for (user, status) in [("lab:s3cret", 200), ("lab:wrong", 401)] {
        let uri = url.replace("//", &format!("//{user}@"));
        let session = ours.open(&uri, json!({})).await.unwrap();
        assert_eq!(call(&session, "get", json!({})).await["status"], status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_is_told_its_cookies() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let nginx = Nginx::start(&certs.server).await;
    let uri = format!("http://127.0.0.1:{}/cookies", nginx.port);
    let session = host.open(&uri, json!({ "cookies": true })).await.unwrap();
    assert_eq!(call(&session, "get", json!({})).await["body"], "got: ");
    let told = call(&session, "get", json!({})).await["body"].as_str().unwrap().to_owned();
    assert!(told.contains("a=1") && told.contains("b=2"), "{told}");
    assert!(!told.contains("gone") && !told.contains("far"), "{told}");
}
