//! Heads and bodies of http in short, for handlers and tests.

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Body, BodyPart, Envelope};
use crate::headers::HeaderBlock;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

impl Envelope {
    /// A request without a body.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if one of them is over 4 GiB.
    pub fn request(method: &str, path: &str) -> Result<Self> {
        let head = [(":method", method), (":scheme", "http"), (":path", path)];
        Ok(Envelope::new(HeaderBlock::new(head)?, Body::empty()))
    }

    /// A response whose content is all here, with its type, such as `application/json`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if one of them is over 4 GiB.
    pub fn response(status: u16, content_type: &str, content: impl Into<Bytes>) -> Result<Self> {
        let status = status.to_string();
        let head = [(":status", status.as_str()), ("content-type", content_type)];
        Ok(Envelope::new(HeaderBlock::new(head)?, Body::full(content)))
    }

    /// The method of a request; empty if it has none.
    pub fn method(&self) -> &str {
        self.text(":method")
    }

    /// The path of a request, with its query; empty if it has none.
    pub fn path(&self) -> &str {
        self.text(":path")
    }

    /// The status of a response; 0 if it has none.
    pub fn status(&self) -> u16 {
        self.text(":status").parse().unwrap_or(0)
    }

    fn text(&self, name: &str) -> &str {
        self.head.get(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("")
    }
}

impl Body {
    /// All of its content. Trailers are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if it has more than `most` bytes, or why it was cut short.
    pub async fn whole(mut self, most: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(part) = self.next().await {
            let BodyPart::Data(bytes) = part? else { continue };
            if bytes.len() > most - all.len() {
                let text = "the content is longer than the limit";
                return Err(Error::new(ErrorKind::Limit, text).with("most", most));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}
