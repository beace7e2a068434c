//! Hosts of ours at both ends, with one connection between them that carries many streams.

use rustix::process::Signal;
use serde_json::json;

use super::*;
use crate::support::{certs::Certs, host::exchange, jackfield::Jackfield};

/// Exchanges at once, each of which has a stream.
const AT_ONCE: usize = 8;

/// What echoes each stream of `driver`.
fn echo(certs: &Certs, driver: &str) -> String {
    format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"{driver}://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n",
        certs.server.certificate, certs.server.key
    )
}

async fn far(certs: &Certs, driver: &str) -> TestHost {
    TestHost::start(&echo(certs, driver)).await
}

async fn near(certs: &Certs, driver: &str, far: &TestHost, pool: &str) -> TestHost {
    let port = far.address(0).port();
    host(&format!(
        "targets = [{{ uri = \"{driver}://localhost:{port}\", options = {{ ca_file = {:?} }} }}]\n\
         pool = {pool}",
        certs.ca
    ))
    .await
}

/// How many of `count` exchanges through `host` came back whole, some at a time.
async fn whole(host: &TestHost, count: usize) -> usize {
    let address = host.address(0);
    let one = move |number: usize| async move {
        let sent = format!("exchange {number}");
        let back = timeout(DEADLINE, exchange(address, sent.as_bytes())).await;
        matches!(back, Ok(Ok(back)) if back == sent.as_bytes())
    };
    let all = futures_util::stream::iter((0..count).map(one));
    let done = futures_util::StreamExt::buffer_unordered(all, AT_ONCE);
    futures_util::StreamExt::fold(done, 0, |whole, one| async move { whole + usize::from(one) })
        .await
}

/// How many exchanges: JACKFIELD_STREAMS, or few enough for each run.
fn count() -> usize {
    std::env::var("JACKFIELD_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_between_two_hosts_is_lost_with_quic() {
    let certs = Certs::new();
    let far = far(&certs, "quic").await;
    let near = near(&certs, "quic", &far, "{}").await;
    assert_eq!(whole(&near, count()).await, count());
    let pool = pool(&near);
    assert!(pool.closed.is_empty(), "{pool:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_between_two_hosts_is_lost_with_webtransport() {
    let certs = Certs::new();
    let far = far(&certs, "webtransport").await;
    let near = near(&certs, "webtransport", &far, "{}").await;
    assert_eq!(whole(&near, count()).await, count());
    let pool = pool(&near);
    assert!(pool.closed.is_empty(), "{pool:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_many_share_one_connection_of_two_hosts() {
    let certs = Certs::new();
    let far = far(&certs, "quic").await;
    let near = near(&certs, "quic", &far, "{ max_size = 1, share = 8 }").await;
    let mut lasting = Vec::new();
    for _ in 0..8 {
        lasting.push(Lasting::open(&near).await);
    }
    assert_eq!((pool(&near).opened, pool(&near).users), (1, 8));
    // The connection and its streams.
    assert_eq!(far.manager().snapshot().connections.len(), 9);
    for lasting in &mut lasting {
        lasting.works().await;
    }
    drop(lasting);
    until(&near, "given back", |pool| pool.users == 0).await;
    assert_eq!(whole(&near, 50).await, 50);
    assert_eq!(pool(&near).opened, 1);
}

/// Whether a stream of the upstream has an answer while somebody waits for it.
async fn answered(host: &TestHost) -> bool {
    let asking = async {
        let session = host.open("upstreams.u", json!({})).await.ok()?;
        let mut stream = session.take_stream()?;
        stream.write_all(b"?").await.ok()?;
        stream.read_u8().await.ok()
    };
    timeout(Duration::from_secs(10), asking).await.is_ok_and(|answer| answer == Some(b'?'))
}

#[tokio::test(flavor = "multi_thread")]
async fn few_fail_when_one_of_two_targets_is_killed() {
    let certs = Certs::new();
    let (killed, far) = (Jackfield::run(&echo(&certs, "quic")).await, far(&certs, "quic").await);
    let target_at = |port: u16| {
        let options = format!("options = {{ ca_file = {:?} }}", certs.ca);
        format!("{{ uri = \"quic://localhost:{port}\", {options} }}")
    };
    let (first, second) = (killed.address(0).port(), far.address(0).port());
    let near = host(&format!(
        "targets = [{}, {}]\nconnect_timeout = \"3s\"\noutlier = {{ consecutive_failures = 3 }}\n\
         pool = {{ share = 4, test_timeout = \"500ms\" }}",
        target_at(first),
        target_at(second)
    ))
    .await;
    for _ in 0..10 {
        assert!(answered(&near).await);
    }
    killed.signal(Signal::KILL);
    let mut failed = 0;
    for _ in 0..30 {
        failed += usize::from(!answered(&near).await);
    }
    assert!(failed <= 2, "{failed} of 30 failed");
    let killed = target(&near, 0);
    assert_eq!((killed.state, killed.failures_in_a_row), ("ejected", 3), "{killed:?}");
}
