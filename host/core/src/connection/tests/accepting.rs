//! Accepted connections: in one table with those that are dialled, and the same kind of thing.

use super::*;
use crate::connection::{AcceptOptions, Acceptance, ConnectionCommand, Lasting, Lives, attend};
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn acceptance(lives: &Arc<Lives>, is_routed: bool) -> Acceptance {
    let nobody = |_| std::future::ready(Err(Error::new(ErrorKind::Unreachable, "nobody there")));
    let target = Arc::new(Target::new(Stack::of_source("tcp:", nobody), None));
    let options = AcceptOptions {
        listener: "tcp://:1".into(),
        to: "handlers.echo".into(),
        is_routed,
        policy: Policy::default(),
        labels: [("site".to_owned(), "north".to_owned())].into(),
    };
    Acceptance::new(options, target, Arc::clone(lives))
}

#[tokio::test]
async fn one_table_has_accepted_and_dialled_ones_with_one_limit_and_never_reuses_an_id() {
    let lives = Lives::new(2);
    let acceptance = acceptance(&lives, true);
    let first = acceptance.enter(Info::new().peer("peer").encrypted()).unwrap();
    let peer = Peer::new();
    let managed =
        Managed::counted("lab", target(&peer), Policy::default(), [].into(), Arc::clone(&lives));
    let dialled = managed.connect(SOON).await.unwrap();
    let refused = acceptance.enter(Info::new()).map(|entered| entered.id);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(lives.all().iter().map(|live| live.id).collect::<Vec<_>>(), [first.id, dialled.id]);
    let flags = first.info().flags;
    assert!(flags.is_encrypted && flags.is_connecting && !flags.is_client, "{flags:?}");
    assert!(dialled.info().flags.is_client);
    let first_id = first.id;
    drop(first);
    let third = acceptance.enter(Info::new()).unwrap();
    assert!(third.id > first_id && third.id > dialled.id);
    let count = lives.count();
    assert_eq!((count.now, count.accepted, count.total, count.accepted_total), (2, 1, 3, 2));
    assert!(lives.get(first_id).is_none());
}

/// With `JACKFIELD_ACCEPTED` as many as that says.
#[tokio::test]
async fn what_has_ended_leaves_nothing_behind_however_many_there_were() {
    let many = std::env::var("JACKFIELD_ACCEPTED").ok().and_then(|many| many.parse().ok());
    let many: u64 = many.unwrap_or(20_000);
    let lives = Lives::new(10);
    let acceptance = acceptance(&lives, true);
    for number in 0..many {
        let entered = acceptance.enter(Info::new().peer("peer")).unwrap();
        entered.joined();
        // Some are looked at, and told to end.
        if number % 100 == 0 {
            entered.live().abort("enough");
        }
        entered.served(Ok("done".to_owned()));
    }
    let count = lives.count();
    assert_eq!((count.now, count.most, count.total), (0, 1, many));
    assert!(lives.all().is_empty());
    lives.served(many).await;
}

