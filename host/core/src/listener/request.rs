//! [`ServedRequest`]: one request that a listener's code answers.

use crate::connection::{Live, counted, counted_session};
use crate::lock::IgnorePoison;
use crate::relay::Side;
use crate::stack::ServerLayer;
use bytes::Bytes;
use jackfield_plugin_api::{
    Address, Answer, Body, Envelope, Error, Exchange, Exchanger, HeaderBlock, Incoming, Result,
    Session,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request and the place for its answer. Dropped unanswered, the driver answers for it (http: 500).
#[derive(Debug)]
pub struct ServedRequest {
    request: Envelope,
    answer: Answer,
    connection: Arc<Live>,
}

impl ServedRequest {
    pub(super) fn new(incoming: Incoming, connection: Arc<Live>) -> Self {
        let Incoming { mut request, answer, .. } = incoming;
        let body = std::mem::replace(&mut request.body, Body::empty());
        request.body = counted(body, connection.totals(), Side::B);
        ServedRequest { request, answer, connection }
    }

    /// The connection that it came over: its peer, and the data that a program keeps with it.
    pub fn connection(&self) -> &Arc<Live> {
        &self.connection
    }

    /// The fields of its head.
    pub fn head(&self) -> &HeaderBlock {
        &self.request.head
    }

    /// `GET`, `POST`, …
    pub fn method(&self) -> &str {
        self.request.method()
    }

    /// The path, without its query.
    pub fn path(&self) -> &str {
        let target = self.request.path();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the question mark.
    pub fn query(&self) -> Option<&str> {
        self.request.path().split_once('?').map(|(_, query)| query)
    }

    /// The first field of that name, in lower case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.head.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Takes its content; empty the second time.
    pub fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.request.body, Body::empty())
    }

    /// Takes its content when all of it is here.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Limit`] if it has more than `most` bytes, or why it was cut short.
    pub async fn content(&mut self, most: usize) -> Result<Bytes> {
        self.take_body().whole(most).await
    }

    /// Answers with content that is all here, and its type, such as `text/plain`. Completes when it was sent.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Closed`] if the peer has left.
    pub async fn respond(
        self,
        status: u16,
        content_type: &str,
        content: impl Into<Bytes>,
    ) -> Result<()> {
        self.send(Envelope::response(status, content_type, content)?).await
    }

    /// Answers with a head and a body of one's own, which may go on for as long as it likes: chunks, events.
    /// Completes when it was sent.
    ///
    /// # Errors
    /// As [`ServedRequest::respond`].
    pub async fn send(self, mut response: Envelope) -> Result<()> {
        response.body = counted(response.body, self.connection.totals(), Side::A);
        self.answer.send(response).await
    }

    /// Answers that it speaks something else from now on, and gives the session of that.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Unsupported`] if the peer has not asked for that, or what sending
    /// or turning says.
    pub async fn upgrade(mut self, response: Envelope) -> Result<Session> {
        let upgrade = self.request.upgrade.take();
        let upgrade =
            upgrade.ok_or_else(|| Error::unsupported("an upgrade that was not asked for"))?;
        let (sent, session) = tokio::join!(self.answer.send(response), upgrade);
        sent?;
        let session = session?;
        self.connection.upgraded();
        Ok(counted_session(session, self.connection.totals()))
    }

    /// Answers that it speaks the protocol of `layer` from now on, and gives the session of that: a WebSocket beside
    /// pages, by a layer of `ws`. A request that does not ask for that, or may not have it, is answered so by the layer.
    /// The listener has to admit the upgrade (`upgrades = ["websocket"]` of `http`), and the session is part of the
    /// connection, so it lasts until the code that was given this request returns.
    ///
    /// # Errors
    /// What the layer says of the request; [`jackfield_plugin_api::ErrorKind::TimedOut`] after `limit`.
    pub async fn upgrade_to(self, layer: &ServerLayer, limit: Duration) -> Result<Session> {
        let path = self.path().to_owned();
        let ServedRequest { request, answer, connection } = self;
        let incoming = Mutex::new(Some(Incoming::new(request, answer)));
        let carrier = Session::builder(connection.known_info());
        let carrier = carrier.exchange(Exchange::new(OneRequest(incoming))).build();
        let session = layer.accept(carrier, Address::at_path(path), limit).await?;
        connection.upgraded();
        Ok(counted_session(session, connection.totals()))
    }
}

/// A request that is still to be taken.
struct OneRequest(Mutex<Option<Incoming>>);

impl Exchanger for OneRequest {
    async fn accept(&self) -> Result<Option<Incoming>> {
        Ok(self.0.lock().ignore_poison().take())
    }
}
