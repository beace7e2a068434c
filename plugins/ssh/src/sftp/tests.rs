//! The conversation against a scripted server: what an honest one does not do.

use super::get::{self, Get};
use super::wire::{Fields, kind, take_packet};
use super::{Ready, Sftp, calls, files};
use bytes::{BufMut, Bytes, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Semaphore, mpsc};

/// What a server is asked.
struct Heard {
    kind: u8,
    id: u32,
    fields: Fields,
}

/// One side of a server.
struct Server {
    pipe: DuplexStream,
    buffer: BytesMut,
}

impl Server {
    /// The next request; `None` at the end.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(mut fields) = take_packet(&mut self.buffer).expect("no lie") {
                let kind = fields.u8().expect("a kind");
                return Some(Heard { kind, id: fields.u32().expect("a number"), fields });
            }
            if self.pipe.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Answers with a kind, a number and what is in it.
    async fn answer(&mut self, kind: u8, id: u32, content: &[u8]) {
        let mut packet = BytesMut::new();
        packet.put_u32(u32::try_from(content.len() + 5).expect("a length"));
        packet.put_u8(kind);
        packet.put_u32(id);
        packet.put_slice(content);
        self.raw(&packet).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        // A client that has gone hears nothing.
        let _ = self.pipe.write_all(bytes).await;
    }

    async fn status(&mut self, id: u32, code: u32) {
        self.answer(kind::STATUS, id, &code.to_be_bytes()).await;
    }
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(bytes.len()).expect("a length").to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

/// A conversation whose server has greeted, and the server.
async fn greeted() -> (Result<Arc<Sftp>>, Server) {
    greeted_with(&[0, 0, 0, 5, kind::VERSION, 0, 0, 0, 3]).await
}

async fn greeted_with(greeting: &[u8]) -> (Result<Arc<Sftp>>, Server) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let mut server = Server { pipe: theirs, buffer: BytesMut::new() };
    let greeting = greeting.to_vec();
    let serving = tokio::spawn(async move {
        server.next().await.expect("a greeting");
        server.raw(&greeting).await;
        server
    });
    let sftp = {
        let (read, write) = tokio::io::split(ours);
        Sftp::start(read, write, Duration::from_secs(5)).await
    };
    (sftp, serving.await.expect("a server"))
}

fn ready(sftp: Arc<Sftp>, window: u32) -> Ready {
    Ready { sftp, window, block: 1024, turns: Arc::new(Semaphore::new(1)), most: 1 }
}

/// A server that has one file, gives at most `most` bytes at once, and tells how often it is asked for bytes that it
/// has not yet been asked for when it answers.
async fn serve_file(mut server: Server, content: Vec<u8>, most: usize, told: mpsc::Sender<usize>) {
    let mut held: Vec<Heard> = Vec::new();
    loop {
        // Answers are held back until nothing more is asked, and then come backwards.
        let next = tokio::time::timeout(Duration::from_millis(20), server.next()).await;
        match next {
            Ok(None) => return,
            Ok(Some(heard)) => held.push(heard),
            Err(_) => {
                let reads = held.iter().filter(|heard| heard.kind == kind::READ).count();
                let _ = told.try_send(reads);
                while let Some(heard) = held.pop() {
                    answer_file(&mut server, heard, &content, most).await;
                }
            }
        }
    }
}

async fn answer_file(server: &mut Server, mut heard: Heard, content: &[u8], most: usize) {
    match heard.kind {
        kind::OPEN => server.answer(kind::HANDLE, heard.id, &counted(b"h")).await,
        kind::FSTAT => {
            let mut attributes = BytesMut::new();
            attributes.put_u32(1);
            attributes.put_u64(u64::try_from(content.len()).expect("a length"));
            server.answer(kind::ATTRS, heard.id, &attributes).await;
        }
        kind::READ => {
            heard.fields.bytes().expect("a handle");
            let offset = usize::try_from(heard.fields.u64().expect("an offset")).expect("small");
            let length = usize::try_from(heard.fields.u32().expect("a length")).expect("small");
            let end = content.len().min(offset + length.min(most));
            match content.get(offset..end) {
                Some(bytes) if !bytes.is_empty() => {
                    server.answer(kind::DATA, heard.id, &counted(bytes)).await;
                }
                _ => server.status(heard.id, 1).await,
            }
        }
        _ => server.status(heard.id, 0).await,
    }
}

#[tokio::test(start_paused = true)]
async fn content_is_in_order_whatever_the_order_and_size_of_answers() {
    let content: Vec<u8> =
        (0..50_000u32).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    for most in [usize::MAX, 1000, 700] {
        let (sftp, server) = greeted().await;
        let (told, mut heard) = mpsc::channel(1000);
        let serving = tokio::spawn(serve_file(server, content.clone(), most, told));
        let ready = ready(sftp.expect("a conversation"), 8 * 1024);
        let get = Get { path: "a".to_owned(), offset: 3, length: None };
        let (mut reader, _) = get::open(&ready, &get).await.expect("a file");
        let mut got = Vec::new();
        while let Some(bytes) = reader.piece().await.expect("content") {
            got.extend_from_slice(&bytes);
        }
        assert!(got == content[3..], "most {most}");
        drop((reader, ready));
        serving.await.expect("a server");
        let mut at_once = 0;
        while let Ok(reads) = heard.try_recv() {
            at_once = at_once.max(reads);
        }
        // After a short answer requests are as long as that.
        let length = most.min(1024);
        let fit = 8 * 1024 / length;
        assert!((2..=fit).contains(&at_once), "{at_once} requests of {length} bytes in 8 KiB");
    }
}

