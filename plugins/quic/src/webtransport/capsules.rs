//! Capsules (RFC 9297 §3) on the request's stream.
//!
//! They belong into DATA frames. `pywebtransport` 0.8 sends them bare and wants them so, which on the
//! wire is a frame whose type is the capsule's: HTTP/3 ignores frames of unknown types (RFC 9114 §9),
//! so that reading both forms does no harm.

use super::codes;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, copy, sink};
use web_transport_proto::{Capsule, CapsuleError, Frame, VarInt};

/// The longest frame and capsule in bytes.
const LONGEST: u64 = 64 * 1024;

/// Capsules of one stream, in order.
pub(super) struct Capsules<S> {
    stream: S,
    /// What of DATA frames is not a whole capsule yet.
    rest: BytesMut,
}

impl<S: AsyncRead + Unpin> Capsules<S> {
    pub(super) fn new(stream: S) -> Self {
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
        let read = self.stream.read_exact(&mut self.rest[start..]).await;
        read.map(|_| ()).map_err(|_| CapsuleError::UnexpectedEnd)
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
            // One that is all there and makes no sense gets none by what follows it.
            Err(CapsuleError::UnexpectedEnd | CapsuleError::VarInt(_)) if !is_whole(&self.rest) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether all bytes are there that the first capsule says it has.
fn is_whole(mut bytes: &[u8]) -> bool {
    let mut number = || VarInt::decode(&mut bytes).map(VarInt::into_inner);
    match (number(), number()) {
        (Ok(_), Ok(len)) => bytes.len() as u64 >= len,
        _ => false,
    }
}

fn is_capsule(kind: VarInt) -> bool {
    let known =
        [codes::CLOSE_SESSION, codes::MAX_DATA, codes::MAX_STREAMS_BIDI, codes::MAX_STREAMS_UNI];
    known.contains(&kind.into_inner())
}

#[cfg(test)]
mod tests {
    use super::Capsules;
    use web_transport_proto::{Capsule, CapsuleError, Frame, VarInt};

    fn close() -> (Capsule, Vec<u8>) {
        let capsule = Capsule::CloseWebTransportSession { code: 7, reason: "bye".into() };
        let mut bytes = Vec::new();
        capsule.encode(&mut bytes);
        (capsule, bytes)
    }

    fn frame(kind: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame(VarInt::from_u32(kind)).encode(&mut bytes);
        VarInt::from_u32(u32::try_from(payload.len()).expect("short")).encode(&mut bytes);
        [bytes, payload.to_vec()].concat()
    }

    async fn all(bytes: &[u8]) -> Result<Vec<Capsule>, CapsuleError> {
        let (mut capsules, mut found) = (Capsules::new(bytes), Vec::new());
        while let Some(capsule) = capsules.next().await? {
            found.push(capsule);
        }
        Ok(found)
    }

    #[tokio::test]
    async fn capsules_come_framed_bare_and_in_pieces() {
        let (capsule, bytes) = close();
        assert_eq!(all(&bytes).await.expect("bare"), std::slice::from_ref(&capsule));
        assert_eq!(all(&frame(0, &bytes)).await.expect("framed"), std::slice::from_ref(&capsule));
        let pieces = [frame(0, &bytes[..3]), frame(0x21, b"grease"), frame(0, &bytes[3..])];
        assert_eq!(all(&pieces.concat()).await.expect("pieces"), std::slice::from_ref(&capsule));
        let both = frame(0, &[bytes.clone(), bytes.clone()].concat());
        assert_eq!(all(&both).await.expect("both"), [capsule.clone(), capsule]);
        assert!(all(&[]).await.expect("an end").is_empty());
    }

    #[tokio::test]
    async fn what_is_cut_or_too_long_is_an_error() {
        let (_, bytes) = close();
        for len in 1..bytes.len() {
            assert!(all(&bytes[..len]).await.is_err(), "{len} bytes");
            assert!(all(&frame(0, &bytes[..len])).await.is_err(), "{len} bytes framed");
        }
        let long = [0, 0x80, 1, 0, 1];
        assert!(matches!(all(&long).await, Err(CapsuleError::MessageTooLong)));
        // Within a frame of its own the announced length counts, not what is there.
        assert!(all(&frame(0, &[0x68, 0x43, 0x80, 2, 0, 0])).await.is_err());
    }

    #[tokio::test]
    async fn one_that_is_all_there_and_makes_no_sense_is_not_waited_for() {
        let (near, mut far) = tokio::io::duplex(1000);
        // The end of a session has a code of four bytes; nothing follows, and no end either.
        let short = frame(0, &[0x68, 0x43, 2, 0, 0]);
        tokio::io::AsyncWriteExt::write_all(&mut far, &short).await.expect("room");
        assert!(Capsules::new(near).next().await.is_err());
    }

    #[tokio::test]
    async fn random_bytes_do_no_harm() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..seed % 40)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed.to_le_bytes()[3]
                })
                .collect();
            seed = seed.wrapping_add(1);
            let _ = all(&bytes).await;
        }
    }
}
