//! The message facet of a master's session: its requests out, answers in.

use crate::pdu::exception;
use crate::server::{Serving, close};
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, ErrorKind, Message, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The messages of a master's session.
pub(crate) struct ServerFacet {
    serving: Arc<Serving>,
    ended: bool,
}

impl ServerFacet {
    pub(crate) fn new(serving: Arc<Serving>) -> Self {
        ServerFacet { serving, ended: false }
    }
}

impl FuturesStream for ServerFacet {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let serving = Arc::clone(&self.serving);
        let mut requests = serving.master.requests();
        if let Some(message) = requests.next() {
            drop(requests);
            serving.master.work.notify_one();
            return Poll::Ready(Some(Ok(message)));
        }
        match &requests.end {
            None => {
                requests.read_later(cx.waker());
                Poll::Pending
            }
            Some(end) => {
                self.ended = true;
                // A master ends by ending its connection.
                let failed = (end.kind() != ErrorKind::Closed).then(|| end.clone());
                Poll::Ready(failed.map(Err))
            }
        }
    }
}

impl Sink<Message> for ServerFacet {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut requests = self.serving.master.requests();
        if let Some(end) = &requests.end {
            return Poll::Ready(Err(end.clone()));
        }
        if requests.takes_answers() {
            return Poll::Ready(Ok(()));
        }
        requests.write_later(cx.waker());
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.serving.master.requests().answer(&message);
        self.serving.master.work.notify_one();
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut requests = self.serving.master.requests();
        if requests.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &requests.end {
            return Poll::Ready(Err(end.clone()));
        }
        requests.write_later(cx.waker());
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        close(&self.serving.master, exception::NO_PATH);
        let mut requests = self.serving.master.requests();
        if requests.end.is_some() {
            return Poll::Ready(Ok(()));
        }
        requests.write_later(cx.waker());
        Poll::Pending
    }
}
