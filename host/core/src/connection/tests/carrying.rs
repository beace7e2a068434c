//! What passes over sessions that a connection carries counts as its own.

use super::*;
use crate::connection::carried::carried;
use crate::relay::{Totals, Traffic};
use jackfield_plugin_api::{
    Answer, Body, Control, DatagramIo, DatagramMeta, Datagrams, Envelope, Exchange, Exchanger,
    Facets, HeaderBlock, Incoming, Info, Result, Session,
};
use std::sync::Mutex;
use std::task::{Context, Poll};

/// Gives one datagram, and takes any.
struct Packets(bool);

impl DatagramIo for Packets {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Ok(None));
        }
        buffer[..6].copy_from_slice(b"abcdef");
        let mut meta = DatagramMeta::new(6, None);
        // Three that came as one piece.
        meta.segment = 2;
        Poll::Ready(Ok(Some(meta)))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8], _: &DatagramMeta) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn max_size(&self) -> usize {
        1200
    }
}

/// Answers each request with its content twice, and asks once.
struct Twice;

fn envelope(content: &'static str) -> Envelope {
    Envelope::new(HeaderBlock::default(), Body::full(content))
}

impl Exchanger for Twice {
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        let content = request.body.whole(100).await?;
        let twice = [&content[..], &content[..]].concat();
        Ok(Envelope::new(HeaderBlock::default(), Body::full(twice)))
    }

    async fn accept(&self) -> Result<Option<Incoming>> {
        let answer =
            Answer::new(
                |response: Envelope| async move { response.body.whole(100).await.map(drop) },
            );
        Ok(Some(Incoming::new(envelope("four"), answer)))
    }
}

struct Inner;

impl Control for Inner {
    fn info(&self) -> Info {
        Info::default()
    }
}

fn figures(totals: &Totals) -> [u64; 4] {
    [totals.bytes_to_b(), totals.messages_to_b(), totals.bytes_to_a(), totals.messages_to_a()]
}

#[tokio::test]
async fn datagrams_count_one_by_one() {
    let totals = Arc::new(Totals::default());
    let builder = Session::builder(Inner).facets(Facets::DATAGRAMS);
    let session = carried(builder.datagrams(Datagrams::new(Packets(false))).build(), &totals);
    let mut datagrams = session.take_datagrams().unwrap();
    assert_eq!(datagrams.max_size(), 1200);
    datagrams.send(b"hello", DatagramMeta::new(5, None)).await.unwrap();
    let mut buffer = [0; 64];
    let meta = datagrams.recv(&mut buffer).await.unwrap().unwrap();
    assert_eq!((&buffer[..meta.len], meta.segment), (&b"abcdef"[..], 2));
    assert_eq!(datagrams.recv(&mut buffer).await.unwrap(), None);
    assert_eq!(figures(&totals), [6, 3, 5, 1]);
}

#[tokio::test]
async fn requests_and_answers_count_with_their_content_in_both_roles() {
    let totals = Arc::new(Totals::default());
    let builder = Session::builder(Inner).facets(Facets::EXCHANGE);
    let session = carried(builder.exchange(Exchange::new(Twice)).build(), &totals);
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    totals.set_hook(move |traffic| into.lock().unwrap().push(traffic));
    let exchange = session.take_exchange().unwrap();
    let answer = exchange.send(envelope("abc")).await.unwrap();
    assert_eq!(answer.body.whole(100).await.unwrap(), "abcabc");
    assert_eq!(figures(&totals), [6, 1, 3, 1], "as a client");
    let Incoming { request, answer, .. } = exchange.accept().await.unwrap().unwrap();
    assert_eq!(request.body.whole(100).await.unwrap(), "four");
    answer.send(envelope("eleven chars")).await.unwrap();
    assert_eq!(figures(&totals), [6 + 4, 2, 3 + 12, 2], "as a server");
    let received = |bytes, messages| Traffic { is_received: true, bytes, messages };
    let sent = |bytes, messages| Traffic { is_received: false, bytes, messages };
    let client = [sent(0, 1), sent(3, 0), received(0, 1), received(6, 0)];
    let server = [received(0, 1), received(4, 0), sent(0, 1), sent(12, 0)];
    assert_eq!(*told.lock().unwrap(), [client, server].concat());
}

/// Opens streams that say hello, and keeps their far ends.
struct Opens(Mutex<Vec<tokio::io::DuplexStream>>);

impl Control for Opens {
    fn info(&self) -> Info {
        Info::default()
    }

    async fn open_stream(&self, _: serde_json::Value) -> Result<Session> {
        let (near, mut far) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"hello").await?;
        self.0.lock().unwrap().push(far);
        Ok(Session::of_stream(Info::new(), jackfield_plugin_api::Stream::new(near)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_told_the_bytes_of_posts_and_of_opened_streams_until_it_panics() {
    let source = |_| async {
        let opens = Session::builder(Opens(Mutex::default()));
        Ok(opens.facets(Facets::OPEN_STREAM).build())
    };
    let target = Arc::new(Target::new(Stack::of_source("opens:", source), None));
    let live = connected(&Managed::new("opens", target, Policy::default())).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    live.on_traffic(move |traffic| {
        into.lock().unwrap().push((traffic.is_received, traffic.bytes));
        assert!(traffic.is_received, "a hook's own mistake");
    });
    let opened = live.open_stream(&serde_json::json!({}), SOON).await.unwrap();
    let mut stream = opened.take_stream().unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 5]).await.unwrap();
    for _ in 0..2 {
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"bye").await.unwrap();
    }
    assert_eq!(*told.lock().unwrap(), [(true, 5), (false, 3)]);
    assert_eq!(live.info().bytes_out, 6, "it counts on");
}
