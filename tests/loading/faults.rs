//! Code that fails while it runs: the call fails, sessions beside it go on, and so does the host.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use jackfield::{
    driver::Registry,
    secret::{Resolver, Secret},
    stack::{Plan, Stack, StackError},
};
use jackfield_plugin_api::{
    Address, DatagramMeta, Envelope, Error, ErrorKind, HeaderBlock, Info, Message, Result, Role,
    Session, Stream,
};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::folder::{Folder, faulty, report};

/// Only bounds a test that has failed.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

const BAD: &str = "faulty.so";

/// What must come of a panic at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The call that led there fails, with the panic as its reason.
    Fails,
    /// There is nothing to tell: an answer that is missing, or something that was dropped.
    Passes,
}

use Outcome::{Fails, Passes};

const PLACES: &[(&str, Outcome)] = &[
    ("configure", Fails),
    ("open", Fails),
    ("open_call", Fails),
    ("accept", Fails),
    ("listen", Fails),
    ("listener_info", Passes),
    ("listener_accept", Fails),
    ("serve", Fails),
    ("info", Passes),
    ("read", Fails),
    ("write", Fails),
    ("flush", Fails),
    ("shutdown", Fails),
    ("take_fd", Passes),
    ("recv", Fails),
    ("send", Fails),
    ("send_start", Fails),
    ("flush_messages", Fails),
    ("close_messages", Fails),
    ("datagram_recv", Fails),
    ("datagram_send", Fails),
    ("datagram_size", Passes),
    ("exchange_send", Fails),
    ("exchange_accept", Fails),
    ("body", Fails),
    ("answer", Fails),
    ("call", Fails),
    ("open_stream", Fails),
    ("accept_stream", Fails),
    ("dial", Fails),
    ("ping", Fails),
    ("event", Fails),
    ("close", Fails),
    ("drain", Fails),
    ("drop_endpoint", Passes),
    ("drop_listener", Passes),
    ("drop_session", Passes),
    ("drop_stream", Passes),
    ("drop_messages", Passes),
    ("drop_datagrams", Passes),
    ("drop_exchange", Passes),
    ("drop_body", Passes),
    ("drop_bytes", Passes),
    ("drop_op", Passes),
];

pub(super) fn fault(at: &str, how: &str) -> Map<String, Value> {
    let fault = json!({ "at": at, "how": how });
    fault.as_object().cloned().unwrap_or_default()
}

pub(super) async fn stack(
    registry: &Registry,
    uri: &str,
    options: Map<String, Value>,
    role: Role,
) -> Result<Stack> {
    let uri = uri.parse().map_err(|error| Error::new(ErrorKind::Config, format!("{error}")))?;
    let plan = Plan::new(&uri, registry, role, false)?;
    let made: Result<Stack, StackError> =
        Stack::new(plan, &options, role, &Resolver::default()).await;
    Ok(made?)
}

pub(super) async fn open(registry: &Registry, options: Map<String, Value>) -> Result<Session> {
    stack(registry, "faulty://x", options, Role::Client).await?.open(None, LIMIT).await
}

/// Goes where the fault is, as the host does.
async fn provoke(registry: &Registry, at: &str, how: &str) -> Result<()> {
    let options = fault(at, how);
    match at {
        "listen" | "listener_info" | "listener_accept" | "drop_listener" => {
            let stack = stack(registry, "faulty://x", options, Role::Server).await?;
            let listener = stack.listen(LIMIT).await?;
            assert_eq!(listener.info(), Info::default());
            listener.accept().await?;
        }
        "accept" => {
            let stack = stack(registry, "faulty-layer+faulty://x", options, Role::Server).await?;
            let below = open(registry, Map::new()).await?;
            stack.accept(below, LIMIT, false).await?;
        }
        "serve" => {
            let handler = registry.handler("faulty")?;
            let handler = handler.configure(Secret::new(Value::from(options).to_string())).await?;
            handler.serve(open(registry, Map::new()).await?).await?;
        }
        "drop_op" => {
            let stack = stack(registry, "faulty://x", options, Role::Client).await?;
            // It waits for ever: what is dropped is a call that runs.
            let waiting = stack.open(None, Duration::from_millis(50)).await;
            assert_eq!(waiting.expect_err("it waits").kind(), ErrorKind::TimedOut);
        }
        _ => {
            let session = open(registry, options).await?;
            bytes(&session).await?;
            messages(&session).await?;
            datagrams(&session).await?;
            exchange(&session).await?;
            calls(&session, at).await?;
        }
    }
    Ok(())
}

