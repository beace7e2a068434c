//! [`Greeting`]: what a server sends before its identification (RFC 4253 §4.2), of which the protocol crate takes
//! less than servers send.

use crate::failure::printable;
use crate::received::Received;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Reader};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Lines before the identification, as many as OpenSSH takes.
const MAX_LINES: usize = 1024;
/// Bytes of one of these lines with its end, as many as OpenSSH takes.
const MAX_LINE: usize = 8192 + 2;
/// Identifications begin with it.
const MARK: &[u8] = b"SSH-";

/// Of a stream the server's identification is what is read first; lines before it are dropped. It counts what comes
/// after them.
#[derive(Debug)]
pub(crate) struct Greeting {
    received: Arc<Received>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reading lines; what came of one that is not whole yet.
    Lines {
        lines: Lines,
        buffer: Box<[u8]>,
    },
    /// Handing out what was read from the identification on.
    Rest(Vec<u8>, usize),
    Passed,
}

impl Greeting {
    pub(crate) fn new(received: Arc<Received>) -> Self {
        let buffer = vec![0; 4096].into_boxed_slice();
        Greeting { received, state: State::Lines { lines: Lines::default(), buffer } }
    }
}

/// The lines before an identification, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    count: usize,
    first: Option<Vec<u8>>,
}

impl Lines {
    /// Takes bytes; gives those from the identification on once it has begun.
    ///
    /// # Errors
    /// More or longer lines than are taken.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        for (at, byte) in bytes.iter().enumerate() {
            self.line.push(*byte);
            if self.line == MARK {
                let rest = &bytes[at + 1..];
                return Ok(Some([MARK, rest].concat()));
            }
            if *byte == b'\n' {
                self.count += 1;
                let line = std::mem::take(&mut self.line);
                self.first.get_or_insert(line);
            }
            if self.count > MAX_LINES {
                return Err(self.refuse(&format!("within {MAX_LINES} lines")));
            }
            if self.line.len() > MAX_LINE {
                return Err(self.refuse(&format!("before a line of more than {MAX_LINE} bytes")));
            }
        }
        Ok(None)
    }

    /// The peer ended before it identified itself.
    pub(crate) fn ended(&self) -> Error {
        match self.count == 0 && self.line.is_empty() {
            true => Error::new(ErrorKind::Closed, "the server closed the connection")
                .with_origin(Origin::Upstream),
            false => self.refuse("before it closed the connection"),
        }
    }

    fn refuse(&self, when: &str) -> Error {
        let message = format!("the peer does not greet as an SSH server {when}");
        let said = printable(&String::from_utf8_lossy(self.first.as_ref().unwrap_or(&self.line)));
        Error::new(ErrorKind::Protocol, message)
            .with_origin(Origin::Upstream)
            .with("it said", said.trim())
    }
}

impl<T: AsyncRead + Unpin> Reader<T> for Greeting {
    fn poll_read(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Lines { lines, buffer } => {
                    let mut read = ReadBuf::new(buffer);
                    ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(Err(lines.ended().into_io()));
                    }
                    if let Some(rest) = lines.take(read.filled()).map_err(Error::into_io)? {
                        self.state = State::Rest(rest, 0);
                    }
                }
                State::Rest(rest, at) => {
                    let count = target.remaining().min(rest.len() - *at);
                    target.put_slice(&rest[*at..*at + count]);
                    *at += count;
                    if *at == rest.len() {
                        self.state = State::Passed;
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Passed => {
                    let before = target.filled().len();
                    ready!(Pin::new(&mut *io).poll_read(cx, target))?;
                    self.received.add(target.filled().len() - before);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::Reading;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn read(sent: &[u8]) -> io::Result<Vec<u8>> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(sent).await.expect("room");
        drop(far);
        let mut read = Vec::new();
        let mut greeting = Reading::new(near, Greeting::new(Arc::default()));
        greeting.read_to_end(&mut read).await.map(|_| read)
    }

    #[tokio::test]
    async fn lines_before_the_identification_are_dropped() {
        let greeting = b"SSH-2.0-lab\r\n\x00rest";
        let lines = |count: usize, length: usize| {
            let line = [vec![b'x'; length - 2], b"\r\n".to_vec()].concat();
            [line.repeat(count), greeting.to_vec()].concat()
        };
        for sent in
            [greeting.to_vec(), lines(25, 25), lines(1, 300), lines(1024, 600), lines(2, 8194)]
        {
            assert_eq!(read(&sent).await.expect("the rest"), greeting);
        }
        // Inside of a line it is no identification.
        assert_eq!(read(b"no SSH-2.0-x\nSSH-2.0-y\n").await.expect("the rest"), b"SSH-2.0-y\n");
    }

    #[tokio::test]
    async fn who_does_not_identify_itself_is_refused_with_what_it_said() {
        let long = vec![b'x'; MAX_LINE + 1];
        let many = b"tar pit\n".repeat(MAX_LINES + 1);
        for sent in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &long, &many] {
            let error = Error::from(read(sent).await.expect_err("a refusal"));
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            let said = error.context().any(|(name, text)| name == "it said" && !text.is_empty());
            assert!(said, "{error}");
        }
        let error = Error::from(read(b"").await.expect_err("an end"));
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}
