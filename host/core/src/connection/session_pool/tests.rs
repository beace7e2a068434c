use super::*;
use crate::stack::Stack;
use futures_util::FutureExt;
use jackfield_plugin_api::{
    Answer, Body, Control, Envelope, Exchange, Exchanger, HeaderBlock, Incoming, Info, Session,
    Stream,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Semaphore;

/// What a scripted peer counts, and when it lets go.
struct Peer {
    opened: AtomicUsize,
    streams: AtomicUsize,
    /// One permit for each stream that the peer closes too.
    closes: Semaphore,
}

impl Peer {
    fn new() -> Arc<Self> {
        let (opened, streams) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Peer { opened, streams, closes: Semaphore::new(0) })
    }
}

/// Answers each request at once.
struct Answers;

impl Exchanger for Answers {
    async fn send(&self, _: Envelope) -> Result<Envelope> {
        Ok(Envelope::new(HeaderBlock::new([(":status", "200")])?, Body::empty()))
    }
    async fn accept(&self) -> Result<Option<Incoming>> {
        std::future::pending().await
    }
}

/// A session whose streams end when the peer has closed them.
struct Streams(Arc<Peer>);

struct OneStream(Arc<Peer>);

impl Control for Streams {
    async fn open_stream(&self, _: Value) -> Result<Session> {
        self.0.streams.fetch_add(1, SeqCst);
        let (stream, _far) = tokio::io::duplex(8);
        let one = OneStream(Arc::clone(&self.0));
        Ok(Session::builder(one).stream(Stream::new(stream)).build())
    }
}

impl Control for OneStream {
    async fn close(&self, _: u64, _: String) -> Result<()> {
        self.0.closes.acquire().await.unwrap().forget();
        Ok(())
    }
}

fn target(peer: &Arc<Peer>, session: fn(&Arc<Peer>) -> Session) -> Arc<Target> {
    let peer = Arc::clone(peer);
    Arc::new(Target::new(
        Stack::of_source("test:", move |_| {
            peer.opened.fetch_add(1, SeqCst);
            let session = session(&peer);
            async move { Ok(session) }
        }),
        None,
    ))
}

fn web(_: &Arc<Peer>) -> Session {
    Session::builder(Info::default()).exchange(Exchange::new(Answers)).build()
}

/// A place for interim responses, of which there are none.
fn nobody() -> Answer {
    Answer::new(|_| async { Ok(()) })
}

fn streams(peer: &Arc<Peer>) -> Session {
    Session::builder(Streams(Arc::clone(peer))).facets(Facets::OPEN_STREAM).build()
}

const LIMIT: Duration = Duration::from_secs(10);

fn request() -> Envelope {
    Envelope::new(HeaderBlock::new([(":method", "GET")]).unwrap(), Body::empty())
}

const ANY: Purpose = Purpose::Request { rested: Duration::MAX };

#[tokio::test(start_paused = true)]
async fn requests_share_the_places_of_a_pool_and_wait_their_turn() {
    let peer = Peer::new();
    let target = target(&peer, web);
    let options = PoolOptions { max_size: 2, ..PoolOptions::default() };
    let pool = Arc::new(SessionPool::of_all(&target, options, LIMIT, None).unwrap());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (pool, target) = (Arc::clone(&pool), Arc::clone(&target));
        asking.spawn(async move {
            let session = pool.checkout(&target, ANY, true, LIMIT).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            session.send(request(), nobody()).unwrap().await.unwrap();
            session.answered();
        });
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    assert_eq!(peer.opened.load(SeqCst), 2);
    assert_eq!(pool.stats().unwrap().totals.opened, 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_an_answer_is_for_nobody_else() {
    let peer = Peer::new();
    let target = target(&peer, web);
    let pool = SessionPool::between_requests(KeepAlive::default(), Some(LIMIT));
    for (answered, opened) in [(true, 1), (false, 1), (true, 2), (true, 2)] {
        let session = pool.checkout(&target, ANY, true, LIMIT).await.unwrap();
        session.send(request(), nobody()).unwrap().await.unwrap();
        if answered {
            session.answered();
        }
        assert_eq!(peer.opened.load(SeqCst), opened);
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_asked_twice_has_a_session_used_a_moment_ago_or_a_new_one() {
    let peer = Peer::new();
    let target = target(&peer, web);
    let pool = SessionPool::between_requests(KeepAlive::default(), Some(LIMIT));
    let once = Purpose::Request { rested: Duration::from_secs(1) };
    for (waited, reused, opened) in [(0, false, 1), (0, true, 1), (2, false, 2), (0, true, 2)] {
        tokio::time::sleep(Duration::from_secs(waited)).await;
        let session = pool.checkout(&target, once, true, LIMIT).await.unwrap();
        assert_eq!((session.is_reused(), peer.opened.load(SeqCst)), (reused, opened));
        session.answered();
    }
}

#[tokio::test(start_paused = true)]
async fn only_requests_have_sessions_of_a_pool_that_is_for_requests() {
    let peer = Peer::new();
    let target = target(&peer, web);
    let pool = SessionPool::between_requests(KeepAlive::default(), Some(LIMIT));
    for purpose in [Purpose::Data, Purpose::Calls] {
        let session = pool.checkout(&target, purpose, true, LIMIT).await.unwrap();
        assert!(!session.is_pooled());
    }
    assert!(pool.stats().is_none());
    assert_eq!(peer.opened.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_when_the_peer_has_closed_the_stream_too() {
    let peer = Peer::new();
    let target = target(&peer, streams);
    let options = PoolOptions { max_size: 1, ..PoolOptions::default() };
    let pool = SessionPool::of_all(&target, options, LIMIT, None).unwrap();
    let first = pool.checkout(&target, Purpose::Data, true, LIMIT).await.unwrap();
    drop(first);
    let next = pool.checkout(&target, Purpose::Data, true, LIMIT);
    tokio::pin!(next);
    for _ in 0..64 {
        assert!(next.as_mut().now_or_never().is_none(), "the peer has not closed it");
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.streams.load(SeqCst), 1);
    peer.closes.add_permits(1);
    drop(next.await.unwrap());
    assert_eq!((peer.opened.load(SeqCst), peer.streams.load(SeqCst)), (1, 2));
    // A peer that does not close it has so much time.
    let begun = Instant::now();
    drop(pool.checkout(&target, Purpose::Data, true, LIMIT).await.unwrap());
    assert_eq!(begun.elapsed(), crate::session::POLITE_CLOSE);
}

#[test]
fn a_full_pool_does_not_speak_against_its_target() {
    let late = |in_use, opening| AcquireError::TimedOut {
        waited: Duration::from_secs(1),
        in_use,
        opening,
        waiting: 3,
        max_size: 2,
    };
    let full = AcquireError::TooManyWaiters { waiting: 1, in_use: 2, max_size: 2 };
    for error in [late(2, 0), full, AcquireError::Closed] {
        assert!(matches!(not_acquired(error), OpenError::Busy(_)));
    }
    let refused = Error::new(ErrorKind::Unreachable, "refused");
    // There was room, but nothing could be opened in that time.
    for error in [late(1, 1), late(0, 2), AcquireError::Open(refused)] {
        assert!(matches!(not_acquired(error), OpenError::Failed(_)));
    }
}