async fn bytes(session: &Session) -> Result<()> {
    let mut stream = session.take_stream().expect("a stream");
    assert!(stream.take_fd().is_none());
    stream.write_all(b"echo").await?;
    stream.flush().await?;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await?;
    assert_eq!(&back, b"echo");
    Ok(stream.shutdown().await?)
}

async fn messages(session: &Session) -> Result<()> {
    let mut messages = session.take_messages().expect("messages");
    messages.send(Message::text("echo")).await?;
    let back = messages.next().await.expect("a message")?;
    assert_eq!(back, Message::text("echo"));
    messages.close().await
}

async fn datagrams(session: &Session) -> Result<()> {
    let mut datagrams = session.take_datagrams().expect("datagrams");
    datagrams.max_size();
    datagrams.send(b"echo", DatagramMeta::default()).await?;
    let mut back = [0; 4];
    let meta = datagrams.recv(&mut back).await?.expect("a datagram");
    assert_eq!((&back, meta.len), (b"echo", 4));
    Ok(())
}

async fn exchange(session: &Session) -> Result<()> {
    let exchange = session.take_exchange().expect("an exchange");
    let head = || HeaderBlock::new([(":path", "/")]);
    let empty = jackfield_plugin_api::Body::empty;
    let response = exchange.send(Envelope::new(head()?, empty())).await?;
    let parts: Vec<_> = response.body.collect().await;
    for part in parts {
        part?;
    }
    let incoming = exchange.accept().await?.expect("a request");
    incoming.answer.send(Envelope::new(head()?, empty())).await
}

async fn calls(session: &Session, at: &str) -> Result<()> {
    // Facts that cannot be had are empty.
    assert_eq!(session.info().peer.is_none(), at == "info");
    assert_eq!(session.call("mode", &Value::Null).await?, "works");
    session.open_stream(&Value::Null).await?;
    session.accept_stream().await?;
    session.dial(&Address::new("localhost", 1)).await?;
    session.ping().await?;
    session.next_event().await?;
    session.drain().await?;
    session.close(0, "done").await
}

/// Sends through a session that was open before the fault.
async fn still_echoes(stream: &mut Stream) {
    stream.write_all(b"alive").await.expect("to be written");
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.expect("to come back");
    assert_eq!(&back, b"alive");
}

async fn registry(max_panics: u32) -> (Folder, Registry) {
    let mut folder = Folder::new();
    folder.options.quarantine =
        jackfield::driver::QuarantineOptions { panics: max_panics, ..Default::default() }.shared();
    folder.put(BAD, &faulty());
    let registry = folder.load().await;
    (folder, registry)
}

