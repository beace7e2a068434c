//! What the plugin boundary costs: a call, a Pending poll, and whole drivers, loaded from their files
//! against the same code linked into this binary. Both sides run in this process, in turns.
//!
//! `cargo build --profile dist --workspace && cargo bench --profile dist -p jackfield-tests --bench boundary`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a bench prints its figures and ends on errors"
)]

mod measure;

use futures_util::{SinkExt, StreamExt};
use jackfield::driver::{LoadOptions, Registry, load};
use jackfield::relay::{End, RelayOptions, relay};
use jackfield::secret::Resolver;
use jackfield::services::PluginServices;
use jackfield::stack::{Plan, Stack, uri::StackUri};
use jackfield_plugin_api::load::Module;
use jackfield_plugin_api::{Message, Role, Session, Stream};
use measure::{line, median, nanos_each, ratio};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 9;
/// Bytes of one bulk transfer, and of one write of it.
const BULK: usize = 1 << 30;
const CHUNK: usize = 128 << 10;
const LIMIT: Duration = Duration::from_secs(10);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let loaded = loaded().await;
        let linked = linked();
        println!("jackfield {}, both sides in one process\n", env!("CARGO_PKG_VERSION"));
        calls(&loaded, &linked).await;
        start_up().await;
        ws_echo("two threads", &loaded, &linked).await;
        tcp_relay(&loaded, &linked).await;
    });
    // Where nothing wakes another core, what is left is what the code itself takes.
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async { ws_echo("one thread", &loaded().await, &linked()).await });
}

/// The drivers as users have them: files, found in a folder.
async fn loaded() -> Registry {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libbench_null", "libjackfield_tcp", "libjackfield_ws"] {
        let file = format!("{name}.so");
        std::fs::copy(measure::built().join(&file), folder.path().join(&file)).unwrap();
    }
    let options = LoadOptions {
        folders: vec![folder.path().to_owned()],
        beside: None,
        cache: folder.path().join("cache"),
        ..LoadOptions::default()
    };
    let registry = load(&options).await;
    assert!(registry.reports().iter().all(|report| report.refusal.is_none()));
    registry
}

/// The same code, linked into this binary.
fn linked() -> Registry {
    fn add<P: jackfield_plugin_api::__private::Exports>(registry: &mut Registry) {
        let services = PluginServices::new(P::INFO.name, 100, Arc::default(), Box::new(|_| ()));
        let module = Module::of_static::<P>();
        let plugin = module.init(Arc::new(services), "{}").unwrap();
        registry.add_plugin(&plugin, module.describe().unwrap());
    }
    let mut registry = Registry::default();
    add::<bench_null::Plugin>(&mut registry);
    add::<jackfield_tcp::Plugin>(&mut registry);
    add::<jackfield_ws::Plugin>(&mut registry);
    registry
}

async fn stack(registry: &Registry, uri: &str, options: Value, role: Role) -> Stack {
    let uri: StackUri = uri.parse().unwrap();
    let plan = Plan::new(&uri, registry, role, false).unwrap();
    let options: Map<String, Value> = options.as_object().cloned().unwrap_or_default();
    match Stack::new(plan, &options, role, &Resolver::default()).await {
        Ok(stack) => stack,
        Err(error) => panic!("{}", jackfield_plugin_api::Error::from(error)),
    }
}

async fn open(registry: &Registry, uri: &str, options: Value) -> Session {
    let stack = stack(registry, uri, options, Role::Client).await;
    stack.open(None, LIMIT).await.unwrap()
}

async fn calls(loaded: &Registry, linked: &Registry) {
    println!("-- one poll of a stream");
    for (name, pending) in [("a read that is ready", false), ("a read that is pending", true)] {
        let mut streams = Vec::new();
        for registry in [loaded, linked] {
            let session = open(registry, "null:", json!({ "pending": pending })).await;
            streams.push(session.take_stream().unwrap());
        }
        let mut results = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (stream, result) in streams.iter_mut().zip(&mut results) {
                result.push(poll_nanos(stream));
            }
        }
        let [loaded, linked] = results.map(median);
        line(&format!("{name}, loaded"), loaded, "ns");
        line(&format!("{name}, linked"), linked, "ns");
    }
}

