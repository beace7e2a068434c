//! [`ServerEvent`]: an event as a `text/event-stream` carries it.

use crate::error::{Error, Result};
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Duration;

/// One event of a `text/event-stream` (HTML Living Standard §9.2), for a [`crate::BodyPart::Data`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerEvent<'a> {
    /// Its type; without one it is a `message`.
    pub name: Option<&'a str>,
    /// The id that a client sends as the last one received when it connects again; empty: it forgets its id.
    pub id: Option<&'a str>,
    /// How long clients wait before they connect anew, to the millisecond.
    pub retry: Option<Duration>,
    /// The data; each of its lines travels as one. Without data clients take over `id` and `retry`
    /// and tell no event.
    pub data: Option<&'a str>,
}

impl<'a> ServerEvent<'a> {
    /// An event with data and nothing else.
    pub fn new(data: &'a str) -> Self {
        ServerEvent { data: Some(data), ..ServerEvent::default() }
    }

    /// Sets its type.
    #[must_use]
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets its id.
    #[must_use]
    pub fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets how long clients wait before they connect anew.
    #[must_use]
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }
    /// The event on the wire, its closing empty line included.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] where `name` or `id` has a line break or a NUL, which would make
    /// another event of it.
    pub fn encode(&self) -> Result<Bytes> {
        let mut out = BytesMut::new();
        for (field, value) in [("event", self.name), ("id", self.id)] {
            let Some(value) = value else { continue };
            if value.contains(['\r', '\n', '\0']) {
                return Err(Error::option(field, "of an event must be one line without NUL"));
            }
            line(&mut out, field, value);
        }
        if let Some(retry) = self.retry {
            line(&mut out, "retry", &retry.as_millis().to_string());
        }
        if let Some(data) = self.data {
            // Clients take CR LF, LF and CR alone for ends of lines; nothing else could be said.
            let mut rest = data;
            while let Some(at) = rest.find(['\r', '\n']) {
                line(&mut out, "data", &rest[..at]);
                let both = rest[at..].starts_with("\r\n");
                rest = &rest[at + if both { 2 } else { 1 }..];
            }
            line(&mut out, "data", rest);
        }
        out.put_u8(b'\n');
        Ok(out.freeze())
    }

    /// A line that clients pass over, to keep a silent connection open.
    pub fn nothing() -> Bytes {
        Bytes::from_static(b":\n\n")
    }
}

fn line(out: &mut BytesMut, field: &str, value: &str) {
    for part in [field, ": ", value, "\n"] {
        out.put_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::ServerEvent;
    use std::time::Duration;

    fn data(text: &str) -> String {
        let event = ServerEvent::new(text);
        String::from_utf8(event.encode().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn each_line_of_data_is_a_line() {
        assert_eq!(data(""), "data: \n\n");
        assert_eq!(data(" a"), "data:  a\n\n");
        assert_eq!(data("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(data("a\r\n"), "data: a\ndata: \n\n");
        assert_eq!(data("x\n\nid: 7\n"), "data: x\ndata: \ndata: id: 7\ndata: \n\n");
    }

    #[test]
    fn fields_are_lines_of_their_own_and_cannot_be_forged() {
        let event = ServerEvent {
            name: Some("tick"),
            id: Some("7"),
            retry: Some(Duration::from_millis(1500)),
            data: Some("x"),
        };
        let text = event.encode().unwrap();
        assert_eq!(text, "event: tick\nid: 7\nretry: 1500\ndata: x\n\n");
        for wrong in ["a\nb", "a\rb", "a\0"] {
            let named = ServerEvent { name: Some(wrong), ..ServerEvent::default() };
            let numbered = ServerEvent { id: Some(wrong), ..ServerEvent::default() };
            assert!(named.encode().is_err() && numbered.encode().is_err(), "{wrong:?}");
        }
    }
}
