//! [`ServedRequest`]: one request that a listener's code answers.

use crate::connection::{Live, counted};
use crate::relay::Side;
use bytes::Bytes;
use jackfield_plugin_api::{Answer, Body, Envelope, Error, HeaderBlock, Incoming, Result, Session};
use std::sync::Arc;

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
        Ok(session)
    }
}