fn poll_nanos(stream: &mut Stream) -> f64 {
    let mut context = Context::from_waker(Waker::noop());
    let mut space = [0; 64];
    nanos_each(1_000_000, || {
        let mut buffer = ReadBuf::new(&mut space);
        let _ = std::hint::black_box(Pin::new(&mut *stream).poll_read(&mut context, &mut buffer));
    })
}

async fn start_up() {
    println!(
        "\n-- start-up: every driver of the target folder, found, hashed, checked and started"
    );
    let cache = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        beside: Some(measure::built()),
        cache: cache.path().into(),
        ..Default::default()
    };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let registry = load(&options).await;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(registry.drivers().count() >= 4);
    }
    line("first, with the copy into the cache", times[0], "ms");
    line("median (goal <= 50)", median(times), "ms");
}

/// An echo peer of messages on the raw driver side: a server stack of the same registry.
async fn ws_server(registry: &'static Registry) -> u16 {
    let server = stack(registry, "ws://127.0.0.1:0/", json!({}), Role::Server).await;
    let listener = server.listen(LIMIT).await.unwrap();
    let address = listener.info().local.unwrap();
    tokio::spawn(async move {
        loop {
            let accepted = listener.accept().await.unwrap();
            let session = server.accept(accepted, LIMIT, false).await.unwrap();
            tokio::spawn(async move {
                let mut messages = session.take_messages().unwrap();
                while let Some(Ok(message)) = messages.next().await {
                    if messages.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address.rsplit(':').next().unwrap().parse().unwrap()
}

async fn ws_echo(threads: &str, loaded: &Registry, linked: &Registry) {
    println!("\n-- ws echo over tcp on loopback, client and server of the same side, {threads}");
    // The linked driver takes part twice: what it differs from itself is what the machine adds.
    let names = ["loaded", "linked", "linked, again"];
    let mut sessions = Vec::new();
    for registry in [loaded, linked, linked] {
        // The registries live as long as the process.
        let registry = leak(registry);
        let port = ws_server(registry).await;
        let session = open(registry, &format!("ws://127.0.0.1:{port}/"), json!({})).await;
        let messages = session.take_messages().unwrap();
        sessions.push((session, messages));
    }
    for (size, count) in [(64, 4000), (16 * 1024, 1500)] {
        let (mut latency, mut throughput) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
        let payload = bytes::Bytes::from(vec![7; size]);
        for round in 0..2 * ROUNDS {
            // Each goes first as often as the others.
            for side in (0..names.len()).map(|turn| (round + turn) % names.len()) {
                let messages = &mut sessions[side].1;
                let started = Instant::now();
                for _ in 0..count {
                    messages.send(Message::binary(payload.clone())).await.unwrap();
                    messages.next().await.unwrap().unwrap();
                }
                latency[side].push(started.elapsed().as_secs_f64() * 1e6 / f64::from(count));
                throughput[side].push(pipelined(messages, &payload, count * 2).await);
            }
        }
        for (what, unit, goal, values) in [
            ("round trip", "us", "<= 1.05", &latency),
            ("pipelined", "messages/s", ">= 0.98", &throughput),
        ] {
            for (name, values) in names.iter().zip(values) {
                line(&format!("{size} B {what}, {name}"), median(values.clone()), unit);
            }
            ratio(
                &format!("{size} B {what}, loaded / linked"),
                pairs(&values[0], &values[1]),
                goal,
            );
            ratio(
                &format!("{size} B {what}, linked again / linked"),
                pairs(&values[2], &values[1]),
                "none",
            );
        }
    }
}

/// Messages a second with 64 on their way.
async fn pipelined(
    messages: &mut jackfield_plugin_api::Messages,
    payload: &bytes::Bytes,
    count: i32,
) -> f64 {
    let started = Instant::now();
    let (mut sent, mut received) = (0, 0);
    while received < count {
        while sent < count && sent - received < 64 {
            messages.feed(Message::binary(payload.clone())).await.unwrap();
            sent += 1;
        }
        SinkExt::<Message>::flush(messages).await.unwrap();
        while received < sent && (sent == count || sent - received > 32) {
            messages.next().await.unwrap().unwrap();
            received += 1;
        }
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// A registry for tasks that outlive this call; benches end with the process.
fn leak(registry: &Registry) -> &'static Registry {
    Box::leak(Box::new(registry.clone()))
}

/// A relay whose two ends the driver of `registry` has made: listens, connects to `target`.
async fn relay_to(registry: &'static Registry, target: SocketAddr) -> SocketAddr {
    let server = stack(registry, "tcp://127.0.0.1:0", json!({}), Role::Server).await;
    let client = stack(registry, &format!("tcp://{target}"), json!({}), Role::Client).await;
    let listener = server.listen(LIMIT).await.unwrap();
    let address = listener.info().local.unwrap().parse().unwrap();
    tokio::spawn(async move {
        let client = Arc::new(client);
        loop {
            let accepted = listener.accept().await.unwrap();
            let (accepted, client) =
                (server.accept(accepted, LIMIT, false).await.unwrap(), Arc::clone(&client));
            tokio::spawn(async move {
                let onward = client.open(None, LIMIT).await.unwrap();
                let (a, b) = End::pair(&accepted, &onward).unwrap();
                relay(a, b, RelayOptions::default(), Arc::default()).await
            });
        }
    });
    address
}

/// Sends back what comes on a first byte of 0; counts it after any other, and says when `BULK` have come.
async fn tcp_peer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                if stream.read_u8().await? == 0 {
                    let (mut read, mut write) = stream.split();
                    return tokio::io::copy(&mut read, &mut write).await.map(drop);
                }
                let (mut left, mut chunk) = (BULK, vec![0; CHUNK]);
                while left > 0 {
                    left = left.saturating_sub(stream.read(&mut chunk).await?);
                }
                stream.write_u8(0).await
            });
        }
    });
    address
}

async fn tcp_relay(loaded: &Registry, linked: &Registry) {
    println!("\n-- tcp relay, both ends by the driver: 64 B ping-pong and bulk");
    let peer = tcp_peer().await;
    // The linked driver takes part twice: what it differs from itself is what the machine adds.
    let names = ["loaded", "linked", "linked, again"];
    let mut relays = Vec::new();
    for registry in [loaded, linked, linked] {
        relays.push(relay_to(leak(registry), peer).await);
    }
    let (mut latency, mut bulk) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for round in 0..2 * ROUNDS {
        // Each goes first as often as the others.
        for side in (0..relays.len()).map(|turn| (round + turn) % relays.len()) {
            latency[side].push(round_trip(relays[side]).await);
            bulk[side].push(megabytes_a_second(relays[side]).await);
        }
    }
    for (name, values) in names.iter().zip(&latency) {
        line(&format!("64 B round trip, {name}"), median(values.clone()), "us");
    }
    ratio("64 B round trip, loaded / linked", pairs(&latency[0], &latency[1]), "<= 1.05");
    ratio("64 B round trip, linked again / linked", pairs(&latency[2], &latency[1]), "none");
    for (name, values) in names.iter().zip(&bulk) {
        line(&format!("bulk, {name}"), median(values.clone()), "MB/s");
    }
    ratio("bulk, loaded / linked", pairs(&bulk[0], &bulk[1]), ">= 0.98");
    ratio("bulk, linked again / linked", pairs(&bulk[2], &bulk[1]), "none");
}

/// The median of the ratios of each round.
fn pairs(a: &[f64], b: &[f64]) -> f64 {
    median(a.iter().zip(b).map(|(a, b)| a / b).collect())
}

/// Microseconds of one round trip of 64 bytes through `relay`.
async fn round_trip(relay: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_u8(0).await.unwrap();
    let mut buffer = [0; 64];
    let started = Instant::now();
    for _ in 0..4000 {
        stream.write_all(&buffer).await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
    }
    started.elapsed().as_secs_f64() * 1e6 / 4000.0
}

/// How fast `BULK` goes through `relay` and is counted beyond it.
async fn megabytes_a_second(relay: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    let chunk = vec![1; CHUNK];
    stream.write_u8(1).await.unwrap();
    let started = Instant::now();
    for _ in 0..BULK / CHUNK {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.read_u8().await.unwrap();
    BULK as f64 / 1e6 / started.elapsed().as_secs_f64()
}
