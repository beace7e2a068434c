//! Datagrams: batches with addresses.

use super::{Count, OnDrop, once, panicked};
use crate::op::Transfer;
use crate::{DatagramIo, DatagramMeta, Datagrams, Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::task::{Context, Poll};

fn crossed(io: impl DatagramIo) -> Datagrams {
    // SAFETY: used once.
    unsafe { Datagrams::from_raw(Datagrams::new(io).into_raw()) }
}

type Received = Poll<Result<Option<(&'static [u8], DatagramMeta)>>>;

struct Script {
    give: VecDeque<Received>,
    sent: Vec<(Vec<u8>, DatagramMeta)>,
    panics: bool,
    _dropped: OnDrop,
}

impl Script {
    fn new(give: impl IntoIterator<Item = Received>) -> Self {
        let give = give.into_iter().collect();
        Script { give, sent: Vec::new(), panics: false, _dropped: OnDrop::count(&Count::default()) }
    }
}

impl DatagramIo for Script {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let Some(step) = self.give.pop_front() else {
            assert!(!self.panics, "told to panic");
            return Poll::Ready(Ok(None));
        };
        step.map_ok(|datagram| {
            datagram.map(|(bytes, meta)| {
                buffer[..bytes.len()].copy_from_slice(bytes);
                DatagramMeta { len: bytes.len(), ..meta }
            })
        })
    }

    /// What was sent comes back: a round trip of every field.
    fn poll_send(
        &mut self,
        _: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        assert!(!self.panics, "told to panic");
        if buffer.len() > 4 {
            return Poll::Ready(Err(Error::new(ErrorKind::Limit, "at most 4 bytes")));
        }
        self.sent.push((buffer.to_vec(), *meta));
        let bytes: &'static [u8] = Vec::leak(buffer.to_vec());
        self.give.push_back(Poll::Ready(Ok(Some((bytes, *meta)))));
        Poll::Ready(Ok(()))
    }

    fn max_size(&self) -> usize {
        assert!(!self.panics, "told to panic");
        1200
    }
}

fn give(bytes: &'static [u8]) -> Received {
    Poll::Ready(Ok(Some((bytes, DatagramMeta::default()))))
}

/// Receives into three buffers of eight bytes.
fn receive(datagrams: &mut Datagrams) -> Poll<Result<Vec<Vec<u8>>>> {
    let mut room = [[0; 8]; 3];
    let mut metas = [DatagramMeta::default(); 3];
    let mut buffers: Vec<&mut [u8]> = room.iter_mut().map(<[u8; 8]>::as_mut_slice).collect();
    let count = once(|cx| datagrams.poll_recv(cx, &mut buffers, &mut metas));
    count.map_ok(|count| {
        let filled = room.iter().zip(&metas).take(count);
        filled.map(|(bytes, meta)| bytes[..meta.len].to_vec()).collect()
    })
}

#[tokio::test]
async fn every_fact_of_a_datagram_passes_both_ways() {
    let mut datagrams = crossed(Script::new([]));
    let metas = [
        DatagramMeta::default(),
        DatagramMeta {
            peer: Some("192.0.2.1:5353".parse().unwrap()),
            local: Some("198.51.100.7:9".parse().unwrap()),
            segment: 1200,
            ecn: 0b10,
            ..DatagramMeta::default()
        },
        DatagramMeta {
            peer: Some("[2001:db8::1]:161".parse().unwrap()),
            local: Some("[fe80::1%7]:162".parse().unwrap()),
            ..DatagramMeta::default()
        },
    ];
    for meta in metas {
        datagrams.send(b"ping", meta).await.unwrap();
        let mut buffer = [0; 8];
        let got = datagrams.recv(&mut buffer).await.unwrap().expect("a datagram");
        assert_eq!((got, &buffer[..4]), (DatagramMeta { len: 4, ..meta }, &b"ping"[..]));
    }
    assert_eq!(datagrams.max_size(), 1200);
    datagrams.send(b"", DatagramMeta::default()).await.unwrap();
    assert_eq!(datagrams.recv(&mut [0; 8]).await.unwrap().map(|meta| meta.len), Some(0));
    assert_eq!(datagrams.recv(&mut [0; 8]).await.unwrap(), None);
}

#[test]
fn as_many_as_are_there_and_fit_arrive_at_once() {
    let steps = [give(b"1"), give(b""), Poll::Pending, give(b"3"), give(b"4"), give(b"5")];
    let mut datagrams = crossed(Script::new(steps));
    let got = |datagrams: &mut Datagrams| receive(datagrams).map(Result::unwrap);
    assert_eq!(got(&mut datagrams), Poll::Ready(vec![b"1".to_vec(), Vec::new()]));
    let rest = vec![b"3".to_vec(), b"4".to_vec(), b"5".to_vec()];
    assert_eq!(got(&mut datagrams), Poll::Ready(rest));
    assert_eq!(got(&mut datagrams), Poll::Ready(Vec::new()), "the end");
}

#[test]
fn a_failure_behind_datagrams_is_told_after_them_and_ends_nothing() {
    let failure = Poll::Ready(Err(Error::new(ErrorKind::Unreachable, "port unreachable")));
    let mut datagrams = crossed(Script::new([give(b"1"), failure, give(b"2")]));
    assert_eq!(receive(&mut datagrams), Poll::Ready(Ok(vec![b"1".to_vec()])));
    let Poll::Ready(Err(error)) = receive(&mut datagrams) else { panic!("no failure") };
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(receive(&mut datagrams), Poll::Ready(Ok(vec![b"2".to_vec()])));
}

#[tokio::test]
async fn a_datagram_too_large_is_refused_and_the_next_is_not() {
    let mut datagrams = crossed(Script::new([]));
    let error = datagrams.send(b"too large", DatagramMeta::default()).await;
    assert_eq!(error.expect_err("a limit").kind(), ErrorKind::Limit);
    datagrams.send(b"fits", DatagramMeta::default()).await.unwrap();
}

#[tokio::test]
async fn a_panic_becomes_an_error_wherever_it_happens() {
    let dropped = Count::default();
    let script = Script {
        panics: true,
        _dropped: OnDrop::panic(&dropped),
        ..Script::new([give(b"1"), Poll::Pending])
    };
    let mut datagrams = crossed(script);
    assert_eq!(receive(&mut datagrams), Poll::Ready(Ok(vec![b"1".to_vec()])));
    panicked(datagrams.recv(&mut [0; 8]).await);
    panicked(datagrams.send(b"x", DatagramMeta::default()).await);
    assert_eq!(datagrams.max_size(), 0);
    drop(datagrams);
    assert_eq!(dropped.get(), 1);
}
