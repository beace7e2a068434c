//! What other connection managers show as their first examples, with what this one says for it: each is no
//! longer here than there.

mod kinds;
mod webtransport;

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jackfield::{
    calls::Calls,
    connection::{Caller, Live},
    events::{EventFilter, EventKind},
    listener::ServedRequest,
    manager::{AllOptions, Existing, Filter, ListenOptions, Manager, Removal},
};
use jackfield_plugin_api::{Body, BodyPart, Envelope, ErrorKind, HeaderBlock, Result, ServerEvent};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    host::{TestHost, exchange},
    peers::{curl::curl, echo::TcpPeer, sshd::Sshd, sshd::USER},
    process::DEADLINE,
};

const TCP: &str = "tcp://127.0.0.1:0";

/// SDFAI: connect by name, run a command, hear of the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_manager_of_ssh_connections() {
    let sshd = Sshd::start().await;
    let host = TestHost::start("").await;
    let manager = host.manager();
    let uri = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let (key, hosts) = (sshd.key(), sshd.known_hosts());

    let sdf = manager
        .define("sdf_org", &uri)
        .option("key_file", key.to_str().unwrap())
        .option("known_hosts", hosts.to_str().unwrap())
        .register()
        .await
        .unwrap();
    let mut told = sdf.events().subscribe(64);
    let live = sdf.connect(DEADLINE).await.unwrap();
    assert_eq!(sdf.exec("echo hello").await.unwrap().stdout, "hello\n");

    let shell = live.open_stream(&json!({ "exec": "cat" }), DEADLINE).await.unwrap();
    let mut stream = shell.take_stream().unwrap();
    stream.write_all(b"typed").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"typed");
    drop((stream, shell));

    let all = manager.disconnect_all(&Filter::default(), 0, "done", AllOptions::default()).await;
    assert!(all["sdf_org"].is_ok() && manager.connection("sdf_org").await.is_ok());
    let closed = told.wait_for(DEADLINE, |event| event.kind.name() == "closed").await.unwrap();
    assert!(matches!(closed.kind, EventKind::Closed { cause } if cause.text == "done"));
    let all = manager.connect_all(&Filter::default(), AllOptions::default()).await;
    assert!(all["sdf_org"].is_ok());
}

/// pyATS: a device, its paths under names of their own, the default, a pool over a path, a lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_several_sessions_and_a_pool() {
    let (cli, console) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = TestHost::start(&format!(
        "[devices.core1]\ndefault = \"cli\"\n[devices.core1.paths]\ncli = {{ uri = \"{}\" }}\n\
         console = {{ uri = \"{}\", exclusive = true }}\n",
        cli.uri(),
        console.uri(),
    ))
    .await;
    let manager = host.manager();
    let core1 = manager.device("core1").unwrap();
    core1.connect(None, DEADLINE).await.unwrap();
    assert_eq!(core1.send_expect("show version", "version\r").await.unwrap().matched, "version\r");
    for vty in ["vty_1", "vty_2"] {
        manager.define_path_like("core1", vty, "cli", Existing::Refuse).await.unwrap();
        core1.path(Some(vty)).unwrap().send_expect("show version", "\r").await.unwrap();
    }
    assert_eq!(cli.accepted(), 3);
    {
        let _now = core1.default_for_now("console").unwrap();
        assert_eq!(core1.path(None).unwrap().name(), "console");
    }
    core1.set_default(Some("vty_1")).unwrap();

    let pool = json!({ "targets": ["devices.core1.cli"], "pool": { "max_size": 3 } });
    let pool = serde_json::from_value(pool).unwrap();
    let pool = manager.define_upstream("pool", pool, Existing::Refuse).await.unwrap();
    let ask = |number: u32| json!({ "text": format!("show {number}"), "pattern": "\r" });
    let answers = pool.call_each("send_expect", (0..9).map(ask), 3).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(cli.accepted() <= 6, "three sessions in all");
    let allocated = pool.borrow(None).await.unwrap();
    assert_eq!(allocated.target(), "devices.core1.cli");
    drop(allocated);

    let lock = core1.path(Some("console")).unwrap().lease().unwrap().clone();
    let held = lock.acquire(Caller::new("me", "upgrade")).await.unwrap();
    held.release();
    let paths = ["core1.cli", "core1.console"];
    let all = manager.connect_paths(paths, AllOptions::default()).await;
    assert!(all.values().all(Result::is_ok));
    core1.disconnect_all("done").await;
    manager.remove_device("core1", Removal::Detach).await.unwrap();
}

