use super::*;
use jackfield_plugin_api::{Control, Error, ErrorKind, Event, Info};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};

fn member(session: Session) -> Member {
    Member::new(session, &Handle::current(), None)
}

/// Two sessions with a byte stream each, joined in memory.
fn carriers(capacity: usize) -> (Session, Session) {
    let (near, far) = tokio::io::duplex(capacity);
    let session = |io| Session::of_stream(Info::default(), Stream::new(io));
    (session(near), session(far))
}

async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// A session of calls that does as it is told.
struct Scripted {
    ends: Arc<Notify>,
    closes: watch::Sender<Option<String>>,
    answers: bool,
}

impl Scripted {
    fn new() -> Self {
        let (ends, closes) = (Arc::default(), watch::Sender::new(None));
        Scripted { ends, closes, answers: true }
    }
}

impl Control for Scripted {
    async fn ping(&self) -> Result<Duration> {
        let refusal = || Error::new(ErrorKind::Closed, "gone");
        if self.answers { Ok(Duration::ZERO) } else { Err(refusal()) }
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        self.ends.notified().await;
        Ok(Some(Event::new("closed", Value::Null)))
    }

    async fn close(&self, _: u64, reason: String) -> Result<()> {
        self.closes.send_replace(Some(reason));
        Ok(())
    }
}

#[tokio::test]
async fn an_end_that_has_arrived_on_the_stream_is_seen() {
    let (near, far) = carriers(64);
    let member = member(near);
    assert!(member.is_open());
    drop(far);
    assert!(!member.is_open());
    assert!(!member.is_open(), "it stays over");
}

/// Such as a serial line without modem lines.
struct Eventless;

impl Control for Eventless {
    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_stream_is_not_over_because_there_are_no_events() {
    let (near, far) = tokio::io::duplex(64);
    let member = member(
        Session::builder(Eventless).facets(Facets::EVENTS).stream(Stream::new(near)).build(),
    );
    settle().await;
    assert!(member.is_open());
    drop(far);
    assert!(!member.is_open());
}

#[tokio::test]
async fn what_a_peer_sends_first_reaches_the_user_whole() {
    let (near, far) = carriers(64 * 1024);
    let member = member(near);
    let mut far = far.take_stream().unwrap();
    far.write_all(b"220 ready").await.unwrap();
    assert!(member.is_open());
    far.write_all(b" when you are").await.unwrap();
    far.shutdown().await.unwrap();
    assert!(member.is_open(), "there is something to deliver before the end");
    let mut stream = member.give_all().stream.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "220 ready when you are");
    stream.write_all(b"hello").await.unwrap();
    drop(stream);
    let mut back = String::new();
    far.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "hello");
}

#[tokio::test]
async fn little_of_a_peer_that_floods_is_kept() {
    let (near, far) = carriers(1 << 20);
    let member = member(near);
    let mut far = far.take_stream().unwrap();
    far.write_all(&vec![7; 1 << 19]).await.unwrap();
    for _ in 0..100 {
        assert!(member.is_open());
    }
    assert!(member.unused().early.len() <= EARLY);
}

#[tokio::test]
async fn a_stream_is_given_once() {
    let (near, _far) = carriers(64);
    let member = member(near);
    assert!(member.give_all().stream.is_some());
    assert!(member.give_all().stream.is_none());
    assert!(member.is_open(), "its user knows better");
}

#[tokio::test]
async fn a_session_that_says_it_is_closed_is_not_open() {
    let (scripted, facets) = (Scripted::new(), Facets::EVENTS | Facets::OPEN_STREAM);
    let ends = Arc::clone(&scripted.ends);
    let member = member(Session::builder(scripted).facets(facets).build());
    settle().await;
    assert!(member.is_open() && member.opens_streams());
    ends.notify_one();
    settle().await;
    assert!(!member.is_open());
}

#[tokio::test]
async fn a_dropped_member_leaves_no_task_behind() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let member = member(Session::builder(Scripted::new()).facets(Facets::EVENTS).build());
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), before + 1);
    drop(member);
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), before);
}

#[tokio::test]
async fn the_calls_of_a_shared_session_leave_its_data_and_its_end_alone() {
    let (ends, others) = (Facets::EVENTS | Facets::CLOSE_CODE, Facets::CALL | Facets::PING);
    let (scripted, facets) = (Scripted::new(), ends | others);
    let closed = scripted.closes.subscribe();
    let (stream, _far) = tokio::io::duplex(64);
    let session = Session::builder(scripted).facets(facets).stream(Stream::new(stream)).build();
    let member = member(session);
    let shared = crate::session::calls_of(Arc::clone(member.session()));
    assert_eq!(shared.facets(), others);
    assert!(shared.take_stream().is_none());
    shared.ping().await.unwrap();
    shared.close(0, "mine").await.unwrap();
    assert_eq!(*closed.borrow(), None);
    drop(shared);
    assert!(member.give_all().stream.is_some(), "it is still there for who is given all");
}

#[test]
fn another_limit_holds_for_what_comes_and_ends_nothing() {
    let limit = PooledLimit::new(2);
    let (one, two) = (limit.take().expect("a place"), limit.take().expect("a place"));
    assert!(limit.take().is_err());
    limit.set_most(1);
    drop(one);
    let refused = limit.take().expect_err("one is there, which is the limit");
    assert!(refused.to_string().contains("have 1 sessions"), "{refused}");
    drop(two);
    assert!(limit.take().is_ok());
}
