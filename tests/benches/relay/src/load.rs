//! What is put on the relays: bulk, round trips, short connections, idle ones.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK: usize = 128 * 1024;

/// Lets this process and its children open `want` descriptors if it may.
pub(super) fn raise_descriptor_limit(want: usize) {
    let limit = getrlimit(Resource::Nofile);
    let want = want as u64;
    let raised = Rlimit { current: Some(want), maximum: limit.maximum.max(Some(want)) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, most).expect("its own limit");
        println!("descriptors are limited to {:?}; fewer connections will idle", limit.maximum);
    }
}

/// Keeps this thread and what it starts on one CPU. Gives what was allowed before.
pub(super) fn pin_to_one_cpu() -> CpuSet {
    let all = sched_getaffinity(None).expect("the CPUs");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("pinned");
    all
}

/// Takes back [`pin_to_one_cpu`].
pub(super) fn unpin(all: &CpuSet) {
    sched_setaffinity(None, all).expect("unpinned");
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_nodelay(true).expect("set");
    stream
}

/// Reads `total` bytes from each connection and then sends one byte. The end of what comes is not
/// waited for: Traefik cuts the other direction off 100 ms after it.
pub(super) fn sink(total: u64) -> u16 {
    let (listener, port) = listen();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || drain(stream, total));
        }
    });
    port
}

fn drain(mut stream: TcpStream, total: u64) {
    let (mut chunk, mut left) = (vec![0; CHUNK], total);
    while left > 0 {
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => left = left.saturating_sub(count as u64),
            _ => return,
        }
    }
    let _ = stream.write_all(b"!");
}

/// Time to carry `total` bytes to the sink.
pub(super) fn send(port: u16, total: u64) -> Duration {
    let (mut stream, chunk) = (connect(port), vec![7; CHUNK]);
    let begin = Instant::now();
    for _ in 0..total / CHUNK as u64 {
        stream.write_all(&chunk).expect("taken");
    }
    stream.read_exact(&mut [0; 1]).expect("the sink's word");
    begin.elapsed()
}

/// Sends back what comes, 64 bytes at a time, on `threads` connections at once.
pub(super) fn echo(threads: usize) -> u16 {
    let (listener, port) = listen();
    for _ in 0..threads {
        let listener = listener.try_clone().expect("a copy");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                stream.set_nodelay(true).expect("set");
                let mut bytes = [0; 64];
                while stream.read_exact(&mut bytes).is_ok() {
                    stream.write_all(&bytes).expect("taken");
                }
            }
        });
    }
    port
}

/// The median time of a round trip.
pub(super) fn ping_pong(port: u16, trips: usize) -> Duration {
    let mut stream = connect(port);
    let mut times: Vec<Duration> = (0..trips)
        .map(|_| {
            let begin = Instant::now();
            round_trip(&mut stream);
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[trips / 2]
}

fn round_trip(stream: &mut TcpStream) {
    let mut bytes = [3; 64];
    stream.write_all(&bytes).expect("taken");
    stream.read_exact(&mut bytes).expect("answered");
}

/// Time to open, use once and close `count` connections, four at a time.
pub(super) fn short_connections(port: u16, count: usize) -> Duration {
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..count / 4 {
                    round_trip(&mut connect(port));
                }
            });
        }
    });
    begin.elapsed()
}

/// What a connection begins with that is to be read to its end.
const BUSY: [u8; 64] = [b'b'; 64];

/// As [`send`], to [`holder_and_sink`].
pub(super) fn send_marked(port: u16, total: u64) -> Duration {
    let (mut stream, chunk) = (connect(port), vec![7; CHUNK]);
    stream.write_all(&BUSY).expect("taken");
    let begin = Instant::now();
    for _ in 0..total / CHUNK as u64 {
        stream.write_all(&chunk).expect("taken");
    }
    stream.read_exact(&mut [0; 1]).expect("the sink's word");
    begin.elapsed()
}

/// As [`holder`]; but of a connection that begins with `BUSY` it reads `total` bytes and sends one.
pub(super) fn holder_and_sink(most: usize, total: u64) -> Holder {
    serve(most, Some(total))
}

/// Answers one round trip on each connection and then holds it.
pub(super) struct Holder {
    pub(super) port: u16,
    held: Receiver<TcpStream>,
    pub(super) most: usize,
}

/// A holder of at most `most` connections, or as many as descriptors allow.
pub(super) fn holder(most: usize) -> Holder {
    serve(most, None)
}

fn serve(most: usize, total: Option<u64>) -> Holder {
    let (listener, port) = listen();
    let (tx, held) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = [0; 64];
            // A probe of the relay's port ends without a byte.
            if stream.read_exact(&mut bytes).is_err() {
                continue;
            }
            if let (BUSY, Some(total)) = (bytes, total) {
                thread::spawn(move || drain(stream, total));
                continue;
            }
            stream.write_all(&bytes).expect("taken");
            if tx.send(stream).is_err() {
                break;
            }
        }
    });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(limit / 2).unwrap_or(usize::MAX).saturating_sub(60);
    Holder { port, held, most: most.min(room) }
}

impl Holder {
    /// Opens all connections through `port`: both ends of each.
    pub(super) fn open(&self, port: u16) -> Vec<(TcpStream, TcpStream)> {
        (0..self.most)
            .map(|_| {
                let mut stream = connect(port);
                round_trip(&mut stream);
                (stream, self.held.recv().expect("the other end"))
            })
            .collect()
    }
}
