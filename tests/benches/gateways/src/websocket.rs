//! A WebSocket client that costs little, and the tcp ends behind a gateway.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a message.
const MESSAGE: usize = 64 * 1024;

fn listen(serve: impl Fn(TcpStream) + Send + Copy + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Reads `total` bytes of each connection and answers with one.
pub(super) fn sink(total: u64) -> u16 {
    listen(move |mut stream| {
        let (mut chunk, mut left) = (vec![0; 128 * 1024], total);
        while left > 0 {
            match stream.read(&mut chunk) {
                Ok(count @ 1..) => left = left.saturating_sub(count as u64),
                _ => return,
            }
        }
        let _ = stream.write_all(b"!");
        // The gateway says when it has passed that on.
        let _ = stream.read(&mut chunk);
    })
}

/// Sends `total` bytes on each connection that has said something.
pub(super) fn source(total: u64) -> u16 {
    listen(move |mut stream| {
        let chunk = vec![7; 128 * 1024];
        if stream.read_exact(&mut [0; 1]).is_err() {
            return;
        }
        for _ in 0..total / chunk.len() as u64 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
        let _ = stream.read(&mut [0; 1]);
    })
}

fn open(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_nodelay(true).expect("set");
    let head = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: binary\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("taken");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    stream
}

/// A binary message that is masked with a key that is not zero (RFC 6455 §5.3).
fn message(len: usize) -> Vec<u8> {
    let mut frame = match len {
        0..126 => vec![0x82, 0x80 | u8::try_from(len).expect("short")],
        _ => [&[0x82, 0x80 | 127][..], &(len as u64).to_be_bytes()].concat(),
    };
    let key = [0x12, 0x34, 0x56, 0x78];
    frame.extend(key);
    frame.extend(key.iter().cycle().take(len).map(|byte| byte ^ 7));
    frame
}

/// Time to carry `total` bytes to the sink.
pub(super) fn send(port: u16, total: u64) -> Duration {
    let (mut stream, message) = (open(port), message(MESSAGE));
    let begin = Instant::now();
    for _ in 0..total / MESSAGE as u64 {
        stream.write_all(&message).expect("taken");
    }
    assert_eq!(payload(&mut stream), 1, "the sink's word");
    begin.elapsed()
}

/// Time to carry `total` bytes from the source.
pub(super) fn receive(port: u16, total: u64) -> Duration {
    let mut stream = open(port);
    stream.write_all(&message(1)).expect("taken");
    let begin = Instant::now();
    let mut left = total;
    while left > 0 {
        left = left.saturating_sub(payload(&mut stream));
    }
    begin.elapsed()
}

/// Reads one frame; its length.
fn payload(stream: &mut TcpStream) -> u64 {
    thread_local!(static ROOM: std::cell::RefCell<Vec<u8>> = vec![0; 256 * 1024].into());
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let len = match head[1] & 127 {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).expect("its length");
            u64::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            stream.read_exact(&mut len).expect("its length");
            u64::from_be_bytes(len)
        }
        len => u64::from(len),
    };
    ROOM.with_borrow_mut(|room| {
        let mut left = usize::try_from(len).expect("a length");
        while left > 0 {
            let piece = left.min(room.len());
            stream.read_exact(&mut room[..piece]).expect("its payload");
            left -= piece;
        }
    });
    if head[0] & 0x0f > 2 { 0 } else { len }
}