async fn a_panic_anywhere_costs_its_own_call(how: &str, says: impl Fn(&str) -> String) {
    let (_folder, registry) = registry(0).await;
    let bystander = open(&registry, Map::new()).await.expect("a session");
    let mut stream = bystander.take_stream().expect("a stream");
    for (at, outcome) in PLACES {
        let result = timeout(LIMIT, provoke(&registry, at, how)).await;
        match (outcome, result.unwrap_or_else(|_| panic!("{at}: does not end"))) {
            (Passes, Ok(())) => {}
            (Fails, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Panicked, "{at}: {error}");
                let says = says(at);
                assert!(error.message().contains(&says), "{at}: {error} does not say {says:?}");
            }
            (outcome, result) => panic!("{at}: {result:?}, but expected: {outcome:?}"),
        }
        still_echoes(&mut stream).await;
    }
    // And all of it works when nothing is told to fail.
    provoke(&registry, "nowhere", how).await.expect_err("there is no such place");
    let session = open(&registry, Map::new()).await.expect("a session");
    exchange(&session).await.expect("an exchange");
    calls(&session, "").await.expect("calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_entry_or_drop_costs_its_own_call_and_nothing_else() {
    let camel = |at: &str| -> String {
        let words = at.split('_');
        words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
    };
    a_panic_anywhere_costs_its_own_call("panic", |at| format!("told to panic at {}", camel(at)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_a_panic_whose_payload_panics_when_it_is_dropped() {
    a_panic_anywhere_costs_its_own_call("panic_twice", |_| "a panic without a text".to_owned())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_sending_panicked_is_never_sent_in_another_form() {
    let (_folder, registry) = registry(0).await;
    let session = open(&registry, fault("send_start", "panic")).await.expect("a session");
    let mut messages = session.take_messages().expect("messages");
    let error = messages.send(Message::binary(Bytes::from_static(b"1"))).await;
    assert_eq!(error.expect_err("a panic").kind(), ErrorKind::Panicked);
    messages.flush().await.expect("nothing waits");
    assert_eq!(messages.next().now_or_never(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_panics_leave_out_their_file_with_the_last_as_the_reason() {
    let (_folder, registry) = registry(3).await;
    let before = open(&registry, Map::new()).await.expect("a session");
    for _ in 0..3 {
        assert_eq!(report(&registry, BAD).state(), "running");
        let error = open(&registry, fault("open", "panic")).await.expect_err("a panic");
        assert!(error.message().contains("told to panic"), "{error}");
    }
    assert_eq!(report(&registry, BAD).state(), "quarantined");
    let reason = report(&registry, BAD).health.reason().expect("a reason").to_string();
    assert!(reason.contains("3 panics") && reason.contains("told to panic at Open"), "{reason}");
    for error in [
        open(&registry, Map::new()).await.expect_err("in quarantine"),
        // Of the same file.
        provoke(&registry, "serve", "wait").await.expect_err("in quarantine"),
    ] {
        let text = error.to_string();
        assert!(text.contains("plugin jackfield-faulty is in quarantine after 3 panics"), "{text}");
    }
    // What was open goes on.
    still_echoes(&mut before.take_stream().expect("a stream")).await;
    registry.handler("echo").expect("another file's handler");
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_of_sessions_that_run_and_of_drops_count_too() {
    let (_folder, registry) = registry(3).await;
    let session = open(&registry, fault("read", "panic")).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let error = stream.read(&mut [0; 8]).await.expect_err("a panic");
    assert!(error.to_string().contains("told to panic at Read"), "{error}");
    assert_eq!(report(&registry, BAD).health.panics(), 1);
    for _ in 0..2 {
        drop(open(&registry, fault("drop_session", "panic")).await.expect("a session"));
    }
    assert_eq!(report(&registry, BAD).state(), "quarantined");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_are_never_taken_are_given_up_in_time_and_not_tried_again() {
    let mut folder = Folder::new();
    folder.put(BAD, &faulty());
    folder.options.init_timeout = Duration::from_secs(2);
    let registry = folder.load().await;
    let before = open(&registry, Map::new()).await.expect("a session");
    let hung = open(&registry, fault("configure", "block")).await.expect_err("it hangs");
    assert_eq!(hung.kind(), ErrorKind::TimedOut);
    let text = hung.to_string();
    assert!(text.contains("not taken within 2s") && text.contains("driver=faulty"), "{text}");
    assert_eq!(report(&registry, BAD).state(), "quarantined");
    let again = open(&registry, Map::new()).await.expect_err("in quarantine");
    assert_eq!(again.kind(), ErrorKind::TimedOut);
    still_echoes(&mut before.take_stream().expect("a stream")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_completes_ends_at_its_deadline() {
    let (_folder, registry) = registry(0).await;
    let soon = Duration::from_millis(50);
    let client = stack(&registry, "faulty://x", fault("open", "wait"), Role::Client).await;
    let late = client.expect("a stack").open(None, soon).await.expect_err("it waits");
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    assert!(late.to_string().contains("layer=faulty"), "{late}");

    let server = stack(&registry, "faulty://x", fault("listen", "wait"), Role::Server).await;
    let late = server.expect("a stack").listen(soon).await.expect_err("it waits");
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");

    let uri = "faulty-layer+faulty://x";
    let server = stack(&registry, uri, fault("accept", "wait"), Role::Server).await;
    let below = open(&registry, Map::new()).await.expect("a session");
    let late = server.expect("a stack").accept(below, soon, false).await.expect_err("it waits");
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
}
