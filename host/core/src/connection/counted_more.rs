//! A session's datagrams and requests, counted as they pass.

use super::counted::{CountedMessages, CountedStream};
use crate::lock::IgnorePoison;
use crate::relay::{Side, Totals};
use crate::session::{DataParts, guarded};
use futures_util::StreamExt;
use jackfield_plugin_api::{
    Answer, Body, BodyPart, DatagramIo, DatagramMeta, Datagrams, Envelope, Exchange, Exchanger,
    Incoming, Messages, Result, Session, Stream,
};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

/// The datagrams of a connection's session, each counted as a message.
pub(super) struct CountedDatagrams {
    /// Asked for its size through a shared reference.
    inner: Mutex<Datagrams>,
    traffic: Arc<Totals>,
}

/// The requests of a connection's session: their content and that of the answers, each answer and each request
/// a message.
pub(super) struct CountedExchange {
    inner: Exchange,
    traffic: Arc<Totals>,
}

impl CountedDatagrams {
    pub(super) fn new(inner: Datagrams, traffic: Arc<Totals>) -> Self {
        CountedDatagrams { inner: Mutex::new(inner), traffic }
    }

    fn inner(&mut self) -> &mut Datagrams {
        self.inner.get_mut().ignore_poison()
    }
}

/// How many datagrams a buffer holds.
fn pieces(meta: &DatagramMeta) -> u64 {
    match usize::try_from(meta.segment) {
        Ok(segment) if segment > 0 => meta.len.div_ceil(segment) as u64,
        _ => 1,
    }
}

impl DatagramIo for CountedDatagrams {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let mut meta = [DatagramMeta::default()];
        let count = ready!(self.inner().poll_recv(cx, &mut [buffer], &mut meta))?;
        let [meta] = meta;
        if count == 0 {
            return Poll::Ready(Ok(None));
        }
        self.traffic.received(meta.len, pieces(&meta));
        Poll::Ready(Ok(Some(meta)))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let length = meta.len.min(buffer.len());
        ready!(self.inner().poll_send(cx, &buffer[..length], meta))?;
        self.traffic.sent(length, pieces(meta));
        Poll::Ready(Ok(()))
    }

    fn max_size(&self) -> usize {
        self.inner.lock().ignore_poison().max_size()
    }
}

impl CountedExchange {
    pub(super) fn new(inner: Exchange, traffic: Arc<Totals>) -> Self {
        CountedExchange { inner, traffic }
    }
}

impl Exchanger for CountedExchange {
    async fn send(&self, mut request: Envelope) -> Result<Envelope> {
        request.body = counted(request.body, &self.traffic, Side::A);
        self.traffic.sent(0, 1);
        let mut response = self.inner.send(request).await?;
        self.traffic.received(0, 1);
        response.body = counted(response.body, &self.traffic, Side::B);
        Ok(response)
    }

    async fn accept(&self) -> Result<Option<Incoming>> {
        let Some(incoming) = self.inner.accept().await? else { return Ok(None) };
        let Incoming { mut request, answer, .. } = incoming;
        self.traffic.received(0, 1);
        request.body = counted(request.body, &self.traffic, Side::B);
        let traffic = Arc::clone(&self.traffic);
        let answer = Answer::new(move |mut response: Envelope| {
            response.body = counted(response.body, &traffic, Side::A);
            traffic.sent(0, 1);
            answer.send(response)
        });
        Ok(Some(Incoming::new(request, answer)))
    }
}

/// A session whose data counts as it passes.
pub(crate) fn counted_session(session: Session, traffic: &Arc<Totals>) -> Session {
    let totals = || Arc::clone(traffic);
    let parts = DataParts {
        stream: session.take_stream().map(|it| Stream::new(CountedStream::new(it, totals()))),
        messages: session
            .take_messages()
            .map(|it| Messages::new(CountedMessages::new(it, totals()))),
        datagrams: session
            .take_datagrams()
            .map(|it| Datagrams::new(CountedDatagrams::new(it, totals()))),
        exchange: session
            .take_exchange()
            .map(|it| Exchange::new(CountedExchange::new(it, totals()))),
    };
    guarded(Arc::new(session), parts, ())
}

/// Content that counts as it passes to the peer, side A, or from it.
pub(crate) fn counted(body: Body, traffic: &Arc<Totals>, to: Side) -> Body {
    if body.is_empty() {
        return body;
    }
    let traffic = Arc::clone(traffic);
    Body::new(body.inspect(move |part| {
        if let Ok(BodyPart::Data(bytes)) = part {
            match to {
                Side::A => traffic.sent(bytes.len(), 0),
                Side::B => traffic.received(bytes.len(), 0),
            }
        }
    }))
}
