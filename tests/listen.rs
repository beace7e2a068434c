//! Listeners of a program's own: accepted connections are like any other, and each listener ends by itself.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{SinkExt, StreamExt};
use jackfield::{
    connection::{Live, Policy},
    events::{EventFilter, EventKind, EventStream},
    listener::ServedRequest,
    manager::{ListenOptions, Manager},
};
use jackfield_plugin_api::{ErrorKind, Message};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    certs::Certs,
    host::{TestHost, exchange},
    peers::{curl::curl, echo::TcpPeer},
    process::DEADLINE,
};

const TCP: &str = "tcp://127.0.0.1:0";

async fn echo(live: Arc<Live>) -> jackfield_plugin_api::Result<()> {
    while let Some(payload) = live.receive().await? {
        live.post(payload)?.sent().await?;
    }
    Ok(())
}

/// The next event of that kind.
async fn next(events: &mut EventStream, kind: &str) -> jackfield::events::Event {
    let found = events.wait_for(DEADLINE, |event| event.kind.name() == kind).await;
    found.unwrap_or_else(|| panic!("no event {kind}"))
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    curl(None, &["-w", " %{http_code}", &format!("http://{address}{path}")]).await.ok().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_a_program_is_listed_found_written_to_and_closed_like_any_other() {
    let host = TestHost::start("").await;
    let manager = host.manager();
    let mut events = manager.events().subscribe(64);
    let labels = [("site".to_owned(), "north".to_owned())].into();
    let options = ListenOptions { labels, ..ListenOptions::default() };
    let listener = manager.listen_with(TCP, options, echo).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.port() > 0);
    let local = listener.local().unwrap().clone();
    let up = next(&mut events, "listener_up").await.kind;
    assert_eq!(
        up,
        EventKind::ListenerUp {
            listener: TCP.to_owned(),
            local: Some(local),
            to: "the program".to_owned(),
        }
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    let told = next(&mut events, "accepted").await;
    let source = told.source.unwrap();
    assert_eq!((source.listener.as_deref(), &*source.labels["site"]), (Some(TCP), "north"));
    let id = told.id.unwrap();
    assert_eq!(next(&mut events, "connected").await.id, Some(id));
    let live = manager.live(id).unwrap();
    assert_eq!(manager.lives().len(), 1);
    client.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    live.data().set_text("user", "ann").unwrap();
    assert_eq!(manager.broadcast("all", Live::is_accepted), 1);
    client.read_exact(&mut heard[..3]).await.unwrap();
    // Bytes count once they are written, which is when the client may have them already.
    let counted = async {
        while live.info().bytes_out < 8 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, counted).await.expect("all bytes count");
    let info = live.info();
    assert_eq!((info.bytes_in, info.bytes_out), (5, 8));
    assert_eq!(info.peer.and_then(|peer| peer.socket()), client.local_addr().ok());
    assert!(!info.flags.is_client && info.flags.is_connected && info.data["user"] == "ann");
    live.close(0, "enough").await;
    assert_eq!(client.read(&mut heard).await.unwrap(), 0);
    let EventKind::Closing { cause } = next(&mut events, "closing").await.kind else { panic!() };
    assert_eq!(cause.text, "enough");
    assert_eq!(next(&mut events, "closed").await.id, Some(id));
    assert_eq!(manager.live(id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(manager.count().now, 0);
    assert_eq!(exchange(address, &[7; 100_000]).await.unwrap().len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_ends_by_itself_and_with_its_host() {
    let host = TestHost::start("host.shutdown_timeout = \"10s\"\n").await;
    let manager = host.manager();
    let mut events = manager.events().subscribe(64);
    let (one, two) =
        (manager.listen(TCP, echo).await.unwrap(), manager.listen(TCP, echo).await.unwrap());
    let mut client = TcpStream::connect(one.local_addr().unwrap()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();
    one.stop().await;
    assert!(TcpStream::connect(one.local_addr().unwrap()).await.is_err());
    client.write_all(b"y").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();
    assert_eq!(manager.listeners().len(), 1);
    let down = next(&mut events, "listener_down").await.kind;
    assert!(matches!(down, EventKind::ListenerDown { listener, .. } if listener == TCP));
    one.close_within(std::time::Duration::ZERO).await;
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0, "it was ended");
    manager.served(1).await;
    assert_eq!(manager.shutdown().await, 0);
    assert!(TcpStream::connect(two.local_addr().unwrap()).await.is_err());
    let refused = manager.listen(TCP, echo).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert_eq!(manager.shutdown().await, 0, "safe to repeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_come_one_by_one_and_a_panic_costs_one_of_them() {
    let host = TestHost::start("").await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&seen);
    let code = move |mut request: ServedRequest| {
        counts.fetch_add(1, Ordering::SeqCst);
        async move {
            match (request.method(), request.path()) {
                ("POST", "/echo") => {
                    let content = request.content(1000).await?;
                    request.respond(200, "text/plain", content).await
                }
                ("GET", "/query") => {
                    let text = request.query().unwrap_or("-").to_owned();
                    request.respond(200, "text/plain", text).await
                }
                ("GET", "/panic") => panic!("a handler's own mistake"),
                _ => request.respond(404, "text/plain", "no").await,
            }
        }
    };
    let listener = host.manager().listen("http://127.0.0.1:0", code).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(get(address, "/query?a=b").await, "a=b 200");
    assert_eq!(get(address, "/nothing").await, "no 404");
    assert!(get(address, "/panic").await.ends_with("500"));
    let url = format!("http://{address}/echo");
    assert_eq!(curl(None, &["-d", "hello", &url]).await.ok().text(), "hello");
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    listener.close().await;
    assert_eq!(host.manager().count().now, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_requests_is_closed_while_it_rests_and_has_no_handler() {
    let host = TestHost::start("").await;
    let code = |request: ServedRequest| async move {
        let refused = request.connection().receive().await.unwrap_err();
        request.respond(200, "text/plain", refused.kind().as_str()).await
    };
    let listener = host.manager().listen("http://127.0.0.1:0", code).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let count = timeout(DEADLINE, client.read(&mut answer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(text.contains("unsupported"), "{text}");
    let closed = host.manager().close_connections(0, "enough", Live::is_accepted).await;
    assert_eq!(closed, 1);
    assert_eq!(timeout(DEADLINE, client.read(&mut answer)).await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_layers_come_to_the_same_code_and_are_told_as_secured() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let mut events = host.manager().events().subscribe_to(EventFilter::new().driver("ws"), 64);
    let tls = json!({ "certificate_file": certs.server.certificate, "key_file": certs.server.key });
    let options = serde_json::from_value(json!({ "tls": tls })).unwrap();
    let options = ListenOptions { options, policy: Policy::default(), ..ListenOptions::default() };
    let listener =
        host.manager().listen_with("wss://127.0.0.1:0/chat", options, echo).await.unwrap();
    let uri = format!("wss://localhost:{}/chat", listener.local_addr().unwrap().port());
    let session = host.open(&uri, json!({ "tls": { "ca_file": certs.ca } })).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    messages.send(Message::text("hello")).await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("hello"));
    for kind in ["accepted", "secured", "connected"] {
        next(&mut events, kind).await;
    }
    let live = host.manager().lives().pop().unwrap();
    assert!(live.flags().is_encrypted);
    live.close(4000, "enough").await;
    let end = messages.next().await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    let EventKind::Closed { cause } = next(&mut events, "closed").await.kind else { panic!() };
    assert_eq!((cause.code, &*cause.text), (Some(4000), "enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_cannot_serve_is_refused_at_once() {
    let host = TestHost::start("").await;
    let manager = host.manager();
    let requests = |request: ServedRequest| async move { request.respond(200, "a/b", "").await };
    let refused = manager.listen(TCP, requests).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(
        manager.listen("tpc://127.0.0.1:0", echo).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let taken = manager.listen(TCP, echo).await.unwrap();
    let again = format!("tcp://{}", taken.local().unwrap());
    assert_eq!(manager.listen(&again, echo).await.unwrap_err().kind(), ErrorKind::InUse);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_relays_is_closed_by_id_and_tells_its_events() {
    let peer = TcpPeer::echo().await;
    let host =
        TestHost::start(&format!("[[routes]]\nlisten = \"{TCP}\"\nto = \"{}\"\n", peer.uri()))
            .await;
    let manager = host.manager();
    let mut events = manager.events().subscribe(64);
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
    for kind in ["accepted", "connected"] {
        next(&mut events, kind).await;
    }
    let live = manager.lives().pop().unwrap();
    // It is counted once it was taken.
    while live.info().bytes_out < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(live.info().bytes_in, 5);
    assert_eq!(live.post("x").unwrap_err().kind(), ErrorKind::Unsupported);
    timeout(DEADLINE, live.close(0, "enough")).await.unwrap();
    assert_eq!(client.read(&mut [0; 5]).await.unwrap_or(0), 0);
    for kind in ["closing", "closed"] {
        next(&mut events, kind).await;
    }
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
    manager.lives().pop().unwrap().abort("cut");
    assert_eq!(client.read(&mut [0; 5]).await.unwrap_or(0), 0);
    timeout(DEADLINE, manager.served(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_made_without_a_file_and_every_mistake_is_told() {
    let manager = Manager::builder().set("host.max_connections", 1).build().await.unwrap();
    assert_eq!(manager.count().max, 1);
    let listener = manager.listen(TCP, echo).await.unwrap();
    assert_eq!(exchange(listener.local_addr().unwrap(), b"hello").await.unwrap(), b"hello");
    manager.shutdown().await;
    let wrong = Manager::builder().set("host.max_conections", 1).build().await.unwrap_err();
    assert!(wrong.to_string().contains("max_connections"), "{wrong}");
}
