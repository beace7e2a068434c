//! What a host tells of itself, as one document: what the API, the metrics and the console render.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

async fn uses(host: &TestHost, route: usize) -> TcpStream {
    let mut stream = TcpStream::connect(host.address(route)).await.unwrap();
    stream.write_all(b"over").await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_runs_is_in_one_document() {
    let (peer, console) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = TestHost::start(&format!(
        "[connections.lab]\nuri = \"{0}\"\nlabels = {{ site = \"north\" }}\n\
         [upstreams.u]\ntargets = [{{ uri = \"{0}\", labels = {{ rack = \"b\" }} }}]\n\
         pool = {{ max_size = 3 }}\n\
         [devices.core1]\naliases = [\"c1\"]\n[devices.core1.paths]\n\
         console = {{ uri = \"{1}\", exclusive = true }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.u\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.core1\"\n",
        peer.uri(),
        console.uri(),
    ))
    .await;
    host.manager().get_or_connect("lab", DEADLINE).await.unwrap();
    let (_pooled, _holds) = (uses(&host, 0).await, uses(&host, 1).await);
    let all = serde_json::to_value(host.manager().snapshot()).unwrap();
    for (place, expected) in [
        ("/listeners/0/to", json!("upstreams.u")),
        ("/listeners/0/flags/is_listening", json!(true)),
        ("/named/0/name", json!("lab")),
        ("/named/0/labels/site", json!("north")),
        ("/named/0/defined_by", json!("config")),
        ("/named/0/life/state", json!("connected")),
        ("/named/0/life/flags/is_client", json!(true)),
        ("/named/0/life/steps/1/to", json!("connected")),
        ("/devices/0/name", json!("core1")),
        ("/devices/0/aliases/0", json!("c1")),
        ("/devices/0/default", json!("console")),
        ("/devices/0/paths/0/lease/waiters", json!([])),
        ("/upstreams/0/name", json!("u")),
        ("/upstreams/0/balance", json!("round_robin")),
        ("/upstreams/0/targets/0/state", json!("up")),
        ("/upstreams/0/targets/0/in_flight", json!(1)),
        ("/upstreams/0/targets/0/labels/rack", json!("b")),
        ("/upstreams/0/targets/0/pool/in_use", json!(1)),
        ("/upstreams/0/targets/0/pool/max_size", json!(3)),
        ("/upstreams/0/targets/0/pool/opened", json!(1)),
        ("/connections/0/state", json!("connected")),
        ("/connections/0/flags/is_connected", json!(true)),
        ("/connections/0/flags/is_client", json!(false)),
        ("/connections/1/bytes_in", json!(4)),
        ("/connections_total", json!(2)),
    ] {
        assert_eq!(all.pointer(place), Some(&expected), "{place} in {all:#}");
    }
    // Who waited for a session while it was opened is in the histogram, once.
    let pool = &all["upstreams"][0]["targets"][0]["pool"];
    let waits = pool["waits"].as_array().expect("a histogram");
    let counted: u64 = waits.iter().filter_map(|bucket| bucket[1].as_u64()).sum();
    assert_eq!(Some(counted), pool["served_after_wait"].as_u64());
}
