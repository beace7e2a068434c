//! The message facet of a client's session: requests in, answers out.

use crate::client::{Held, close};
use crate::delivery::{Asker, PDU, WITHDRAW};
use crate::engine::{Engine, Job};
use crate::pdu::{MAX_LOOPBACK, MAX_PDU, loopback};
use bytes::Bytes;
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, ErrorKind, Message, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where the priority of a request stands in its metadata: behind the number of the one who has asked.
pub(crate) const PRIORITY: usize = 8;

/// The messages of a client's session.
pub(crate) struct Facet {
    held: Arc<Held>,
    /// The number of the last message that was handed over.
    last: u64,
    /// Whether the end was told.
    ended: bool,
}

impl Facet {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Facet { held, last: 0, ended: false }
    }

    /// Hands one request over.
    fn ask(&mut self, unit: u8, pdu: Bytes, asker: Asker, priority: u8) {
        let mut engine = self.held.link.engine();
        engine.delivery.given += 1;
        self.last = engine.delivery.given;
        engine.add(Job { unit, pdu, priority, timeout: None, asker });
    }
}

impl Drop for Facet {
    fn drop(&mut self) {
        // Calls may go on, and answers to messages are nobody's.
        let mut engine = self.held.link.engine();
        engine.withdraw(&[]);
        engine.delivery.is_read = false;
        while engine.delivery.next().is_some() {}
    }
}

impl FuturesStream for Facet {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let held = Arc::clone(&self.held);
        let mut engine = held.link.engine();
        engine.delivery.is_read = true;
        if let Some(message) = engine.delivery.next() {
            engine.delivery.wake_writer();
            return Poll::Ready(Some(message));
        }
        match &engine.end {
            None => {
                engine.delivery.read_later(cx.waker());
                Poll::Pending
            }
            Some(end) => {
                self.ended = true;
                // What we have closed ourselves is an end.
                let failed =
                    (!engine.closing || end.kind() != ErrorKind::Closed).then(|| end.clone());
                Poll::Ready(failed.map(Err))
            }
        }
    }
}

/// The error of a session that has ended, for who wants to send.
fn over(engine: &Engine) -> Option<Error> {
    engine.open().err()
}

impl Sink<Message> for Facet {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut engine = self.held.link.engine();
        if let Some(error) = over(&engine) {
            return Poll::Ready(Err(error));
        }
        // Answers have a reader from now on.
        engine.delivery.is_read = true;
        if engine.has_room() {
            return Poll::Ready(Ok(()));
        }
        engine.delivery.write_later(cx.waker());
        Poll::Pending
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let usual = self.held.link.endpoint.unit;
        let priority = message.metadata.get(PRIORITY).copied().unwrap_or(0);
        let metadata = message.metadata;
        // What has no metadata was not asked by a master: it names no unit either.
        let unit = match u8::try_from(message.id) {
            Ok(0) if metadata.is_empty() => usual,
            Ok(unit) => unit,
            Err(_) => {
                let text = format!("expected a unit from 0 to 255 as the id, not {}", message.id);
                return Err(Error::new(ErrorKind::Config, text));
            }
        };
        match message.kind {
            WITHDRAW => self.held.link.engine().withdraw(&metadata),
            PDU => {
                if message.payload.is_empty() || message.payload.len() > MAX_PDU {
                    let text = format!(
                        "expected a function and its data of 1 to {MAX_PDU} bytes, not {}",
                        message.payload.len()
                    );
                    return Err(Error::new(ErrorKind::Config, text));
                }
                self.ask(
                    unit,
                    message.payload,
                    Asker::Message { metadata, loopback: false },
                    priority,
                );
            }
            _ => {
                for data in message.payload.chunks(MAX_LOOPBACK) {
                    let asker = Asker::Message { metadata: metadata.clone(), loopback: true };
                    self.ask(unit, loopback(data), asker, priority);
                }
            }
        }
        self.held.link.work.notify_one();
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut engine = self.held.link.engine();
        if engine.delivery.done >= self.last || engine.waiting().0 == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = over(&engine) {
            return Poll::Ready(Err(error));
        }
        engine.delivery.write_later(cx.waker());
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.held.link.engine().end.is_none() {
            std::task::ready!(self.as_mut().poll_flush(cx))?;
        }
        close(&self.held.link);
        let mut engine = self.held.link.engine();
        if engine.end.is_some() {
            return Poll::Ready(Ok(()));
        }
        engine.delivery.write_later(cx.waker());
        Poll::Pending
    }
}
