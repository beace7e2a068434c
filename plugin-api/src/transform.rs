//! [`Transform`]: a layer that changes bytes on their way, without the writing of a stream by hand.

use crate::error::{Error, Result};
use crate::stream::Stream;
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a layer does to the bytes of both directions. Used by [`Stream::transformed`], which keeps what
/// cannot go on at once.
///
/// ```
/// use jackfield_plugin_api::{Result, Transform, bytes::BytesMut};
///
/// /// Letters turned by thirteen.
/// struct Rot13;
///
/// fn turn(byte: &u8) -> u8 {
///     match byte {
///         b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
///         b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
///         _ => *byte,
///     }
/// }
///
/// impl Transform for Rot13 {
///     fn decode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
///         to.extend(from.iter().map(turn));
///         Ok(())
///     }
///     fn encode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
///         to.extend(from.iter().map(turn));
///         Ok(())
///     }
/// }
/// ```
pub trait Transform: Send + Unpin + 'static {
    /// What the carrier gave, in pieces as they come, to what the user of the layer reads. What is not
    /// whole yet is kept in `self`, which bounds it.
    ///
    /// # Errors
    /// What is wrong with it, mostly [`crate::ErrorKind::Protocol`]. Reading ends with it.
    fn decode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()>;

    /// What the user of the layer writes, in pieces of at most 16 KiB, to what the carrier is given.
    ///
    /// # Errors
    /// Why it cannot be sent. None of the piece is sent then.
    fn encode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()>;

    /// The carrier gives no more. Default: nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Closed`] or [`crate::ErrorKind::Protocol`] where it ended in the middle of
    /// something.
    fn decode_end(&mut self, to: &mut BytesMut) -> Result<()> {
        let _ = to;
        Ok(())
    }

    /// The user of the layer writes no more; what is added is sent before the carrier is shut down.
    /// Default: nothing.
    ///
    /// # Errors
    /// Why it cannot be ended.
    fn encode_end(&mut self, to: &mut BytesMut) -> Result<()> {
        let _ = to;
        Ok(())
    }
}

/// The most bytes that are encoded at once, and the most encoded ones that wait while more is taken.
const PIECE: usize = 16 * 1024;

impl Stream {
    /// This stream with `transform` over both directions. Holds at most what 16 KiB become, decoded, and
    /// twice what they become, encoded. Writes are taken whole or not at all; what is taken goes on by
    /// itself as far as the carrier takes it, and the rest of it with the next write, flush or shutdown.
    /// Reads and writes are cancel safe. The result has no descriptor to be taken.
    #[must_use]
    pub fn transformed<T: Transform>(self, transform: T) -> Stream {
        Stream::new(Transformed::new(self, transform))
    }
}

/// A stream of any kind under a [`Transform`].
struct Transformed<S, T> {
    io: S,
    transform: T,
    piece: Box<[u8]>,
    decoded: BytesMut,
    encoded: BytesMut,
    reading: Reading,
    /// The last bytes were encoded.
    finished: bool,
}

enum Reading {
    On,
    /// Told after what was decoded before it.
    Failed(Error),
    Ended,
}

impl<S, T> Transformed<S, T> {
    fn new(io: S, transform: T) -> Self {
        Transformed {
            io,
            transform,
            piece: Box::default(),
            decoded: BytesMut::new(),
            encoded: BytesMut::new(),
            reading: Reading::On,
            finished: false,
        }
    }
}

impl<S: AsyncWrite + Unpin, T> Transformed<S, T> {
    /// Gives the carrier what was encoded.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.encoded.has_remaining() {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.encoded))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.encoded.advance(count.min(self.encoded.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin, T: Transform> AsyncRead for Transformed<S, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.decoded.is_empty() {
            match std::mem::replace(&mut this.reading, Reading::Ended) {
                Reading::On => this.reading = Reading::On,
                Reading::Failed(error) => return Poll::Ready(Err(error.into())),
                Reading::Ended => return Poll::Ready(Ok(())),
            }
            if this.piece.is_empty() {
                this.piece = vec![0; PIECE].into();
            }
            let mut piece = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
            let decoded = if piece.filled().is_empty() {
                this.reading = Reading::Ended;
                this.transform.decode_end(&mut this.decoded)
            } else {
                this.transform.decode(piece.filled(), &mut this.decoded)
            };
            if let Err(error) = decoded {
                this.reading = Reading::Failed(error);
            }
        }
        let count = this.decoded.len().min(buffer.remaining());
        buffer.put_slice(&this.decoded.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, T: Transform> AsyncWrite for Transformed<S, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.encoded.len() >= PIECE {
            ready!(this.poll_drain(cx))?;
        }
        let bytes = &bytes[..bytes.len().min(PIECE)];
        let before = this.encoded.len();
        if let Err(error) = this.transform.encode(bytes, &mut this.encoded) {
            this.encoded.truncate(before);
            return Poll::Ready(Err(error.into()));
        }
        // What was taken was taken: a carrier that fails now fails the next write as well.
        let _ = this.poll_drain(cx);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.finished {
            this.finished = true;
            this.transform.encode_end(&mut this.encoded).map_err(Error::into_io)?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
