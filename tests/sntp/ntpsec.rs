//! ntpsec, which has port 123 alone and so a network of its own: chrony may be on this machine.

use jackfield_plugin_api::ErrorKind;
use serde_json::json;

use super::{is_near, time};
use crate::support::{
    host::TestHost,
    network,
    peers::time::Ntpsec,
    process::{command, run},
};

#[test]
fn ntpsec_tells_the_time_and_that_it_has_none_yet() {
    network::of_its_own("sntp::ntpsec::in_a_network_of_its_own");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, in a network of its own"]
async fn in_a_network_of_its_own() {
    let mut up = command("ip");
    up.args(["link", "set", "lo", "up"]);
    run(up, "").await.ok();
    let host = TestHost::start("").await;
    let server = Ntpsec::start("").await;
    let session = host.open("sntp://127.0.0.1", json!({})).await.expect("a session");
    session.ping().await.expect("an answer");
    let error = time(&session, json!({})).await.expect_err("it has none");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let facts: Vec<_> = error.context().collect();
    assert!(facts.contains(&("kiss", "INIT")) && facts.contains(&("stratum", "0")), "{facts:?}");
    drop(server);
    // On its own clock, once it has given up on others.
    let mut server = Ntpsec::start("tos orphan 6 orphanwait 1\n").await;
    let answer = server.once(async || time(&session, json!({})).await.ok()).await;
    assert_eq!((&answer["stratum"], &answer["version"]), (&json!(6), &json!(4)), "{answer}");
    assert_eq!((&answer["leap"], is_near(&answer, 0.0)), (&json!("none"), true), "{answer}");
}
