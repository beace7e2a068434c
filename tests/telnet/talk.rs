//! A stream, and what has been heard on it.

use jackfield_plugin_api::{Session, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::process::DEADLINE;

pub(super) struct Talk {
    stream: Stream,
    heard: Vec<u8>,
}

impl Talk {
    pub(super) fn with(session: &Session) -> Self {
        Self { stream: session.take_stream().expect("a stream"), heard: Vec::new() }
    }

    pub(super) async fn says(&mut self, text: &str) {
        self.sends(text.as_bytes()).await;
    }

    pub(super) async fn sends(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("room");
        self.stream.flush().await.expect("room");
    }

    pub(super) async fn reads(&mut self, want: &[u8]) {
        let mut got = vec![0; want.len()];
        let read = timeout(DEADLINE, self.stream.read_exact(&mut got)).await;
        read.expect("in time").expect("bytes");
        assert!(got == want, "the bytes came changed");
    }

    /// Waits for `text`; what comes before it is forgotten.
    pub(super) async fn hears(&mut self, text: &str) {
        let waiting = async {
            loop {
                let found = self.heard.windows(text.len()).position(|part| part == text.as_bytes());
                if let Some(at) = found {
                    self.heard.drain(..at + text.len());
                    return true;
                }
                if self.stream.read_buf(&mut self.heard).await.expect("bytes") == 0 {
                    return false;
                }
            }
        };
        let heard = timeout(DEADLINE, waiting).await;
        assert!(heard == Ok(true), "no {text:?} in {:?}", String::from_utf8_lossy(&self.heard));
    }

    pub(super) async fn hears_the_end(&mut self) {
        let end = timeout(DEADLINE, self.stream.read_to_end(&mut self.heard)).await;
        end.expect("in time").expect("an end");
    }
}