#[tokio::test]
async fn greetings_of_others_are_refused() {
    let lines = b"This account is not available.\n";
    let old = [0, 0, 0, 5, kind::VERSION, 0, 0, 0, 2];
    let other = [0, 0, 0, 5, kind::STATUS, 0, 0, 0, 3];
    let lie = [0, 0, 0, 13, kind::VERSION, 0, 0, 0, 3, 255, 255, 255, 255, 1, 2, 3, 4];
    for greeting in [&lines[..], &old, &other, &lie] {
        let error = greeted_with(greeting).await.0.err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

/// What a request comes to whose server answers it with `answer`.
async fn answered(answer: impl AsyncFn(&mut Server, u32)) -> Error {
    let (sftp, mut server) = greeted().await;
    let sftp = sftp.expect("a conversation");
    let asking = files::look(&sftp, "/a", true);
    let serving = async {
        let heard = server.next().await.expect("a request");
        answer(&mut server, heard.id).await;
        server
    };
    let (found, _server) = tokio::join!(asking, serving);
    found.expect_err("a refusal")
}

#[tokio::test]
async fn answers_that_lie_are_refused() {
    let kinds = [
        answered(async |server, id| server.answer(kind::DATA, id, &counted(b"x")).await).await,
        answered(async |server, id| server.answer(kind::ATTRS, id, &[0, 0, 0]).await).await,
        answered(async |server, id| server.status(id + 7, 0).await).await,
        answered(async |server, _| server.raw(&[255; 64]).await).await,
        answered(async |server, id| server.status(id, 0).await).await,
    ];
    assert!(kinds.iter().all(|error| error.kind() == ErrorKind::Protocol), "{kinds:?}");
    let ended = answered(async |server, _| server.pipe.shutdown().await.expect("an end")).await;
    assert_eq!(ended.kind(), ErrorKind::Closed, "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_owes_an_answer_is_not_waited_for_for_ever() {
    let (sftp, _server) = greeted().await;
    let sftp = sftp.expect("a conversation");
    // Silence is no fault while nothing is asked.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!sftp.is_broken());
    let error = files::look(&sftp, "/a", true).await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(sftp.is_broken());
    assert_eq!(
        files::look(&sftp, "/a", true).await.expect_err("it is over").kind(),
        ErrorKind::TimedOut
    );
}

#[tokio::test]
async fn a_file_that_nobody_wants_any_more_is_closed() {
    let (sftp, mut server) = greeted().await;
    let sftp = sftp.expect("a conversation");
    let opening = {
        let sftp = Arc::clone(&sftp);
        tokio::spawn(async move { files::open_to_read(&sftp, "/a").await.map(drop) })
    };
    let open = server.next().await.expect("a request");
    opening.abort();
    assert!(opening.await.expect_err("cancelled").is_cancelled());
    server.answer(kind::HANDLE, open.id, &counted(b"left")).await;
    let mut close = server.next().await.expect("a request");
    assert_eq!(
        (close.kind, close.fields.bytes().expect("a handle")),
        (kind::CLOSE, Bytes::from("left"))
    );
}

/// A listing with one name.
async fn listed(name: &[u8]) -> Result<serde_json::Value> {
    let (sftp, mut server) = greeted().await;
    let ready = ready(sftp.expect("a conversation"), 1024);
    let mut entry = 1u32.to_be_bytes().to_vec();
    entry.extend(counted(name));
    entry.extend(counted(b"-rw-r--r--"));
    entry.extend(0u32.to_be_bytes());
    let serving = tokio::spawn(async move {
        let mut given = false;
        while let Some(heard) = server.next().await {
            match heard.kind {
                kind::OPENDIR => server.answer(kind::HANDLE, heard.id, &counted(b"h")).await,
                kind::READDIR if !std::mem::replace(&mut given, true) => {
                    server.answer(kind::NAME, heard.id, &entry).await;
                }
                kind::READDIR => server.status(heard.id, 1).await,
                _ => server.status(heard.id, 0).await,
            }
        }
    });
    let listed = calls::run(&ready, "sftp_list", json!({ "path": "/a" })).await;
    drop(ready);
    serving.await.expect("a server");
    listed
}

#[tokio::test]
async fn names_that_lead_out_of_a_folder_are_refused() {
    assert_eq!(listed(b"a").await.expect("a list")["entries"][0]["name"], "a");
    for name in [&b"../../etc/passwd"[..], b"a/b", b"", b"a\0"] {
        let error = listed(name).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    assert_eq!(listed(b"..").await.expect("a list")["entries"], json!([]));
}
