//! `/v1/events`: what happens, in order, to readers that come, go, come again or are slow.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::AdminHost;
use crate::support::{host::exchange, process::DEADLINE};

const ECHO: &str = "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
     [upstreams.web]\ntargets = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\"]\n";

/// A reader of events.
struct EventReader {
    stream: UnixStream,
    text: String,
    chunks: Vec<u8>,
}

/// One event: its id, its name if it has one, and its data.
type Told = (Option<String>, Option<String>, Value);

impl EventReader {
    async fn open(host: &AdminHost, query: &str, last: Option<&str>) -> Self {
        let mut stream = host.connect().await;
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET /v1/events{query} HTTP/1.1\r\nhost: localhost\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reader = Self { stream, text: String::new(), chunks: Vec::new() };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(reader.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        reader
    }

    /// The next event; comments and settings are passed over.
    async fn next(&mut self) -> Told {
        timeout(DEADLINE, self.read()).await.expect("an event")
    }

    async fn read(&mut self) -> Told {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                };
                let (id, name, data) = (field("id: "), field("event: "), field("data: "));
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return (id, name, serde_json::from_str(&data).unwrap());
                }
            }
            self.chunk().await;
        }
    }

    /// Takes one chunk of the body in.
    async fn chunk(&mut self) {
        loop {
            if let Some(at) = self.chunks.windows(2).position(|two| two == b"\r\n") {
                let size = std::str::from_utf8(&self.chunks[..at]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                assert!(size > 0, "the events have ended");
                if self.chunks.len() >= at + 4 + size {
                    let data = &self.chunks[at + 2..at + 2 + size];
                    self.text.push_str(std::str::from_utf8(data).unwrap());
                    self.chunks.drain(..at + 4 + size);
                    return;
                }
            }
            assert!(self.stream.read_buf(&mut self.chunks).await.unwrap() > 0, "cut");
        }
    }

    /// Passes over events until one of that kind.
    async fn until(&mut self, kind: &str) -> (String, Value) {
        loop {
            let (id, _, data) = self.next().await;
            if data["event"] == kind {
                return (id.unwrap(), data);
            }
        }
    }
}

async fn weigh(host: &AdminHost, weight: u32) {
    host.manager.weigh_target("web", "tcp://127.0.0.1:1", weight).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_hears_what_happens_and_filters_it() {
    let host = AdminHost::start(ECHO).await;
    let mut all = EventReader::open(&host, "", None).await;
    let mut of_web = EventReader::open(&host, "?upstream=web", None).await;
    let mut of_kind = EventReader::open(&host, "?kinds=accepted,closed", None).await;
    let address = host.manager.listeners()[0].local.as_ref().and_then(|it| it.socket()).unwrap();
    exchange(address, b"hello").await.unwrap();
    let (_, accepted) = all.until("accepted").await;
    assert_eq!(accepted["source"]["listener"], "tcp://127.0.0.1:0", "{accepted}");
    // A client sees its end before the host has told of it.
    all.until("closed").await;
    weigh(&host, 7).await;
    let (_, weighed) = all.until("target_weight").await;
    assert_eq!(weighed["weight"], 7);
    assert_eq!(of_web.next().await.2["event"], "target_weight");
    for expected in ["accepted", "closed"] {
        assert_eq!(of_kind.next().await.2["event"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_again_misses_nothing_or_is_told_so() {
    let host = AdminHost::start_with("event_ring = 16", ECHO).await;
    let mut first = EventReader::open(&host, "", None).await;
    weigh(&host, 2).await;
    let (id, _) = first.until("target_weight").await;
    weigh(&host, 3).await;
    first.until("target_weight").await;
    drop(first);
    weigh(&host, 4).await;
    let mut again = EventReader::open(&host, "", Some(&id)).await;
    for weight in [3, 4] {
        assert_eq!(again.until("target_weight").await.1["weight"], weight);
    }
    // Another boot, what is no id, and what is older than the ring: one `reset`, then what follows.
    for weight in 10..40 {
        weigh(&host, weight).await;
    }
    again.until("target_weight").await;
    for last in [id.as_str(), "000000000000-7", "nonsense"] {
        let mut reset = EventReader::open(&host, "", Some(last)).await;
        let (at, name, _) = reset.next().await;
        assert_eq!(name.as_deref(), Some("reset"), "{last}");
        assert!(at.is_some(), "it says where it goes on");
        weigh(&host, 1).await;
        assert_eq!(reset.until("target_weight").await.1["weight"], 1);
        weigh(&host, 2).await;
    }
    let kept = EventReader::open(&host, "?since=start", None).await.next().await.2;
    assert_eq!(kept["event"], "target_weight", "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_how_much_it_has_missed_and_holds_up_nobody() {
    let host = AdminHost::start_with("event_ring = 16", ECHO).await;
    let mut slow = EventReader::open(&host, "", None).await;
    let mut quick = EventReader::open(&host, "?kinds=target_draining", None).await;
    // More than sockets and buffers hold.
    for round in 0..20_000_u32 {
        weigh(&host, round % 900 + 1).await;
        if round % 500 == 0 {
            tokio::task::yield_now().await;
        }
    }
    weigh(&host, 0).await;
    loop {
        let (_, name, data) = quick.next().await;
        if name.is_none() && data["event"] == "target_draining" {
            break;
        }
    }
    let (mut lagged, mut last) = (false, Value::Null);
    while last["event"] != "target_draining" {
        let (_, name, data) = slow.next().await;
        if name.as_deref() == Some("lagged") {
            assert!(data["missed"].as_u64().unwrap() > 0, "{data}");
            lagged = true;
        }
        lagged |= data["event"] == "missed";
        last = data;
    }
    assert!(lagged, "nobody said that events were missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_ends_with_the_host() {
    let mut host = AdminHost::start(ECHO).await;
    let mut reader = EventReader::open(&host, "", None).await;
    host.manager.shutdown().await;
    reader.until("listener_down").await;
    host.server.take().unwrap().stop().await;
    let mut rest = Vec::new();
    timeout(DEADLINE, reader.stream.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert!(!host.socket().exists(), "the socket goes with it");
}
