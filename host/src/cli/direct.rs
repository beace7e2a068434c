//! [`Direct`]: output that is written where it comes, as long as whoever reads it keeps up.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Bytes that a pipe takes as a whole where it says that there is room (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// A descriptor for which a write that may wait needs a thread of its own: `slow` is that. What there is room for is
/// written without, because to wake that thread costs more than to write.
pub(super) struct Direct<F, W> {
    /// A pipe or a file. A terminal or a socket that says that there is room may still have too little, and wait.
    fd: Option<F>,
    slow: W,
    /// `slow` may still have something that comes before what is written next.
    waits: bool,
}

impl<F: AsFd, W: AsyncWrite + Unpin> Direct<F, W> {
    pub(super) fn new(fd: F, slow: W) -> Self {
        let kind = fstat(&fd).map(|found| FileType::from_raw_mode(found.st_mode));
        let never_waits = matches!(kind, Ok(FileType::Fifo | FileType::RegularFile));
        Direct { fd: never_waits.then_some(fd), slow, waits: false }
    }

    /// Writes what there is room for; `None` where that is nothing.
    fn write(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let fd = self.fd.as_ref()?;
        let mut polled = [PollFd::new(fd, PollFlags::OUT)];
        let found = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if !matches!(found, Ok(1)) || !polled[0].revents().contains(PollFlags::OUT) {
            return None;
        }
        match rustix::io::write(fd, &bytes[..bytes.len().min(AT_ONCE)]) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            written => Some(written.map_err(io::Error::from)),
        }
    }
}

impl<F: AsFd + Unpin, W: AsyncWrite + Unpin> AsyncWrite for Direct<F, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.waits
            && let Some(written) = self.write(bytes)
        {
            return Poll::Ready(written);
        }
        self.waits = true;
        Pin::new(&mut self.slow).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits {
            ready!(Pin::new(&mut self.slow).poll_flush(cx))?;
            self.waits = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.slow).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Direct};
    use std::io::{ErrorKind, Read};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn what_there_is_no_room_for_goes_the_slow_way_and_nothing_overtakes_it() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (slow, mut far) = duplex(1 << 20);
        let mut out = Direct::new(writer, slow);
        let piece = [b'a'; AT_ONCE];
        let mut direct = 0;
        while !out.waits {
            out.write_all(&piece).await.unwrap();
            direct += piece.len();
        }
        direct -= piece.len();
        reader.read_exact(&mut vec![0; direct]).unwrap();
        out.write_all(b"behind").await.unwrap();
        let mut slowly = vec![0; piece.len() + 6];
        far.read_exact(&mut slowly).await.unwrap();
        assert!(slowly.ends_with(b"abehind"));
        out.flush().await.unwrap();
        out.write_all(b"now").await.unwrap();
        let mut now = [0; 3];
        reader.read_exact(&mut now).unwrap();
        assert_eq!(&now, b"now");
    }

    #[tokio::test]
    async fn what_may_have_too_little_room_always_goes_the_slow_way() {
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (slow, mut far) = duplex(64);
        let mut out = Direct::new(near, slow);
        out.write_all(b"slow").await.unwrap();
        let mut slowly = [0; 4];
        far.read_exact(&mut slowly).await.unwrap();
        assert_eq!(&slowly, b"slow");
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_told() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (slow, _far) = duplex(64);
        drop(reader);
        let error = Direct::new(writer, slow).write_all(b"a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
