use super::*;
use crate::connection::{Delivery, Payload, SessionHandler};
use jackfield_plugin_api::{ErrorKind, Info, Message, Messages, Result, Session};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Keeps what it is given.
struct Keeper {
    name: &'static str,
    got: mpsc::Sender<String>,
    panics: AtomicBool,
}

impl Keeper {
    fn new(name: &'static str) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (got, receiver) = mpsc::channel(1000);
        (Arc::new(Keeper { name, got, panics: AtomicBool::new(false) }), receiver)
    }
}

impl SessionHandler for Keeper {
    fn received<'a>(&'a self, _: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::SeqCst), "a handler's own mistake");
            let text = String::from_utf8_lossy(payload.bytes()).into_owned();
            self.got.try_send(format!("{}:{text}", self.name)).expect("the test listens");
        })
    }
    fn event(&self, _: &Arc<Live>, event: &Event) {
        if matches!(event.kind, EventKind::Closed { .. }) {
            self.got.try_send(format!("{}!closed", self.name)).expect("the test listens");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_swapped_in_mid_life_loses_and_doubles_nothing() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    peer.send("0");
    let (first, mut old) = Keeper::new("old");
    let (second, mut new) = Keeper::new("new");
    assert!(live.set_handler(first).unwrap().is_none());
    assert_eq!(old.recv().await.unwrap(), "old:0", "what came before is not lost");
    for number in 1..=100 {
        peer.send(&number.to_string());
        if number == 50 {
            tokio::task::yield_now().await;
            live.set_handler(Arc::clone(&second) as Arc<dyn SessionHandler>).unwrap();
        }
    }
    let mut all = vec![];
    while all.len() < 100 {
        tokio::select! {
            biased;
            Some(text) = old.recv() => all.push(text),
            Some(text) = new.recv() => all.push(text),
        }
    }
    let numbers: Vec<u32> = all.iter().filter_map(|text| text[4..].parse().ok()).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    assert_eq!(all.last().unwrap(), "new:100");
    assert!(all.is_sorted_by_key(|text| text.starts_with("new")), "{all:?}");
    let info = live.info();
    assert_eq!((info.messages_in, info.bytes_in), (101, 193));
    live.close(0, "").await;
    assert_eq!(new.recv().await.unwrap(), "new!closed");
    assert!(old.try_recv().is_err(), "an event goes to one handler only");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_handler_keeps_its_connection() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let (keeper, mut got) = Keeper::new("k");
    keeper.panics.store(true, Ordering::SeqCst);
    live.set_handler(keeper).unwrap();
    peer.send("bad");
    peer.send("good");
    assert_eq!(got.recv().await.unwrap(), "k:good");
    assert_eq!((live.state(), live.info().errors), (State::Connected, 1));
}

#[tokio::test(start_paused = true)]
async fn posts_are_sent_in_order_or_refused_and_never_silently_lost() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { post_queue: 20, post_bytes: 1000, ..Policy::default() });
    assert_eq!(managed.post("early").unwrap_err().kind(), ErrorKind::Closed);
    let live = managed.live();
    let early = live.post("first").expect("posts wait for the session");
    early.sent().await.unwrap();
    peer.gate.send_replace(false);
    let mut taken = vec![];
    let mut refused = 0;
    for number in 0..50 {
        match live.post(format!("{number}").into_bytes()) {
            Ok(receipt) => taken.push((number, receipt)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Limit);
                refused += 1;
            }
        }
    }
    assert_eq!((taken.len(), refused), (20, 30));
    assert!(live.flags().is_full);
    assert_eq!(live.diagnose().findings[0].rule, "full_queue");
    peer.gate.send_replace(true);
    let mut sent = vec!["first".to_owned()];
    for (number, receipt) in taken {
        receipt.sent().await.unwrap();
        sent.push(number.to_string());
    }
    assert_eq!(peer.texts(), sent, "all that was taken, in order, and nothing else");
    assert_eq!(live.post(vec![0; 1001]).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(live.info().messages_out, 21);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_when_the_connection_ends_is_told_so() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    peer.gate.send_replace(false);
    let begun = live.post("in the middle").unwrap();
    while live.info().buffered_posts > 0 {
        tokio::task::yield_now().await;
    }
    assert!(live.waiting_posts().is_empty(), "what is being sent waits no more");
    let waiting = live.post("waits").unwrap();
    assert_eq!(live.waiting_posts(), [Payload::from("waits")]);
    live.abort("cut");
    assert_eq!(begun.sent().await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(waiting.sent().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(live.waiting_posts().is_empty());
    assert_eq!(live.post("late").unwrap_err().kind(), ErrorKind::Closed);
    assert!(peer.texts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn posts_that_wait_when_a_session_is_lost_go_over_the_next() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { reconnect: again(1), ..Policy::default() });
    let live = connected(&managed).await;
    let (keeper, mut got) = Keeper::new("k");
    live.set_handler(keeper).unwrap();
    peer.send("last words");
    peer.hang_up();
    assert_eq!(got.recv().await.unwrap(), "k:last words");
    live.left(1).await;
    let receipt = live.post("hello again").unwrap();
    receipt.sent().await.unwrap();
    assert_eq!((peer.texts(), live.generation()), (vec!["hello again".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_close_and_answer_its_own_connection() {
    struct Echo(Mutex<Vec<u64>>);
    impl SessionHandler for Echo {
        fn received<'a>(&'a self, live: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
            Box::pin(async move {
                if payload.bytes() == "bye".as_bytes() {
                    live.close(1, "asked").await;
                    return;
                }
                let sent = live.post(payload).expect("taken").sent().await;
                self.0.lock().unwrap().extend(sent.ok().map(|()| live.id));
            })
        }
    }
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let echo = Arc::new(Echo(Mutex::default()));
    managed.set_handler(Arc::clone(&echo) as Arc<dyn SessionHandler>).unwrap();
    peer.send("hello");
    peer.send("bye");
    live.wait_closed().await;
    assert_eq!((peer.texts(), echo.0.lock().unwrap().len()), (vec!["hello".to_owned()], 1));
}

/// Always has one more message.
struct Flood;

impl futures_util::Stream for Flood {
    type Item = Result<Message>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(Message::text("more"))))
    }
}

impl futures_util::Sink<Message> for Flood {
    type Error = jackfield_plugin_api::Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, _: Message) -> Result<()> {
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_stops_does_not_keep_its_connection_from_closing() {
    struct Counts(AtomicUsize);
    impl SessionHandler for Counts {
        fn received<'a>(&'a self, _: &'a Arc<Live>, _: Payload) -> Delivery<'a> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        }
    }
    let source = |_| {
        let session = Session::builder(Info::default()).messages(Messages::new(Flood)).build();
        std::future::ready(Ok(session))
    };
    let target = Arc::new(Target::new(Stack::of_source("flood:", source), None));
    let managed = Managed::new("flood", target, Policy::default());
    let live = connected(&managed).await;
    let counts = Arc::new(Counts(AtomicUsize::new(0)));
    live.set_handler(Arc::clone(&counts) as Arc<dyn SessionHandler>).unwrap();
    while counts.0.load(Ordering::SeqCst) < 1000 {
        tokio::task::yield_now().await;
    }
    live.close(0, "enough").await;
    assert_eq!(live.state(), State::Closed);
}
