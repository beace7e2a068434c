//! Plugins of releases, each built from its own sources, in this host.

use std::{process::Command, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jackfield::{
    driver::{LoadOptions, Registry, load},
    secret::{Resolver, Secret},
    stack::{Plan, Stack},
};
use jackfield_plugin_api::{Address, Info, Message, Request, Role, Session, Stream, testing};
use serde_json::{Map, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tidy::top;

/// Only bounds a test that has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// The folders that `tests/golden/run` has built.
fn folders() -> Vec<(String, String)> {
    let script = top().join("tests/golden/run");
    let output = Command::new(&script).output().expect("tests/golden/run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/golden/run failed: {errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, folder)| (name.to_owned(), folder.to_owned())).collect()
}

#[tokio::test]
async fn plugins_of_every_release_carry_bytes_messages_and_calls_in_this_host() {
    let folders = folders();
    assert!(!folders.is_empty());
    for (name, folder) in folders {
        let cache = tempfile::tempdir().expect("a folder");
        let options = LoadOptions {
            folders: vec![folder.into()],
            beside: None,
            cache: cache.path().to_owned(),
            ..LoadOptions::default()
        };
        let registry = load(&options).await;
        let refused: Vec<_> =
            registry.reports().iter().filter_map(|it| it.refusal.clone()).collect();
        assert!(refused.is_empty(), "plugins of {name}: {refused:?}");
        handler(&registry).await;
        layer(&registry).await;
        calls(&registry).await;
    }
}

async fn handler(registry: &Registry) {
    let echo = registry.handler("echo").expect("echo");
    let echo = echo.configure(Secret::new("{}".to_owned())).await.expect("its options");
    let (near, far) = tokio::io::duplex(64);
    let session = Session::of_stream(Info::default(), Stream::new(far));
    let serving = tokio::spawn(async move { echo.serve(session).await });
    let mut near = near;
    near.write_all(b"golden").await.expect("to write");
    near.shutdown().await.expect("to end");
    let mut back = Vec::new();
    near.read_to_end(&mut back).await.expect("to read");
    assert_eq!(back, b"golden");
    serving.await.expect("no panic").expect("to be served");
}

async fn layer(registry: &Registry) {
    let ws = registry.driver("ws").expect("ws");
    let configured = |role| ws.configure(role, Secret::new("{}".to_owned()));
    let client = configured(Role::Client).await.expect("its options");
    let server = configured(Role::Server).await.expect("its options");
    let (near, far) = testing::carriers(1024);
    let request =
        |carrier| Request::new(Address::new("localhost", 80), LIMIT).with_carrier(carrier);
    let (opened, accepted) = tokio::join!(client.open(request(near)), server.accept(request(far)));
    let (opened, accepted) = (opened.expect("to open"), accepted.expect("to accept"));
    let mut near = opened.take_messages().expect("messages");
    let mut far = accepted.take_messages().expect("messages");
    near.send(Message::text("golden")).await.expect("to send");
    let message = far.next().await.expect("one").expect("a message");
    assert_eq!(&message.payload[..], b"golden");
}

async fn calls(registry: &Registry) {
    let uri = "process:".parse().expect("a URI");
    let plan = Plan::new(&uri, registry, Role::Client, false).expect("a plan");
    let options = Map::from_iter([("command".to_owned(), json!(["cat"]))]);
    let stack = Stack::new(plan, &options, Role::Client, &Resolver::default()).await;
    let session = stack.expect("a stack").open(None, LIMIT).await.expect("to open");
    session.call("signal", &json!({ "name": "TERM" })).await.expect("to be sent");
    let mut stream = session.take_stream().expect("a stream");
    let mut rest = Vec::new();
    let error = stream.read_to_end(&mut rest).await.expect_err("a cut");
    assert!(error.to_string().contains("the signal TERM"), "{error}");
    assert!(rest.is_empty());
}
