//! Messages on a byte stream (RFC 6242 §4): ended by `]]>]]>`, or in chunks.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Result};

/// What ends a message of base 1.0, and always a hello.
const END: &[u8] = b"]]>]]>";

/// How messages are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Each ends with `]]>]]>` (§4.3).
    #[default]
    EndOfMessage,
    /// Each is chunks with their lengths, and `##` (§4.2).
    Chunked,
}

/// Takes messages from bytes as they come. It never holds more than one message of the longest there may be and
/// what was pushed beyond it.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    buffer: BytesMut,
    /// The part of a chunked message that is here.
    message: BytesMut,
    /// Bytes of the current chunk that are still to come.
    chunk: usize,
    /// Where the end has been looked for already.
    searched: usize,
    most: usize,
}

impl Decoder {
    /// For messages of at most `most` bytes; the first is a hello.
    pub fn new(most: usize) -> Self {
        Decoder {
            framing: Framing::EndOfMessage,
            buffer: BytesMut::new(),
            message: BytesMut::new(),
            chunk: 0,
            searched: 0,
            most,
        }
    }

    /// From the next message on.
    pub fn set_framing(&mut self, framing: Framing) {
        (self.framing, self.searched) = (framing, 0);
    }

    /// Adds bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the stream may end here.
    pub fn is_between(&self) -> bool {
        self.message.is_empty()
            && self.chunk == 0
            && self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// The next message, if it is all here.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for what is no message, [`ErrorKind::Limit`] for one that is too long. The stream is
    /// of no more use then.
    pub fn next_message(&mut self) -> Result<Option<Bytes>> {
        match self.framing {
            Framing::EndOfMessage => self.ended(),
            Framing::Chunked => self.chunked(),
        }
    }

    fn ended(&mut self) -> Result<Option<Bytes>> {
        let from = self.searched.saturating_sub(END.len() - 1);
        let found = self.buffer[from..].windows(END.len()).position(|part| part == END);
        let Some(at) = found.map(|at| from + at) else {
            self.searched = self.buffer.len();
            return if self.buffer.len() > self.most + END.len() {
                Err(self.too_long())
            } else {
                Ok(None)
            };
        };
        if at > self.most {
            return Err(self.too_long());
        }
        let message = self.buffer.split_to(at);
        self.buffer.advance(END.len());
        self.searched = 0;
        Ok(Some(message.freeze()))
    }

    fn chunked(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.chunk > 0 {
                let count = self.chunk.min(self.buffer.len());
                if count == 0 {
                    return Ok(None);
                }
                self.message.put(self.buffer.split_to(count));
                self.chunk -= count;
                continue;
            }
            match head(&self.buffer, self.message.is_empty())? {
                Head::Partial => return Ok(None),
                Head::End(length) => {
                    self.buffer.advance(length);
                    return Ok(Some(self.message.split().freeze()));
                }
                Head::Chunk(length, size) => {
                    if size > self.most - self.message.len() {
                        return Err(self.too_long());
                    }
                    self.buffer.advance(length);
                    self.chunk = size;
                }
            }
        }
    }

    fn too_long(&self) -> Error {
        let error = Error::new(ErrorKind::Limit, "the server sent a message that is too long");
        error.with("max_message", self.most)
    }
}

/// What stands before a chunk, or after the last.
enum Head {
    Partial,
    /// Its length, and that of the chunk.
    Chunk(usize, usize),
    /// Its length.
    End(usize),
}

/// Reads `\n#LENGTH\n` or `\n##\n`. Between messages some devices send line feeds of their own, which are skipped.
fn head(bytes: &[u8], between: bool) -> Result<Head> {
    let spaces = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | b' ')).count();
    if !between && spaces > 1 || spaces > MAX_SPACES {
        return Err(no_head(bytes));
    }
    // The last of them belongs to the head. A message that has just ended may leave it out.
    let Some(rest) = bytes.get(spaces..).filter(|rest| !rest.is_empty()) else {
        return Ok(Head::Partial);
    };
    if rest[0] != b'#' || (spaces == 0 && !between) {
        return Err(no_head(bytes));
    }
    match rest.get(1) {
        None => Ok(Head::Partial),
        Some(b'#') if !between => match rest.get(2) {
            None => Ok(Head::Partial),
            Some(b'\n') => Ok(Head::End(spaces + 3)),
            Some(_) => Err(no_head(bytes)),
        },
        Some(b'1'..=b'9') => {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 10 {
                return Err(no_head(bytes));
            }
            match rest.get(1 + digits) {
                None => Ok(Head::Partial),
                Some(b'\n') => {
                    let text = std::str::from_utf8(&rest[1..=digits]).unwrap_or_default();
                    let size = text.parse::<u32>().map_err(|_| no_head(bytes))?;
                    Ok(Head::Chunk(
                        spaces + digits + 2,
                        usize::try_from(size).unwrap_or(usize::MAX),
                    ))
                }
                Some(_) => Err(no_head(bytes)),
            }
        }
        Some(_) => Err(no_head(bytes)),
    }
}

