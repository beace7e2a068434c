//! Files as content: whole, in one part, or in several (RFC 9110 §14.6). Read as they are sent.

use bytes::Bytes;
use jackfield_plugin_api::{Body, BodyPart, Error, ErrorKind, Host, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that are read at once; each answer holds as many.
const CHUNK: u64 = 64 << 10;

/// What content is made of, in its order.
#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Bytes),
    Range(Range<u64>),
}

/// Several parts of a file of `length` bytes and of type `kind`: their own type, and what they are made of.
pub(crate) fn several(ranges: &[Range<u64>], kind: &str, length: u64) -> (String, Pieces) {
    // Nobody can put into a file what is made up for one answer.
    let random = || RandomState::new().hash_one(length);
    let boundary = format!("{:016x}{:016x}", random(), random());
    let mut pieces = VecDeque::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let (start, last) = (range.start, range.end.saturating_sub(1));
        let head = format!(
            "\r\n--{boundary}\r\ncontent-type: {kind}\r\n\
             content-range: bytes {start}-{last}/{length}\r\n\r\n"
        );
        pieces.push_back(Piece::Text(head.into()));
        pieces.push_back(Piece::Range(range.clone()));
    }
    pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
    (format!("multipart/byteranges; boundary={boundary}"), Pieces(pieces))
}

impl From<Range<u64>> for Pieces {
    fn from(range: Range<u64>) -> Self {
        Pieces(VecDeque::from([Piece::Range(range)]))
    }
}

impl Pieces {
    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Range(range) => range.end - range.start,
        };
        self.0.iter().map(length).sum()
    }

    /// With what they stand for of `file`.
    pub(crate) fn of(self, file: File, host: Host) -> Body {
        let file = Arc::new(file);
        Body::new(Box::pin(futures_util::stream::try_unfold(self.0, move |mut left| {
            let file = Arc::clone(&file);
            async move {
                let bytes = loop {
                    match left.pop_front() {
                        None => return Ok(None),
                        Some(Piece::Text(text)) => break text,
                        Some(Piece::Range(range)) if range.is_empty() => {}
                        Some(Piece::Range(range)) => {
                            let bytes = read(file, range.clone(), host).await?;
                            let start = range.start + bytes.len() as u64;
                            left.push_front(Piece::Range(start..range.end));
                            break bytes;
                        }
                    }
                };
                Ok(Some((BodyPart::Data(bytes), left)))
            }
        })))
    }
}

/// Some of a range, which is not empty.
async fn read(file: Arc<File>, range: Range<u64>, host: Host) -> Result<Bytes> {
    let count = usize::try_from(CHUNK.min(range.end - range.start)).unwrap_or(0);
    let read = move || {
        let mut bytes = vec![0; count];
        let count = file.read_at(&mut bytes, range.start)?;
        bytes.truncate(count);
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = host.blocking(read).await??;
    if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Io, "the file has become shorter"));
    }
    Ok(bytes.into())
}