/// pymongoose: accepted, read, closed; the addresses; what waits; data of one's own; errors.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_driven_server_of_bytes() {
    let host = TestHost::start("").await;
    let manager = host.manager();
    let mut events = manager.events().subscribe_to(EventFilter::new().listener(TCP), 64);
    let listener = manager
        .listen(TCP, |me: Arc<Live>| async move {
            me.data().set(7_u32);
            while let Some(received) = me.receive().await? {
                me.post(received)?.sent().await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = events.wait_for(DEADLINE, |event| event.kind.name() == "accepted").await;
    let id = accepted.unwrap().id.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();

    let me = manager.live(id).unwrap();
    let address = me.info().peer.and_then(|peer| peer.socket()).unwrap();
    assert_eq!((address, address.is_ipv6()), (client.local_addr().unwrap(), false));
    let (info, flags) = (me.info(), me.flags());
    assert_eq!((info.bytes_in, info.buffered_bytes, flags.is_full), (5, 0, false));
    assert_eq!(me.data().get::<u32>().as_deref(), Some(&7));
    manager.post_to(id, "from elsewhere").unwrap().sent().await.unwrap();
    client.read_exact(&mut [0; 14]).await.unwrap();
    me.close(0, "enough").await;
    for kind in ["closing", "closed"] {
        let told = events.wait_for(DEADLINE, |event| event.kind.name() == kind).await;
        assert_eq!(told.unwrap().id, Some(id));
    }
}

/// pymongoose: what has come can be looked at before it is taken, and a reader may pause.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_is_looked_at_and_reading_pauses() {
    let host = TestHost::start("").await;
    let listener = host
        .manager()
        .listen(TCP, |me: Arc<Live>| async move {
            let seen = me.peek().await?.unwrap();
            me.pause();
            me.resume();
            assert_eq!(me.receive().await?.as_ref(), Some(&seen));
            me.post(seen)?.sent().await
        })
        .await
        .unwrap();
    assert_eq!(exchange(listener.local_addr().unwrap(), b"once").await.unwrap(), b"once");
}

async fn answer(request: ServedRequest) -> Result<()> {
    match request.path() {
        "/json" => request.respond(200, "application/json", r#"{"ok":true}"#).await,
        "/chunks" => {
            let parts = ["one ", "two ", "three"].map(|part| Ok(BodyPart::Data(part.into())));
            let head = HeaderBlock::new([(":status", "200"), ("content-type", "text/plain")])?;
            let body = Body::new(futures_util::stream::iter(parts));
            request.send(Envelope::new(head, body)).await
        }
        "/events" => {
            let event = ServerEvent::new("now").name("tick").encode()?;
            let fields = [(":status", "200"), ("content-type", "text/event-stream")];
            let body = Body::new(futures_util::stream::iter([Ok(BodyPart::Data(event))]));
            request.send(Envelope::new(HeaderBlock::new(fields)?, body)).await
        }
        "/secret" if request.header("authorization").is_none() => {
            request.respond(401, "text/plain", "who are you?").await
        }
        "/drain" => {
            let me = Arc::clone(request.connection());
            request.respond(200, "text/plain", "bye").await?;
            tokio::spawn(async move { me.drain(Duration::from_secs(1)).await });
            Ok(())
        }
        _ => request.respond(404, "text/html", "<h1>no</h1>").await,
    }
}

/// pymongoose: JSON, chunks, server-sent events, basic authentication, drain.
#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_and_its_client() {
    let host = TestHost::start("").await;
    let manager: &Manager = host.manager();
    let web = manager.listen("http://127.0.0.1:0", answer).await.unwrap();
    let address = web.local_addr().unwrap();
    let page = async |path: &str| {
        curl(None, &["-s", &format!("http://{address}{path}")]).await.ok().text()
    };
    assert_eq!(page("/json").await, r#"{"ok":true}"#);
    assert_eq!(page("/chunks").await, "one two three");
    assert_eq!(page("/events").await, "event: tick\ndata: now\n\n");
    assert_eq!(page("/drain").await, "bye");
    let secret = async |uri: String| -> Value {
        let none = Map::new();
        manager.call(&uri, &none, "get", &json!({ "path": "/secret" })).await.unwrap()["status"]
            .clone()
    };
    assert_eq!(secret(format!("http://{address}")).await, 401);
    assert_eq!(secret(format!("http://ann:pw@{address}")).await, 404);
}

/// pymongoose: pages and a WebSocket at one port, told apart by the path of the request; what begins as one becomes
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_a_websocket_share_a_port() {
    let host = TestHost::start("").await;
    let manager = host.manager();
    let ws = Arc::new(manager.server_layer("ws", &Map::new()).await.unwrap());
    let upgrades = json!({ "upgrades": ["websocket"] });
    let options = ListenOptions {
        options: serde_json::from_value(upgrades).unwrap(),
        ..ListenOptions::default()
    };
    let mut events = manager.events().subscribe(64);
    let web = manager.listen_with("http://127.0.0.1:0", options, move |request: ServedRequest| {
        let ws = Arc::clone(&ws);
        async move {
            match request.path() {
                "/ws" => {
                    let session = request.upgrade_to(&ws, DEADLINE).await?;
                    let mut messages = session.take_messages().unwrap();
                    while let Some(message) = messages.next().await {
                        messages.send(message?).await?;
                    }
                    Ok(())
                }
                _ => request.respond(200, "text/html", "<h1>a page</h1>").await,
            }
        }
    });
    let address = web.await.unwrap().local_addr().unwrap();
    let page = |path: &str| format!("http://{address}{path}");
    assert_eq!(curl(None, &["-s", &page("/")]).await.ok().text(), "<h1>a page</h1>");

    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, answer) =
        tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    client.send("hello".into()).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), "hello".into());
    let upgraded = events.wait_for(DEADLINE, |event| event.kind.name() == "upgraded").await;
    let me = manager.live(upgraded.unwrap().id.unwrap()).unwrap();
    assert_eq!((me.info().bytes_in, me.info().bytes_out), (5, 5), "messages count");
    client.close(None).await.unwrap();

    // What asks for no WebSocket is told so, and a page of elsewhere may have none.
    let status = async |more: &[&str]| {
        let path = page("/ws");
        let line = [&["-s", "-o", "/dev/null", "-w", "%{http_code}"], more, &[&path]].concat();
        curl(None, &line).await.ok().text()
    };
    assert_eq!(status(&[]).await, "426");
    let asks = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let mut asks: Vec<&str> = asks.into_iter().flat_map(|field| ["-H", field]).collect();
    assert_eq!(status(&asks).await, "400", "without a key");
    asks.extend(["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]);
    asks.extend(["-H", "Origin: http://elsewhere.example"]);
    assert_eq!(status(&asks).await, "403");
    let none = manager.server_layer("tcp", &Map::new()).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Unsupported, "{none}");
}

/// pywebtransport: the manager's figures, its events, and a limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_counts_and_finds() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start("host.max_connections = 2\n").await;
    let manager = host.manager();
    let uri = peer.uri();
    for name in ["a", "b", "c"] {
        manager.define(name, &uri).register().await.unwrap();
    }
    let all = manager.connect_all(&Filter::default(), AllOptions::default()).await;
    let refused = all.values().find_map(|result| result.as_ref().err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    let count = manager.count();
    assert_eq!((count.now, count.max, manager.lives().len()), (2, 2, 2));
    manager.destroy_all(&Filter::default()).await;
    assert_eq!((manager.count().now, manager.defined()), (0, 0), "nothing stays behind");
}
