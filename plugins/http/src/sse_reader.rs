//! [`Reader`]: server-sent events out of bytes (HTML Living Standard §9.2.6).

use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Error, ErrorKind, Result};

/// One event that was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its type.
    pub(crate) name: String,
    /// Its data; lines end with LF, the last without.
    pub(crate) data: String,
    /// What was heard last when it came; empty: nothing is known.
    pub(crate) id: String,
    /// Milliseconds that the server wants to pass before anybody connects anew, said since the event before.
    pub(crate) retry: Option<u64>,
}

/// Reads events, of which one has at most so many bytes, as a line has.
#[derive(Debug)]
pub(crate) struct Reader {
    longest: usize,
    /// The line so far.
    line: Vec<u8>,
    /// The line before ended with CR, so that an LF now belongs to it.
    after_cr: bool,
    /// The first line has come.
    begun: bool,
    name: Vec<u8>,
    /// Each line with an LF.
    data: Vec<u8>,
    id: Vec<u8>,
    retry: Option<u64>,
}

impl Reader {
    pub(crate) fn new(longest: usize) -> Self {
        Reader {
            longest,
            line: Vec::new(),
            after_cr: false,
            begun: false,
            name: Vec::new(),
            data: Vec::new(),
            id: Vec::new(),
            retry: None,
        }
    }

    /// The next event that `bytes` complete, which are left where it ends; `None` once nothing is left.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where an event or a line is too long.
    pub(crate) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Heard>> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes.advance(1);
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let part = bytes.split_to(end.unwrap_or(bytes.len()));
            self.keep(&part)?;
            if end.is_some() {
                self.after_cr = bytes.get_u8() == b'\r';
                if let Some(event) = self.end_line() {
                    return Ok(Some(event));
                }
            }
        }
        Ok(None)
    }

    fn keep(&mut self, part: &[u8]) -> Result<()> {
        let held = self.line.len() + self.name.len() + self.data.len() + self.id.len();
        if part.len() > self.longest.saturating_sub(held) {
            let text = format!("an event is longer than {} bytes", self.longest);
            return Err(Error::new(ErrorKind::Limit, text).with("option", "max_event"));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Heard> {
        let whole = std::mem::take(&mut self.line);
        let first = !std::mem::replace(&mut self.begun, true);
        let line = match whole.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if first => rest,
            _ => &whole,
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        self.field(field, value.strip_prefix(b" ").unwrap_or(value));
        None
    }

    /// What has no name is a comment, and what has another is not for us.
    fn field(&mut self, field: &[u8], value: &[u8]) {
        match field {
            b"event" => self.name = value.to_vec(),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) => self.id = value.to_vec(),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let text = String::from_utf8_lossy(value);
                self.retry = text.parse().ok().or(self.retry);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Heard> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        // Without a line of data it is none, but it may have said an id or a time.
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { text(&name) };
        Some(Heard { name, data: text(&data), id: text(&self.id), retry: self.retry.take() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, Reader};
    use bytes::Bytes;
    use jackfield_plugin_api::{ErrorKind, Result, ServerEvent};

    /// What is heard when the bytes come in pieces of `size`.
    fn heard(text: &[u8], size: usize, longest: usize) -> Result<Vec<Heard>> {
        let mut reader = Reader::new(longest);
        let mut all = Vec::new();
        for piece in text.chunks(size) {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(event) = reader.next(&mut bytes)? {
                all.push(event);
            }
            assert!(bytes.is_empty());
        }
        Ok(all)
    }

    fn event(name: &str, data: &str, id: &str, retry: Option<u64>) -> Heard {
        Heard { name: name.into(), data: data.into(), id: id.into(), retry }
    }

    #[test]
    fn events_are_read_as_the_standard_says_however_they_come() {
        let cases: [(&[u8], Vec<Heard>); 12] = [
            (b"data: a\n\n", vec![event("message", "a", "", None)]),
            (b"\xef\xbb\xbfdata: a\r\r", vec![event("message", "a", "", None)]),
            (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", vec![]),
            (
                b"data: YHOO\r\ndata: +2\ndata: 10\r\r\n",
                vec![event("message", "YHOO\n+2\n10", "", None)],
            ),
            (
                b": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
                vec![
                    event("message", "first", "1", None),
                    event("message", "second", "", None),
                    event("message", " third", "", None),
                ],
            ),
            (
                b"data\n\ndata\ndata\n\ndata:",
                vec![event("message", "", "", None), event("message", "\n", "", None)],
            ),
            (
                b"event: add\ndata: 7\n\ndata: 8\n\n",
                vec![event("add", "7", "", None), event("message", "8", "", None)],
            ),
            (
                b"id: 7\nretry: 1500\n\nevent: lost\n\nid: 8\0\ndata: x\n\ndata: y\n\n",
                vec![event("message", "x", "7", Some(1500)), event("message", "y", "7", None)],
            ),
            (b"retry: 1s\nretry: -1\nretry:\ndata: x\n\n", vec![event("message", "x", "", None)]),
            (b"datas: x\n data: x\nDATA: x\n:\n::\n\n", vec![]),
            (b"data: caf\xc3\xa9 \xff\0\n\n", vec![event("message", "café \u{fffd}\0", "", None)]),
            (b"\n\r\n\r\rdata:x\n\r\ndata: cut off", vec![event("message", "x", "", None)]),
        ];
        for (text, expected) in cases {
            for size in 1..=text.len() {
                let shown = String::from_utf8_lossy(text);
                assert_eq!(heard(text, size, 100).unwrap(), expected, "{shown:?} by {size}");
            }
        }
    }

    #[test]
    fn what_is_told_is_heard() {
        let told = ServerEvent::new("a\r\n\nb\rc ").name("n").id("i");
        let told = told.retry(std::time::Duration::from_millis(20));
        let all = heard(&told.encode().unwrap(), 3, 100).unwrap();
        assert_eq!(all, [event("n", "a\n\nb\nc ", "i", Some(20))]);
        assert_eq!(heard(&ServerEvent::nothing(), 3, 100).unwrap(), []);
    }

    #[test]
    fn an_event_has_a_limit_whatever_it_is_made_of() {
        for text in [
            "data: ".to_owned() + &"x".repeat(100),
            ":".repeat(101),
            "data: x\n".repeat(51),
            format!("event: {0}\nid: {0}\ndata: x", "x".repeat(50)),
        ] {
            for size in [1, 7, 1000] {
                let error = heard(text.as_bytes(), size, 100).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Limit, "{text}");
            }
        }
        assert_eq!(heard("data: x\n\n:...\n".repeat(100).as_bytes(), 7, 20).unwrap().len(), 100);
    }
}