/// The most spaces between two messages.
const MAX_SPACES: usize = 1024;

fn no_head(bytes: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
    let shown: String =
        shown.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    Error::new(ErrorKind::Protocol, "expected a chunk of a message (RFC 6242 §4.2)")
        .with("got", shown)
}

/// A message as it goes out.
///
/// # Errors
/// [`ErrorKind::Config`]: it has in it what ends a message of base 1.0.
pub fn encode(framing: Framing, message: &str) -> Result<Bytes> {
    let mut out = BytesMut::with_capacity(message.len() + 32);
    match framing {
        Framing::EndOfMessage => {
            if message.as_bytes().windows(END.len()).any(|part| part == END) {
                let text =
                    "the message has ]]>]]> in it, which a server of base 1.0 takes for its end";
                return Err(Error::new(ErrorKind::Config, text));
            }
            out.extend_from_slice(message.as_bytes());
            out.extend_from_slice(END);
        }
        Framing::Chunked => {
            for chunk in message.as_bytes().chunks(MAX_CHUNK) {
                out.extend_from_slice(format!("\n#{}\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
            }
            out.extend_from_slice(b"\n##\n");
        }
    }
    Ok(out.freeze())
}

/// The longest chunk that we send: what small devices have room for.
const MAX_CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(framing: Framing, pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<String>> {
        let mut decoder = Decoder::new(1000);
        decoder.set_framing(framing);
        let mut messages = Vec::new();
        for piece in pieces {
            decoder.push(&piece);
            while let Some(message) = decoder.next_message()? {
                messages.push(String::from_utf8(message.to_vec()).unwrap());
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_whole_whatever_the_pieces() {
        let chunked = b"\n#3\n<a>\n#4\n</a>\n##\n\n\n\n#1\nb\n##\n".to_vec();
        let ended = b"<a>]]></a>]]>]]>\nb]]>]]>".to_vec();
        for size in 1..=chunked.len() {
            let pieces = chunked.chunks(size).map(<[u8]>::to_vec);
            assert_eq!(all(Framing::Chunked, pieces).unwrap(), ["<a></a>", "b"]);
            let pieces = ended.chunks(size).map(<[u8]>::to_vec);
            assert_eq!(all(Framing::EndOfMessage, pieces).unwrap(), ["<a>]]></a>", "\nb"]);
        }
    }

    #[test]
    fn what_goes_out_comes_in() {
        let long = "x".repeat(990);
        for framing in [Framing::EndOfMessage, Framing::Chunked] {
            let sent = encode(framing, &long).unwrap().to_vec();
            assert_eq!(all(framing, [sent]).unwrap(), [long.as_str()]);
        }
        let twice = encode(Framing::Chunked, &"y".repeat(70_000)).unwrap();
        assert!(twice.starts_with(b"\n#65536\n") && twice.ends_with(b"\n##\n"));
        assert_eq!(
            encode(Framing::EndOfMessage, "a]]>]]>b").unwrap_err().kind(),
            ErrorKind::Config
        );
    }

    #[test]
    fn lies_are_refused() {
        let wrong: [&[u8]; 10] = [
            b"<rpc-reply/>]]>]]>",
            b"\n#0\n",
            b"\n#01\na",
            b"\n#-1\n",
            b"\n#4294967296\n",
            b"\n#99999999999\n",
            b"\n#1 \na",
            b"\n#1\nab\n##\n",
            b"\n#1\na\n\n##\n",
            b"\n##\n",
        ];
        for bytes in wrong {
            let error =
                all(Framing::Chunked, [bytes.to_vec()]).expect_err(&String::from_utf8_lossy(bytes));
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        }
        for (framing, bytes) in [
            (Framing::Chunked, b"\n#1001\n".to_vec()),
            (
                Framing::Chunked,
                b"\n#999\n".iter().copied().chain(vec![b'a'; 999]).chain(*b"\n#2\n").collect(),
            ),
            (Framing::EndOfMessage, vec![b'a'; 1100]),
        ] {
            assert_eq!(all(framing, [bytes]).unwrap_err().kind(), ErrorKind::Limit);
        }
    }

    #[test]
    fn an_end_between_messages_is_told_from_one_inside() {
        let mut decoder = Decoder::new(1000);
        decoder.set_framing(Framing::Chunked);
        decoder.push(b"\n#2\na");
        assert!(decoder.next_message().unwrap().is_none() && !decoder.is_between());
        decoder.push(b"b\n##\n\n");
        assert!(decoder.next_message().unwrap().is_some() && decoder.is_between());
    }
}
