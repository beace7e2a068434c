//! A host that stops tells its plugins, and answers that go on for ever end.

use rustix::process::Signal;
use serde_json::json;

use super::{Folder, PROBE, start, told};
use crate::support::{
    jackfield::Jackfield,
    need::need,
    process::{Process, command},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_stop_hears_of_it_at_once_and_stays_told() {
    let (host, _folder) = start("").await;
    let mut events = host.manager().events().subscribe(16);
    let manager = host.manager().clone();
    let waiting = tokio::spawn(async move {
        manager.call(PROBE, &serde_json::Map::new(), "stopping", &json!({})).await
    });
    told(&mut events, "waits").await;
    assert!(!waiting.is_finished());
    let manager = host.manager().clone();
    host.shutdown().await;
    told(&mut events, "stops").await;
    waiting.await.unwrap().unwrap();
    // Who asks later is told at once.
    let late = manager.call(PROBE, &serde_json::Map::new(), "stopping", &json!({})).await;
    assert_eq!(late.unwrap(), json!(null));
}

#[tokio::test]
async fn endless_events_end_with_their_last_words_when_the_host_is_told_to_stop() {
    let folder = Folder::new();
    let mut host = Jackfield::run(&folder.with(
        "host.shutdown_timeout = \"10m\"\n[handlers.probe-events]\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.probe-events\"\n",
    ))
    .await;
    let mut clients = Vec::new();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut curl = command(need("curl", "curl"));
        curl.args(["--silent", "--show-error", "--no-buffer", version]);
        curl.arg(format!("http://{}/", host.address(0)));
        let mut client = Process::spawn("curl", curl);
        client.logged("data: hello").await.unwrap_or_else(|log| panic!("{log}"));
        clients.push(client);
    }
    host.signal(Signal::TERM);
    for client in &mut clients {
        // It ends well: the answer is whole.
        assert_eq!(client.ended().await.code(), Some(0), "{}", client.log());
        assert!(client.log().ends_with("data: hello\n\ndata: bye\n\n"), "{}", client.log());
    }
    // Long before the time for open connections is over, which the end of the test would not live to see.
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    assert!(!host.log().contains("connections were ended"), "{}", host.log());
}
