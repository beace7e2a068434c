//! Connections and paths as WebSockets: to write and to watch, cut off and gone on with; leases that are held without.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::UnixStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

use super::{AdminHost, socket};
use crate::{
    reload::soon,
    support::{
        jackfield::{jackfield, ran},
        peers::echo::TcpPeer,
        process::DEADLINE,
        terminal::Terminal,
    },
};

const CONSOLE: &str = "/v1/devices/core1/paths/console";

/// A host with an exclusive console that echoes.
async fn console(admin: &str) -> (AdminHost, TcpPeer) {
    let peer = TcpPeer::echo().await;
    let toml = format!(
        "[devices.core1.paths]\nconsole = {{ uri = \"{}\", exclusive = true, lease = {{ timeout = \"1m\" }} }}\n",
        peer.uri()
    );
    (AdminHost::start_with(admin, &toml).await, peer)
}

/// A client at a stream.
struct Client(WebSocketStream<UnixStream>);

impl AdminHost {
    async fn ticket(&self, object: &str, body: Value) -> String {
        let answer = self.post(&format!("{object}/ticket"), body).await.ok();
        answer["ticket"].as_str().unwrap().to_owned()
    }

    async fn attach(&self, object: &str, query: &str) -> Result<Client, u16> {
        let url = format!("ws://localhost{object}/stream?{query}");
        match client_async(url, self.connect().await).await {
            Ok((socket, _)) => Ok(Client(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Attaches by a ticket; answers what the host says at the beginning, too.
    async fn stream(&self, object: &str, body: Value, offset: u64) -> (Client, Value) {
        let ticket = self.ticket(object, body).await;
        let query = format!("ticket={ticket}&offset={offset}");
        let mut client = self.attach(object, &query).await.unwrap();
        let hello = client.word().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        (client, hello)
    }

    async fn holder(&self) -> Value {
        self.get("/v1/leases/core1.console").await.ok()["holder"].clone()
    }
}

impl Client {
    async fn next(&mut self) -> Message {
        let next = timeout(DEADLINE, self.0.next()).await.expect("a message in time");
        next.expect("a message").expect("a message")
    }

    /// The next text message.
    async fn word(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn sends(&mut self, text: &str) {
        self.0.send(Message::Binary(text.to_owned().into())).await.unwrap();
    }

    async fn says(&mut self, word: Value) {
        self.0.send(Message::Text(word.to_string().into())).await.unwrap();
    }

    /// The next bytes, as many as `count`.
    async fn bytes(&mut self, count: usize) -> String {
        let mut all = Vec::new();
        while all.len() < count {
            if let Message::Binary(bytes) = self.next().await {
                all.extend_from_slice(&bytes);
            }
        }
        String::from_utf8(all).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_cut_off_goes_on_where_it_was() {
    let (host, _peer) = console("").await;
    let (mut client, hello) = host.stream(CONSOLE, json!({}), 0).await;
    assert_eq!((hello["offset"].as_u64(), hello["mode"].as_str()), (Some(0), Some("writer")));
    client.sends("one").await;
    assert_eq!(client.bytes(3).await, "one");
    assert!(host.holder().await["owner"].is_string(), "it has the lease");
    // Without a word.
    drop(client);
    let again = json!({ "stream": hello["stream"] });
    let (mut client, back) = host.stream(CONSOLE, again.clone(), 1).await;
    assert_eq!((back["offset"].as_u64(), back["taken"].as_u64()), (Some(1), Some(3)));
    assert_eq!(client.bytes(2).await, "ne");
    client.sends("two").await;
    assert_eq!(client.bytes(3).await, "two");
    // Another client of the same goes on, and the one before is told.
    let (mut next, _) = host.stream(CONSOLE, again, 6).await;
    let closed = loop {
        if let Message::Close(frame) = client.next().await {
            break frame.unwrap();
        }
    };
    assert_eq!(u16::from(closed.code), 4001, "{closed:?}");
    next.says(json!({ "type": "end" })).await;
    while next.word().await["type"] != "end" {}
    soon("the end of the lease", async || host.holder().await.is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_one_in_once_and_to_one_object_only() {
    let (host, peer) = console("").await;
    host.put("/v1/connections/lab", json!({ "uri": peer.uri() })).await.ok();
    let ticket = host.ticket(CONSOLE, json!({})).await;
    let query = format!("ticket={ticket}");
    assert_eq!(host.get(&format!("{CONSOLE}/stream?{query}")).await.status, 426);
    assert_eq!(host.attach("/v1/connections/lab", &query).await.err(), Some(403));
    // Shown for another object it is used up.
    assert_eq!(host.attach(CONSOLE, &query).await.err(), Some(403));
    assert_eq!(host.attach(CONSOLE, "").await.err(), Some(403));
    let query = format!("ticket={}", host.ticket(CONSOLE, json!({})).await);
    let first = host.attach(CONSOLE, &query).await;
    assert!(first.is_ok());
    assert_eq!(host.attach(CONSOLE, &query).await.err(), Some(403));
    host.post(&format!("{CONSOLE}/ticket"), json!({ "stream": 99 })).await.refused(404);
    host.post("/v1/connections/nobody/ticket", json!({})).await.refused(404);
    let watch = json!({ "mode": "observer" });
    let query = format!("ticket={}", host.ticket("/v1/connections/lab", watch).await);
    assert_eq!(host.attach("/v1/connections/lab", &query).await.err(), Some(422));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_sees_what_passes_and_is_told_how_much_it_has_missed() {
    let (host, _peer) = console("stream_buffer = \"4KiB\"").await;
    let (mut watcher, seen) = host.stream(CONSOLE, json!({ "mode": "observer" }), 0).await;
    let (mut writer, _) = host.stream(CONSOLE, json!({}), 0).await;
    writer.sends("hello").await;
    assert_eq!((writer.bytes(5).await, watcher.bytes(5).await), ("hello".into(), "hello".into()));
    watcher.sends("x").await;
    let closed = loop {
        if let Message::Close(frame) = watcher.next().await {
            break frame.unwrap();
        }
    };
    assert!(closed.reason.contains("only watches"), "{closed:?}");
    drop(watcher);
    let mut got = 5;
    for _ in 0..20 {
        writer.sends(&"y".repeat(1024)).await;
        writer.bytes(1024).await;
        got += 1024;
        writer.says(json!({ "type": "ack", "offset": got })).await;
    }
    let again = json!({ "mode": "observer", "stream": seen["stream"] });
    let (mut watcher, _) = host.stream(CONSOLE, again, 5).await;
    let gap = watcher.word().await;
    assert_eq!((gap["type"].as_str(), gap["from"].as_u64()), (Some("gap"), Some(5)), "{gap}");
    let left = got - gap["to"].as_u64().unwrap();
    assert_eq!(watcher.bytes(left.try_into().unwrap()).await.len() as u64, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_acknowledges_nothing_slows_its_peer_down_and_loses_nothing() {
    let (host, _peer) = console("stream_buffer = \"4KiB\"").await;
    let (mut client, hello) = host.stream(CONSOLE, json!({}), 0).await;
    let text: String = (0..2000).map(|number| format!("{number:05}")).collect();
    client.sends(&text).await;
    let first = client.bytes(4096).await;
    drop(client);
    let again = json!({ "stream": hello["stream"] });
    let (mut client, _) = host.stream(CONSOLE, again, 0).await;
    let mut whole = String::new();
    while whole.len() < text.len() {
        whole += &client.bytes(1).await;
        client.says(json!({ "type": "ack", "offset": whole.len() })).await;
    }
    assert_eq!(whole, text);
    assert!(text.starts_with(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_left_alone_lets_go_of_its_lease_and_there_are_no_more_than_may_be() {
    let (host, _peer) = console("stream_grace = \"50ms\"\nmax_streams = 1").await;
    let (client, hello) = host.stream(CONSOLE, json!({}), 0).await;
    let query = format!("ticket={}", host.ticket(CONSOLE, json!({})).await);
    assert_eq!(host.attach(CONSOLE, &query).await.err(), Some(503));
    drop(client);
    soon("the end of the lease", async || host.holder().await.is_null()).await;
    let again = json!({ "stream": hello["stream"] });
    let gone = async || host.post(&format!("{CONSOLE}/ticket"), again.clone()).await.status == 404;
    soon("the end of the stream", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_taken_waited_for_renewed_and_let_go() {
    let (host, _peer) = console("").await;
    let admin = socket(host.folder.path()).display().to_string();
    let lease = async |arguments: &[&str]| {
        ran(&[&["lease"], arguments, &["--admin", &admin]].concat(), "").await
    };
    let taken = lease(&["take", "core1.console", "--for", "10m"]).await.ok().text();
    assert_eq!(taken, "core1.console: lease 1, held for 10m00s\n");
    assert!(host.holder().await["purpose"].as_str().unwrap().contains("admin API"));
    let refused = lease(&["take", "core1.console"]).await;
    assert!(refused.stderr.contains("core1.console is held by"), "{}", refused.stderr);
    lease(&["renew", "core1.console", "1", "--for", "1h"]).await.ok();
    assert_eq!(lease(&["renew", "core1.console", "7"]).await.code, Some(2));
    let waits = lease(&["take", "core1.console", "--wait", "1m"]);
    let lets_go = async {
        soon("a waiter", async || {
            let lease = host.get("/v1/leases/core1.console").await.ok();
            lease["waiters"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await;
        lease(&["release", "core1.console", "1"]).await.ok();
    };
    let (waited, ()) = tokio::join!(waits, lets_go);
    assert!(waited.ok().text().starts_with("core1.console: lease 2"));
    lease(&["break", "core1.console"]).await.ok();
    soon("the end of the lease", async || host.holder().await.is_null()).await;
    let short = host.post("/v1/leases/core1.console/take", json!({ "for": "20ms" })).await.ok();
    assert_eq!(short["lasts_ms"], 20);
    soon("the end of its time", async || host.holder().await.is_null()).await;
    let _ = Duration::ZERO;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_connects_by_way_of_a_running_host() {
    let (host, _peer) = console("").await;
    let admin = socket(host.folder.path()).display().to_string();
    let to = "devices.core1.console";
    let echoed = ran(&["connect", to, "--admin", &admin], "hello\n").await.ok();
    assert_eq!(echoed.text(), "hello\n");
    let refused = ran(&["connect", "devices.core1.consol", "--admin", &admin], "").await;
    assert!(refused.stderr.contains("console"), "{}", refused.stderr);
    let wrong = ran(&["connect", "tcp://127.0.0.1:1", "--admin", &admin], "").await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    // A person at a terminal has the lease until ~. leaves.
    let mut person = Terminal::start(&jackfield(&["connect", to, "--admin", &admin]));
    soon("the lease", async || host.holder().await["owner"].is_string()).await;
    let mut watcher = Terminal::start(&jackfield(&["connect", to, "--observe", "--admin", &admin]));
    soon("the watcher", async || {
        let device = host.get("/v1/devices/core1").await.ok();
        device.to_string().contains("\"observers\":1")
    })
    .await;
    person.types("show version\r");
    person.shows("show version");
    watcher.shows("show version");
    watcher.types("\r~.");
    assert!(watcher.ended().await.success(), "{}", watcher.text());
    person.types("~.");
    assert!(person.ended().await.success(), "{}", person.text());
    assert!(person.is_cooked());
    soon("the end of the lease", async || host.holder().await.is_null()).await;
}
