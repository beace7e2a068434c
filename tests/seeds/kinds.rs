//! SDFAI and pymongoose: connections of other kinds are registered as those of ssh, hooks are there before anything
//! happens, and a program serves TLS.

use std::sync::{Arc, Mutex};

use jackfield::{
    calls::Calls,
    connection::Live,
    listener::ServedRequest,
    manager::{AllOptions, Filter, ListenOptions},
};
use jackfield_plugin_api::Info;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{curl::curl, socat::Line},
    process::DEADLINE,
};

/// Something that echoes for each kind, at addresses of its own.
const FAR_ENDS: &str = "[handlers.echo]\n[handlers.page]\nhandler = \"reply\"\noptions = { echo = true }\n\
    [[routes]]\nlisten = \"ws://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
    [[routes]]\nlisten = \"telnet://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
    [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.page\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_each_kind_are_registered_alike_and_their_hooks_miss_nothing() {
    let line = Line::new().await;
    let host = TestHost::start(FAR_ENDS).await;
    let manager = host.manager();
    let uri = format!("serial://{}", line.end("b").display());
    let mut far = host.open(&uri, json!({})).await.unwrap().take_stream().unwrap();

    let told = Arc::new(Mutex::new(Vec::new()));
    let mut listening = Vec::new();
    for (name, uri) in [
        ("socket", format!("ws://{}", host.address(0))),
        ("router", format!("telnet://{}", host.address(1))),
        ("page", format!("http://{}", host.address(2))),
        ("meter", format!("serial://{}", line.end("a").display())),
        ("nobody", "tcp://127.0.0.1:1".to_owned()),
    ] {
        let defined = manager.define(name, &uri).register().await.unwrap();
        let told = Arc::clone(&told);
        listening.push(defined.events().on_event(move |event| {
            told.lock().unwrap().push((name, event.kind.name()));
        }));
    }
    let all = manager.connect_all(&Filter::default(), AllOptions::default()).await;
    let failed: Vec<_> =
        all.iter().filter(|(_, it)| it.is_err()).map(|(name, _)| &**name).collect();
    assert_eq!((all.len(), failed), (5, vec!["nobody"]));
    for name in ["socket", "router", "meter"] {
        let live = all[name].as_ref().unwrap();
        live.post("hello").unwrap().sent().await.unwrap();
        if name == "meter" {
            let mut heard = [0; 5];
            timeout(DEADLINE, far.read_exact(&mut heard)).await.expect("in time").unwrap();
            far.write_all(&heard).await.unwrap();
        }
        let back = timeout(DEADLINE, live.receive()).await.expect("in time").unwrap();
        assert_eq!(back.expect("an answer").bytes()[..], *b"hello", "{name}");
    }
    let page = manager.connection("page").await.unwrap();
    assert_eq!(page.get("/").await.unwrap().status, 200);
    manager.disconnect_all(&Filter::default(), 0, "done", AllOptions::default()).await;

    let told = told.lock().unwrap();
    for name in ["socket", "router", "page", "meter", "nobody"] {
        let of: Vec<_> = told.iter().filter(|(of, _)| *of == name).map(|(_, it)| *it).collect();
        let (good, bad) = (["connected", "closed"], ["error", "closed"]);
        let wanted = if name == "nobody" { bad } else { good };
        assert!(["created", "connecting"].contains(&of[0]), "{name}: {of:?}");
        assert!(wanted.iter().all(|kind| of.contains(kind)), "{name}: {of:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_serves_requests_and_bytes_over_tls() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let manager = host.manager();
    let keys =
        json!({ "certificate_file": certs.server.certificate, "key_file": certs.server.key });
    let with = |options: serde_json::Value| ListenOptions {
        options: serde_json::from_value(options).unwrap(),
        ..ListenOptions::default()
    };
    let web = manager.listen_with("https://127.0.0.1:0", with(json!({ "tls": keys })), {
        |request: ServedRequest| async move { request.respond(200, "text/html", "<b>hi</b>").await }
    });
    let web = web.await.unwrap();
    let url = format!("https://localhost:{}/", web.local_addr().unwrap().port());
    assert_eq!(curl(Some(&certs.ca), &[&url]).await.ok().text(), "<b>hi</b>");

    let echo = manager.listen_with("tls://127.0.0.1:0", with(keys), |me: Arc<Live>| async move {
        while let Some(received) = me.receive().await? {
            me.post(received)?.sent().await?;
        }
        jackfield_plugin_api::Result::Ok(())
    });
    let echo = echo.await.unwrap();
    let uri = format!("tls://localhost:{}", echo.local_addr().unwrap().port());
    let client = manager.define("client", &uri).option("ca_file", certs.ca.to_str().unwrap());
    let live = client.register().await.unwrap().connect(DEADLINE).await.unwrap();
    assert!(live.flags().is_encrypted);
    live.post("hello").unwrap().sent().await.unwrap();
    let back = timeout(DEADLINE, live.receive()).await.expect("in time").unwrap();
    assert_eq!(back.expect("an answer").bytes()[..], *b"hello");

    // What a plugin file has made is there by its facts and not by its type: that is in both binaries, and in each
    // another one.
    let session = host.open(&uri, json!({ "ca_file": certs.ca })).await.unwrap();
    assert!(session.native::<Info>().is_none() && session.info().encrypted);
}
