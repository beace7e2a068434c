//! The far end of a session under test: a TCP peer, told how to behave.

use std::{net::Ipv4Addr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
};

use crate::support::peers::echo::{Counters, TcpPeer};

/// What the far end does with each connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Behaviour {
    /// Sends every byte back.
    Echoes,
    /// Reads nothing until its gate is opened, then everything.
    Waits,
    /// Sends [`ANSWER`] once it has read everything, and not sooner.
    AnswersAfterTheEnd,
    /// Sends [`ANSWER`], ends its own direction, and then reads everything.
    EndsFirst,
    /// Reads [`BEFORE_RESET`] bytes, sends some too, and resets the connection.
    Resets,
}

/// What a far end says of its own accord.
pub(super) const ANSWER: &[u8] = b"the far end's own words";
/// What a far end reads before it resets the connection.
pub(super) const BEFORE_RESET: usize = 1 << 20;

/// How the bytes of a connection are wrapped on their way to the far end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wrapping {
    /// Not at all.
    Bytes,
    /// As the chunked content of one request and of its answer.
    Chunks,
}

/// Small, so that what waits at a far end that does not read is mostly ours.
const RECEIVE_BUFFER: u32 = 64 * 1024;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Starts a far end; its gate is opened by sending `true`.
pub(super) fn start(behaviour: Behaviour, wrapping: Wrapping) -> (TcpPeer, watch::Sender<bool>) {
    let (gate, opened) = watch::channel(false);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a socket option");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let peer =
        TcpPeer::serve_on(socket.listen(64).expect("a listener"), move |stream, counters| {
            let opened = opened.clone();
            async move {
                // A session under test that goes away early is the affair of its case.
                let _ = behave(behaviour, wrapping, stream, &counters, opened).await;
            }
        });
    (peer, gate)
}

async fn behave(
    behaviour: Behaviour,
    wrapping: Wrapping,
    mut stream: TcpStream,
    counters: &Arc<Counters>,
    mut gate: watch::Receiver<bool>,
) -> std::io::Result<()> {
    if wrapping == Wrapping::Chunks {
        while !answer_head(&mut stream).await? {}
    }
    let answer = wrapped(wrapping, ANSWER);
    match behaviour {
        Behaviour::Echoes => {
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await?;
            write.shutdown().await
        }
        Behaviour::Waits => {
            // An error is a gate that nobody will open any more.
            let _ = gate.wait_for(|opened| *opened).await;
            read_all(&mut stream, wrapping, counters).await
        }
        Behaviour::AnswersAfterTheEnd => {
            read_all(&mut stream, wrapping, counters).await?;
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
        Behaviour::EndsFirst => {
            stream.write_all(&answer).await?;
            if wrapping == Wrapping::Bytes {
                stream.shutdown().await?;
            }
            read_all(&mut stream, wrapping, counters).await
        }
        Behaviour::Resets => {
            let mut buffer = vec![0; BEFORE_RESET];
            stream.read_exact(&mut buffer).await?;
            counters.add_received(BEFORE_RESET);
            stream.write_all(&answer[..answer.len() - LAST_CHUNK.len()]).await?;
            stream.set_zero_linger()
        }
    }
}

/// Reads the head of a request and sends the head of its answer; answers whether content follows.
async fn answer_head(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let content = head.contains("transfer-encoding: chunked");
    let length = if content { "Transfer-Encoding: chunked" } else { "Content-Length: 0" };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n").as_bytes()).await?;
    Ok(content)
}

fn wrapped(wrapping: Wrapping, bytes: &[u8]) -> Vec<u8> {
    match wrapping {
        Wrapping::Bytes => bytes.to_vec(),
        Wrapping::Chunks => {
            [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n", LAST_CHUNK].concat()
        }
    }
}

/// Reads and counts to the end of the connection, or of the content.
async fn read_all(
    stream: &mut TcpStream,
    wrapping: Wrapping,
    counters: &Counters,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut tail = Vec::new();
    loop {
        let count = stream.read(&mut buffer).await?;
        counters.add_received(count);
        tail.extend_from_slice(&buffer[..count]);
        tail.drain(..tail.len().saturating_sub(LAST_CHUNK.len()));
        if count == 0 || wrapping == Wrapping::Chunks && tail == LAST_CHUNK {
            return Ok(());
        }
    }
}
