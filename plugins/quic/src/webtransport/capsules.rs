//! Capsules (RFC 9297 §3) on the request's stream.
//!
//! They belong into DATA frames. `pywebtransport` 0.8 sends them bare and wants them so, which on the
//! wire is a frame whose type is the capsule's: HTTP/3 ignores frames of unknown types (RFC 9114 §9),
//! so that reading both forms harms nobody.

use super::codes;
use bytes::{Buf, BytesMut};
use quinn::RecvStream;
use tokio::io::{AsyncReadExt, copy, sink};
use web_transport_proto::{Capsule, CapsuleError, Frame, VarInt};

/// The longest frame and capsule in bytes.
const LONGEST: u64 = 64 * 1024;

/// Capsules of one stream, in order.
pub(super) struct Capsules {
    stream: RecvStream,
    /// What of DATA frames is not a whole capsule yet.
    rest: BytesMut,
}

impl Capsules {
    pub(super) fn new(stream: RecvStream) -> Self {
        Capsules { stream, rest: BytesMut::new() }
    }

    /// The next one; `None` at the end of the stream.
    ///
    /// # Errors
    /// What is no capsule, too long, or cut.
    pub(super) async fn next(&mut self) -> Result<Option<Capsule>, CapsuleError> {
        loop {
            if let Some(capsule) = self.buffered()? {
                return Ok(Some(capsule));
            }
            let kind = match VarInt::read_optional(&mut self.stream).await {
                Ok(Some(kind)) => kind,
                Ok(None) if self.rest.is_empty() => return Ok(None),
                Ok(None) | Err(_) => return Err(CapsuleError::UnexpectedEnd),
            };
            let len = VarInt::read(&mut self.stream).await?.into_inner();
            if len > LONGEST {
                return Err(CapsuleError::MessageTooLong);
            }
            if Frame(kind) == Frame::DATA {
                self.append(len).await?;
            } else if is_capsule(kind) {
                let mut bare = BytesMut::new();
                std::mem::swap(&mut bare, &mut self.rest);
                kind.encode(&mut self.rest);
                VarInt::from_u64(len).unwrap_or(VarInt::MAX).encode(&mut self.rest);
                self.append(len).await?;
                let capsule = Capsule::decode(&mut self.rest)?;
                self.rest = bare;
                return Ok(Some(capsule));
            } else if copy(&mut (&mut self.stream).take(len), &mut sink()).await? < len {
                return Err(CapsuleError::UnexpectedEnd);
            }
        }
    }

    async fn append(&mut self, len: u64) -> Result<(), CapsuleError> {
        let start = self.rest.len();
        // At most `LONGEST` of what has not been a capsule yet, and as much again.
        self.rest.resize(start + usize::try_from(len).unwrap_or(0), 0);
        self.stream
            .read_exact(&mut self.rest[start..])
            .await
            .map_err(|_| CapsuleError::UnexpectedEnd)
    }

    fn buffered(&mut self) -> Result<Option<Capsule>, CapsuleError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut bytes = &self.rest[..];
        match Capsule::decode(&mut bytes) {
            Ok(capsule) => {
                let used = self.rest.len() - bytes.len();
                self.rest.advance(used);
                Ok(Some(capsule))
            }
            Err(CapsuleError::UnexpectedEnd | CapsuleError::VarInt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_capsule(kind: VarInt) -> bool {
    let known =
        [codes::CLOSE_SESSION, codes::MAX_DATA, codes::MAX_STREAMS_BIDI, codes::MAX_STREAMS_UNI];
    known.contains(&kind.into_inner())
}
