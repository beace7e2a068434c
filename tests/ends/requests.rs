//! [`Chunks`]: a peer whose bytes are the content of a request or of its answer.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{reset_on_close, seen::Seen};

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// HTTP/1.1 by hand, with content in chunks.
pub(crate) struct Chunks {
    io: TcpStream,
    /// What is said before the first chunk.
    head: Option<&'static str>,
    has_heard_head: bool,
}

impl Chunks {
    pub(crate) fn client(io: TcpStream) -> Self {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        Self { io, head: Some(head), has_heard_head: false }
    }

    pub(crate) fn server(io: TcpStream) -> Self {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Self { io, head: Some(head), has_heard_head: false }
    }

    pub(crate) async fn send(&mut self, word: &str) {
        let head = self.head.take().unwrap_or_default();
        self.write(format!("{head}{:x}\r\n{word}\r\n", word.len()).as_bytes()).await;
    }

    pub(crate) async fn hears(&mut self, word: &str) {
        let mut head = Vec::new();
        while !self.has_heard_head && !head.ends_with(b"\r\n\r\n") {
            head.push(self.io.read_u8().await.expect("a head"));
        }
        self.has_heard_head = true;
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        let mut got = vec![0; chunk.len()];
        self.io.read_exact(&mut got).await.expect("a chunk");
        assert_eq!(String::from_utf8_lossy(&got).to_lowercase(), chunk);
    }

    pub(crate) async fn end(&mut self) {
        self.write(LAST_CHUNK).await;
    }

    /// The connection ends in the middle of content.
    pub(crate) async fn cut(&mut self) {
        self.io.shutdown().await.expect("ended");
    }

    /// A chunk whose length is none.
    pub(crate) async fn wrong(&mut self) {
        self.write(b"ZZ\r\n").await;
    }

    pub(crate) fn reset(self) {
        reset_on_close(&self.io);
    }

    pub(crate) async fn sees(&mut self) -> Seen {
        let mut rest = Vec::new();
        loop {
            match self.io.read_buf(&mut rest).await {
                Ok(0) => return Seen::Cut,
                Ok(_) if rest.ends_with(LAST_CHUNK) => return Seen::End,
                Ok(_) => {}
                Err(error) => return Seen::of_io(Err(error)),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("taken");
    }
}