#[tokio::test]
async fn one_that_is_only_relayed_stays_small_whoever_lists_it() {
    let lives = Lives::new(10);
    let host = crate::events::Bus::lasting();
    lives.tell(host.clone());
    let acceptance = acceptance(&lives, true);
    let events = host.subscribe(16);
    let entered = acceptance.enter(Info::new().peer("127.0.0.1:7").identity("CN=me")).unwrap();
    entered.joined();
    let info = entered.live().info();
    assert_eq!(
        (info.listener.as_deref(), info.to.as_deref()),
        (Some("tcp://:1"), Some("handlers.echo"))
    );
    assert_eq!(
        (info.peer.unwrap().socket().unwrap().port(), info.identity.as_deref()),
        (7, Some("CN=me"))
    );
    assert!(entered.live().snapshot().steps.is_empty() && !entered.live().is_closing());
    let live = Arc::clone(entered.live());
    drop(entered);
    assert!(live.machinery.get().is_none(), "it has what only a program needs");
    assert!(size_of::<Live>() <= 200, "{} bytes", size_of::<Live>());
    drop((live, host, acceptance, lives));
    let told: Vec<_> = all(events).await.iter().map(EventKind::name).collect();
    assert_eq!(told, ["accepted", "connected", "closed"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_one_that_is_served_elsewhere_sees_its_steps() {
    let lives = Lives::new(10);
    let entered = acceptance(&lives, false).enter(Info::new()).unwrap();
    let live = lives.get(entered.id).unwrap();
    let mut events = live.events.subscribe(16);
    entered.joined();
    assert_eq!(events.next().await.unwrap().kind, EventKind::Connected { peer: None });
    let closing = {
        let live = Arc::clone(&live);
        tokio::spawn(async move { live.close(3, "go").await })
    };
    let command = entered.told(&ConnectionCommand::Run).await;
    assert_eq!(command, ConnectionCommand::Close { code: 3, reason: "go".to_owned() });
    assert!(live.is_closing() && live.flags().is_closing);
    entered.ended(&command);
    closing.await.unwrap();
    live.close(0, "again").await;
    assert_eq!(live.post("late").unwrap_err().kind(), ErrorKind::Closed);
    // Who comes after the end does not wait for it.
    let late = acceptance(&lives, false).enter(Info::new()).unwrap();
    let late_live = Arc::clone(late.live());
    drop(late);
    late_live.wait_closed().await;
    assert_eq!(late_live.post("late").unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_a_route_has_is_given_to_no_handler() {
    let entered = acceptance(&Lives::new(10), true).enter(Info::new()).unwrap();
    assert_eq!(entered.receive().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(entered.post("x").map(drop).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Serves one end of a pipe by `work`; the other end, and the connection.
fn attended<F>(
    lives: &Arc<Lives>,
    work: impl FnOnce(Arc<Live>) -> F + Send + 'static,
) -> (DuplexStream, Arc<Live>)
where
    F: Future<Output = ()> + Send,
{
    let (near, far) = tokio::io::duplex(64);
    let entered = acceptance(lives, false).enter(Info::new()).unwrap();
    let live = Arc::clone(entered.live());
    tokio::spawn(async move {
        let session = Arc::new(Session::of_stream(Info::new(), Stream::new(near)));
        let work = work(Arc::clone(entered.live()));
        attend(entered.live(), session, work, Lasting::UntilDone).await;
    });
    (far, live)
}

async fn echo(live: Arc<Live>) {
    while let Ok(Some(payload)) = live.receive().await {
        if live.post(payload).is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_sent_its_last_still_gets_the_answers_to_it() {
    let lives = Lives::new(10);
    let (mut far, live) = attended(&lives, echo);
    let (mut read, mut write) = tokio::io::split(&mut far);
    let sent = vec![7; 100_000];
    let sending = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, received) = tokio::join!(sending, read.read_to_end(&mut got));
    received.unwrap();
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    live.wait_closed().await;
    assert_eq!((live.state(), lives.count().now), (State::Closed, 0));
    let info = live.info();
    assert_eq!((info.bytes_in, info.bytes_out), (100_000, 100_000));
}

#[tokio::test(start_paused = true)]
async fn what_code_has_posted_is_sent_before_it_is_closed_and_a_panic_ends_it() {
    let lives = Lives::new(10);
    let (mut far, live) = attended(&lives, |live| async move {
        drop(live.post("bye").unwrap());
    });
    let mut got = String::new();
    far.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "bye");
    live.wait_closed().await;
    let (_far, live) = attended(&lives, |_| async { panic!("a handler's own mistake") });
    live.wait_closed().await;
    assert_eq!(live.info().last_error.unwrap(), "the listener's handler panicked");
    assert_eq!(lives.count().now, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_received_waits_is_looked_at_and_slows_its_peer() {
    let lives = Lives::new(10);
    let (mut far, live) = attended(&lives, |live| async move { live.wait_closed().await });
    far.write_all(b"one").await.unwrap();
    assert_eq!(live.peek().await.unwrap(), Some("one".into()));
    assert_eq!(live.receive().await.unwrap(), Some("one".into()));
    live.pause();
    // What is being read at this moment still comes.
    far.write_all(b"two").await.unwrap();
    assert_eq!(live.receive().await.unwrap(), Some("two".into()));
    let flood = async {
        loop {
            far.write_all(&[0; 64]).await.unwrap();
        }
    };
    let slowed = tokio::time::timeout(seconds(60), flood).await;
    assert!(slowed.is_err());
    let before = live.info().bytes_in;
    assert!(before <= 70, "{before} bytes were read");
    live.resume();
    assert!(live.receive().await.unwrap().is_some());
    live.abort("enough");
    live.wait_closed().await;
    while live.receive().await.unwrap().is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_name_tells_of_all_its_lives_from_the_first_event_on() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let mut stream = managed.events().subscribe(64);
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    let _all = managed.events().on_event(move |event| into.lock().unwrap().push(event.kind.name()));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let live = connected(&managed).await;
        ids.push(live.id);
        live.close(4, "done").await;
    }
    let life = ["created", "connecting", "secured", "connected", "closing", "closed"];
    assert_eq!(*told.lock().unwrap(), [life, life].concat());
    for id in ids {
        for _ in life {
            assert_eq!(stream.next().await.unwrap().id, Some(id));
        }
    }
    let last = managed.events().history().pop().unwrap();
    let EventKind::Closed { cause } = last.kind else { panic!("{last:?}") };
    assert_eq!((cause.code, &*cause.text), (Some(4), "done"));
    assert_eq!(last.source.unwrap().name, "lab");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_tells_when_posts_are_taken_again() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { post_queue: 4, ..Policy::default() });
    let live = connected(&managed).await;
    let mut events = live.events.subscribe(16);
    peer.gate.send_replace(false);
    while live.post("x").is_ok() {}
    peer.gate.send_replace(true);
    until(&mut events, |kind| *kind == EventKind::Writable).await;
    assert!(!live.flags().is_full);
}

fn pipe() -> (Session, DuplexStream) {
    let (near, far) = tokio::io::duplex(1024);
    (Session::of_stream(Info::new(), Stream::new(near)), far)
}

/// Dials, and keeps the far ends.
struct Bastion(Arc<Mutex<Vec<DuplexStream>>>);

impl jackfield_plugin_api::Control for Bastion {
    fn info(&self) -> Info {
        Info::new()
    }
    async fn dial(&self, _: jackfield_plugin_api::Address) -> Result<Session> {
        let (session, far) = pipe();
        self.0.lock().unwrap().push(far);
        Ok(session)
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_carries_others_is_not_idle_while_they_are_busy() {
    let far = Arc::new(Mutex::new(Vec::new()));
    let ends = Arc::clone(&far);
    let source = move |_| {
        let builder = Session::builder(Bastion(Arc::clone(&ends)));
        let facets = jackfield_plugin_api::Facets::DIAL;
        std::future::ready(Ok(builder.facets(facets).build()))
    };
    let target = Arc::new(Target::new(Stack::of_source("bastion:", source), None));
    let policy = Policy { idle_timeout: seconds(2), ..Policy::default() };
    let bastion = Managed::new("bastion", target, policy);
    let address = jackfield_plugin_api::Address::new("far", 1);
    let session = bastion.dial(&address, SOON).await.unwrap();
    let live = bastion.last().unwrap();
    let mut stream = session.take_stream().unwrap();
    let mut far = far.lock().unwrap().pop().unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(b"hello").await.unwrap();
        far.read_exact(&mut [0; 5]).await.unwrap();
    }
    assert_eq!((live.state(), live.info().bytes_out), (State::Connected, 100));
    live.wait_closed().await;
    assert!(live.info().idle_ms >= 2000);
}
