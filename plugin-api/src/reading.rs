//! [`Reading`]: bytes that are read in a way of their own, and written as they are.

use bytes::{Buf, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How the bytes of a `T` are read.
pub trait Reader<T> {
    /// As [`AsyncRead::poll_read`], with what is below; as cancel safe as that.
    fn poll_read(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
}

/// A stream that is read by an `R`: what came before it, or an end that means something else. Writes, several
/// slices at once too, go to it as they are.
#[derive(Debug)]
pub struct Reading<T, R> {
    io: T,
    reader: R,
}

impl<T, R> Reading<T, R> {
    /// `io`, read by `reader`.
    pub fn new(io: T, reader: R) -> Self {
        Reading { io, reader }
    }

    /// How it is read.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The stream and how it was read.
    pub fn into_parts(self) -> (T, R) {
        (self.io, self.reader)
    }
}

/// Bytes that came before those of the stream.
impl<T: AsyncRead + Unpin> Reader<T> for Bytes {
    fn poll_read(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Pin::new(io).poll_read(cx, buffer);
        }
        let count = self.len().min(buffer.remaining());
        buffer.put_slice(&self[..count]);
        self.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Reads a stream as it is, and keeps a value for as long as the stream is held: the process behind a pipe, the
/// connection below an upgraded exchange.
#[derive(Debug)]
pub struct Keeping<K>(pub K);

impl<T: AsyncRead + Unpin, K> Reader<T> for Keeping<K> {
    fn poll_read(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(io).poll_read(cx, buffer)
    }
}

impl<T: Unpin, R: Reader<T> + Unpin> AsyncRead for Reading<T, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Reading { io, reader } = &mut *self;
        reader.poll_read(io, cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin, R: Unpin> AsyncWrite for Reading<T, R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{Keeping, Reading};
    use bytes::Bytes;
    use std::io::IoSlice;
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

    #[tokio::test]
    async fn what_came_before_is_read_first_and_slices_are_written_together() {
        let (near, mut far) = tokio::net::UnixStream::pair().expect("a pair");
        let mut reading = Reading::new(near, Bytes::from_static(b"before "));
        far.write_all(b"after").await.expect("taken");
        let mut read = [0; 12];
        reading.read_exact(&mut read).await.expect("bytes");
        assert_eq!(&read, b"before after");
        assert!(reading.is_write_vectored());
        let slices = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        assert_eq!(reading.write_vectored(&slices).await.expect("taken"), 7);
        drop(reading);
        let mut written = String::new();
        far.read_to_string(&mut written).await.expect("words");
        assert_eq!(written, "one two");
    }

    #[tokio::test]
    async fn what_is_kept_lives_as_long_as_the_stream() {
        let (near, mut far) = tokio::io::duplex(16);
        let kept = std::sync::Arc::new(());
        let mut reading = Reading::new(near, Keeping(std::sync::Arc::clone(&kept)));
        far.write_all(b"as it is").await.expect("room");
        let mut read = [0; 8];
        reading.read_exact(&mut read).await.expect("bytes");
        assert_eq!((&read, std::sync::Arc::strong_count(&kept)), (b"as it is", 2));
        drop(reading);
        assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    }
}
