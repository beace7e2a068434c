//! Questions over HTTPS (RFC 8484), on one connection that is opened when it is needed.

use crate::question;
use jackfield_plugin_api::sync::Mutex;
use jackfield_plugin_api::{
    Body, Envelope, Error, ErrorKind, Exchange, HeaderBlock, Host, Result, Session,
};
use serde_json::Value;
use std::sync::Arc;

/// What messages are called in HTTP.
const MESSAGE: &str = "application/dns-message";
/// The longest message there is.
const LONGEST: usize = 65_535;

/// A server and the connection to it.
#[derive(Debug)]
pub(crate) struct Https {
    host: Host,
    uri: String,
    options: Value,
    authority: String,
    path: String,
    open: Mutex<Option<Arc<Open>>>,
}

#[derive(Debug)]
struct Open {
    exchange: Exchange,
    _session: Session,
}

impl Https {
    pub(crate) fn new(host: Host, authority: String, path: String, options: Value) -> Self {
        let uri = format!("https://{authority}");
        Https { host, uri, options, authority, path, open: Mutex::new(None) }
    }

    /// Forgets the connection.
    pub(crate) async fn close(&self) {
        self.open.lock().await.take();
    }

    /// Asks over the connection, or over a new one where that has ended. Cancel safe.
    pub(crate) async fn ask(&self, message: &[u8]) -> Result<Vec<u8>> {
        let (open, is_new) = self.connection().await?;
        match self.post(&open, message).await {
            Err(error) if !is_new && error.kind() == ErrorKind::Closed => {
                self.forget(&open).await;
                let (open, _) = self.connection().await?;
                self.post(&open, message).await
            }
            Err(error) => {
                self.forget(&open).await;
                Err(error)
            }
            answer => answer,
        }
    }

    async fn connection(&self) -> Result<(Arc<Open>, bool)> {
        let mut place = self.open.lock().await;
        if let Some(open) = place.as_ref() {
            return Ok((Arc::clone(open), false));
        }
        let session = self.host.open(&self.uri, &self.options).await?;
        let none = || Error::unsupported("requests");
        let exchange = session.take_exchange().ok_or_else(none)?;
        let open = Arc::new(Open { exchange, _session: session });
        *place = Some(Arc::clone(&open));
        Ok((open, true))
    }

    async fn forget(&self, open: &Arc<Open>) {
        let mut place = self.open.lock().await;
        if place.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, open)) {
            *place = None;
        }
    }

    async fn post(&self, open: &Open, message: &[u8]) -> Result<Vec<u8>> {
        let length = message.len().to_string();
        let head = HeaderBlock::new([
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &self.authority),
            (":path", &self.path),
            ("content-type", MESSAGE),
            ("accept", MESSAGE),
            ("content-length", &length),
        ])?;
        let asked = Envelope::new(head, Body::full(message.to_vec()));
        let answer = open.exchange.send(asked).await?;
        let status = answer.status();
        if status != 200 {
            let text = "the server answers with another status than 200";
            return Err(Error::new(ErrorKind::Refused, text).with("status", status));
        }
        let bytes = answer.body.whole(LONGEST).await?;
        if !question::answers(&bytes, message) {
            let text = "the content of the answer answers another question";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        Ok(bytes.to_vec())
    }
}
