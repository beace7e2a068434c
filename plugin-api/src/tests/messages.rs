//! Messages: batches, and what a failure leaves behind.

use super::{Count, OnDrop, once, panicked};
use crate::op::Transfer;
use crate::{Error, ErrorKind, Message, MessageKind, Messages, Result};
use bytes::Bytes;
use futures_core::Stream as FuturesStream;
use futures_sink::Sink;
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

fn crossed(messages: Messages) -> Messages {
    // SAFETY: used once.
    unsafe { Messages::from_raw(messages.into_raw()) }
}

fn number(number: u8) -> Message {
    Message::binary(vec![number])
}

/// What happens at one step of a script.
enum Step {
    Give(Message),
    Fail(&'static str),
    Panic,
    Wait,
}

use Step::{Fail, Give, Wait};

/// Plays one script for receiving and one for sending. Receiving after its end is a mistake.
#[derive(Default)]
struct Script {
    give: VecDeque<Step>,
    ended: bool,
    asked: Count,
    /// For each message to send: `Give` takes it.
    take: VecDeque<Step>,
    sent: Arc<Mutex<Vec<Message>>>,
    _dropped: Option<OnDrop>,
}

impl FuturesStream for Script {
    type Item = Result<Message>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        assert!(!self.ended, "told to panic when asked after the end");
        self.asked.add();
        match self.give.pop_front() {
            Some(Give(message)) => Poll::Ready(Some(Ok(message))),
            Some(Fail(why)) => Poll::Ready(Some(Err(Error::new(ErrorKind::Limit, why)))),
            Some(Step::Panic) => panic!("told to panic"),
            Some(Wait) => Poll::Pending,
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl Sink<Message> for Script {
    type Error = Error;
    fn poll_ready(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.take.front() {
            Some(Wait) => {
                self.take.pop_front();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        match self.take.pop_front() {
            Some(Fail(why)) => Err(Error::new(ErrorKind::Limit, why)),
            Some(Step::Panic) => panic!("told to panic"),
            _ => {
                self.sent.lock().unwrap().push(message);
                Ok(())
            }
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn giving(steps: impl IntoIterator<Item = Step>) -> Messages {
    crossed(Messages::new(Script { give: steps.into_iter().collect(), ..Script::default() }))
}

/// Messages to send by a script, and what has been sent.
fn taking(steps: impl IntoIterator<Item = Step>) -> (Messages, Arc<Mutex<Vec<Message>>>) {
    let sent = Arc::default();
    let take = steps.into_iter().collect();
    let script = Script { take, sent: Arc::clone(&sent), ..Script::default() };
    (crossed(Messages::new(script)), sent)
}

fn gives(count: u8) -> impl Iterator<Item = Step> {
    (0..count).map(|each| Give(number(each)))
}

async fn numbers(messages: &mut Messages, count: usize) -> Vec<u8> {
    let got: Vec<_> = messages.take(count).collect().await;
    got.into_iter().map(|message| message.expect("a message").payload[0]).collect()
}

#[tokio::test]
async fn every_part_of_a_message_arrives() {
    let full = Message {
        kind: MessageKind(77),
        id: u64::MAX,
        payload: Bytes::from_static(b"payload"),
        metadata: Bytes::from_static(b"{\"topic\":\"a\"}"),
    };
    let empty = Message::text("");
    let (mut messages, sent) = taking([]);
    for message in [&full, &empty] {
        messages.send(message.clone()).await.unwrap();
    }
    assert_eq!(*sent.lock().unwrap(), [full.clone(), empty.clone()]);
    let mut messages = giving([Give(full.clone()), Give(empty.clone())]);
    assert_eq!(messages.next().await, Some(Ok(full)));
    assert_eq!(messages.next().await, Some(Ok(empty)));
    assert_eq!(messages.next().await, None);
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn sixteen_cross_at_a_time() {
    let asked = Count::default();
    let script = Script { give: gives(40).collect(), asked: asked.clone(), ..Script::default() };
    let mut messages = crossed(Messages::new(script));
    let mut crossings = Vec::new();
    for each in 0..40 {
        assert_eq!(numbers(&mut messages, 1).await, [each]);
        if crossings.last() != Some(&asked.get()) {
            crossings.push(asked.get());
        }
    }
    // The last one asks for the end too, and is not asked again.
    assert_eq!(crossings, [16, 32, 41]);
    assert_eq!(messages.next().await, None);
    assert_eq!(asked.get(), 41);
}

#[tokio::test]
async fn what_arrived_before_a_pause_does_not_wait_for_what_comes_after() {
    let steps = gives(3).chain([Wait]).chain(gives(2));
    let mut messages = giving(steps);
    assert_eq!(numbers(&mut messages, 3).await, [0, 1, 2]);
    assert_eq!(numbers(&mut messages, 2).await, [0, 1]);
}

#[tokio::test]
async fn what_arrived_before_a_failure_is_delivered_before_it() {
    let mut messages = giving(gives(3).chain([Fail("too large")]));
    assert_eq!(numbers(&mut messages, 3).await, [0, 1, 2]);
    let error = messages.next().await.expect("an error").expect_err("an error");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, "too large"));
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn what_arrived_before_a_panic_is_delivered_before_it() {
    let mut messages = giving(gives(3).chain([Step::Panic]));
    assert_eq!(numbers(&mut messages, 3).await, [0, 1, 2]);
    panicked(messages.next().await.expect("an error"));
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn a_stream_is_not_asked_again_after_its_end() {
    let mut messages = giving(gives(3));
    let all: Vec<_> = (&mut messages).collect().await;
    assert_eq!(all.len(), 3);
    assert!(all.into_iter().all(|message| message.is_ok()));
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn a_sink_that_pauses_gets_each_message_once_and_in_order() {
    // Takes three, pauses, takes one, pauses, takes the rest.
    let steps = gives(3).chain([Wait]).chain(gives(1)).chain([Wait]);
    let (mut messages, sent) = taking(steps);
    for each in 0..10 {
        messages.feed(number(each)).await.unwrap();
    }
    let mut polls = 0;
    while once(|cx| Pin::new(&mut messages).poll_flush(cx)).map(Result::unwrap).is_pending() {
        polls += 1;
        assert!(polls < 10, "it never takes the rest");
    }
    assert_eq!(*sent.lock().unwrap(), (0..10).map(number).collect::<Vec<_>>());
}

#[tokio::test]
async fn more_than_a_batch_is_sent_as_it_is_fed() {
    let (mut messages, sent) = taking([]);
    for each in 0..100 {
        messages.feed(number(each)).await.unwrap();
        assert!(usize::from(each) < sent.lock().unwrap().len() + 16, "{each}: held back");
    }
    messages.close().await.unwrap();
    assert_eq!(*sent.lock().unwrap(), (0..100).map(number).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_failure_of_sending_nothing_is_sent_twice_or_emptied() {
    let failures: [fn() -> Step; 2] = [|| Fail("too large"), || Step::Panic];
    for (failure, kind) in failures.into_iter().zip([ErrorKind::Limit, ErrorKind::Panicked]) {
        let (mut messages, sent) = taking(gives(4).chain([failure()]));
        for each in 0..8 {
            messages.feed(number(each)).await.unwrap();
        }
        let error = messages.flush().await.expect_err("the fifth fails");
        assert_eq!(error.kind(), kind);
        assert_eq!(*sent.lock().unwrap(), (0..4).map(number).collect::<Vec<_>>());
        // What waited behind it is dropped, not sent out of order.
        messages.flush().await.unwrap();
        assert_eq!(sent.lock().unwrap().len(), 4);
        messages.send(number(9)).await.unwrap();
        assert_eq!(sent.lock().unwrap().last(), Some(&number(9)));
    }
}

#[tokio::test]
async fn what_waits_on_this_side_goes_along_to_the_other() {
    let mut messages = giving(gives(3));
    assert_eq!(numbers(&mut messages, 1).await, [0]);
    let mut messages = crossed(messages);
    assert_eq!(numbers(&mut messages, 2).await, [1, 2]);
    assert_eq!(crossed(messages).next().await, None);

    let (mut messages, sent) = taking([]);
    messages.feed(number(1)).await.unwrap();
    crossed(messages).flush().await.unwrap();
    assert_eq!(*sent.lock().unwrap(), [number(1)]);
}

struct Owned(OnDrop);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        let _ = &self.0;
        b"owned"
    }
}

#[tokio::test]
async fn bytes_are_not_copied_and_are_freed_once_wherever_they_are() {
    let freed = Count::default();
    let message = || Message::binary(Bytes::from_owner(Owned(OnDrop::count(&freed))));
    let mut messages = giving([Give(message()), Give(message()), Give(message())]);
    let first = messages.next().await.unwrap().unwrap();
    assert_eq!((first.payload.as_ref(), freed.get()), (&b"owned"[..], 0));
    drop(first);
    assert_eq!(freed.get(), 1);
    // One waits on this side, one may wait on the other.
    drop(messages);
    assert_eq!(freed.get(), 3);

    let (mut messages, sent) = taking([Fail("first"), Wait]);
    messages.feed(message()).await.unwrap();
    messages.flush().await.expect_err("a failure");
    assert_eq!(freed.get(), 4);
    messages.feed(message()).await.unwrap();
    assert!(once(|cx| Pin::new(&mut messages).poll_flush(cx)).is_pending());
    drop(messages);
    assert_eq!((freed.get(), sent.lock().unwrap().len()), (5, 0));
}

#[tokio::test]
async fn bytes_that_panic_when_they_are_freed_do_so_on_their_own_side() {
    let freed = Count::default();
    let bytes = Bytes::from_owner(Owned(OnDrop::panic(&freed)));
    let mut messages = giving([Give(Message::binary(bytes))]);
    drop(messages.next().await);
    assert_eq!(freed.get(), 1);
}

#[test]
fn a_panic_when_dropped_ends_there() {
    let dropped = Count::default();
    let script = Script { _dropped: Some(OnDrop::panic(&dropped)), ..Script::default() };
    drop(crossed(Messages::new(script)));
    assert_eq!(dropped.get(), 1);
}
