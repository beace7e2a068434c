//! What a program does for all connections of a host: the default handler, and the error hook.

use super::*;
use crate::connection::{
    AcceptOptions, Acceptance, Delivery, ForAllConnections, Lasting, Lives, Payload,
    SessionHandler, attend,
};
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Info, Session, Stream};
use serde_json::json;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Notes what it is given and told, by the name of the connection.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn note(&self, live: &Live, what: &str) {
        self.0.lock().unwrap().push(format!("{} {what}", live.name));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl SessionHandler for Notes {
    fn received<'a>(&'a self, live: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        self.note(live, &String::from_utf8_lossy(payload.bytes()));
        assert_ne!(payload.bytes(), "panic", "a handler's own mistake");
        Box::pin(async move { drop(live.post(payload)) })
    }

    fn event(&self, live: &Arc<Live>, event: &Event) {
        if !matches!(event.kind, EventKind::Error { .. }) {
            self.note(live, event.kind.name());
        }
    }
}

/// A table whose connections have it, and notes of what goes wrong.
fn noted() -> (Arc<Lives>, Arc<Notes>, Arc<Notes>) {
    let (lives, notes, wrong) = (Lives::new(10), Arc::<Notes>::default(), Arc::<Notes>::default());
    let hook = Arc::clone(&wrong);
    lives.do_for_all(ForAllConnections {
        handler: Some(Arc::clone(&notes) as Arc<dyn SessionHandler>),
        on_error: Some(Arc::new(move |live: &Live, error: &Error| {
            hook.note(live, error.message());
            assert_ne!(error.kind(), ErrorKind::Closed, "a hook's own mistake");
        })),
    });
    (lives, notes, wrong)
}

fn named(lives: &Arc<Lives>, peer: &Arc<Peer>) -> Managed {
    Managed::counted("lab", target(peer), Policy::default(), [].into(), Arc::clone(lives))
}

/// What `peer` has been sent, once it is as much as that.
async fn sent(peer: &Arc<Peer>, count: usize) -> Vec<String> {
    while peer.texts().len() < count {
        tokio::task::yield_now().await;
    }
    peer.texts()
}

#[tokio::test(start_paused = true)]
async fn a_named_connection_without_a_handler_has_the_default_one_for_each_life() {
    let (lives, notes, wrong) = noted();
    let peer = Peer::new();
    let managed = named(&lives, &peer);
    for text in ["one", "two"] {
        let live = connected(&managed).await;
        assert!(live.flags().has_handler);
        peer.send(text);
        sent(&peer, if text == "one" { 1 } else { 2 }).await;
        live.close(0, "").await;
        let life = ["connecting", "secured", "connected", text, "closing", "closed"];
        assert_eq!(notes.taken(), life.map(|what| format!("lab {what}")));
    }
    assert!(wrong.taken().is_empty());
    // One of its own takes its place, and so does a program that asks.
    let (own, live) = (Arc::<Notes>::default(), connected(&managed).await);
    assert!(live.set_handler(Arc::clone(&own) as Arc<dyn SessionHandler>).unwrap().is_none());
    peer.send("three");
    assert_eq!(sent(&peer, 3).await, ["one", "two", "three"]);
    assert_eq!(own.taken(), ["lab three"]);
    let other = Managed::counted("asks", target(&peer), Policy::default(), [].into(), lives);
    let live = connected(&other).await;
    let asking = live.receive();
    let mut asking = std::pin::pin!(asking);
    assert!(asking.as_mut().now_or_never().is_none());
    peer.send("four");
    assert_eq!(asking.await.unwrap().unwrap().bytes(), "four");
    assert!(!notes.taken().contains(&"asks four".to_owned()));
    live.close(0, "").await;
    assert!(notes.taken().contains(&"asks closed".to_owned()), "it is still told what happens");
}

fn accepted(lives: &Arc<Lives>, is_routed: bool) -> crate::connection::Entered {
    let options = AcceptOptions {
        listener: "tcp://:1".into(),
        to: "handlers.echo".into(),
        is_routed,
        policy: Policy::default(),
        labels: [].into(),
    };
    let acceptance = Acceptance::new(options, target(&Peer::new()), Arc::clone(lives));
    acceptance.enter(Info::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn accepted_connections_tell_the_default_handler_and_their_data_stays_with_who_has_it() {
    let (lives, notes, _) = noted();
    let routed = accepted(&lives, true);
    assert!(!routed.flags().has_handler, "the route has its data");
    routed.joined();
    routed.served(Ok("done".to_owned()));
    let life = ["accepted", "connected", "closed"].map(|what| format!("tcp://:1 {what}"));
    assert_eq!(notes.taken(), life);

    let (near, mut far) = tokio::io::duplex(64);
    let entered = accepted(&lives, false);
    let work = async {
        let received = entered.receive().await.unwrap().unwrap();
        entered.post(received).unwrap().sent().await.unwrap();
    };
    let session = Arc::new(Session::of_stream(Info::new(), Stream::new(near)));
    let asking = async {
        far.write_all(b"hello").await.unwrap();
        let mut got = String::new();
        far.read_to_string(&mut got).await.unwrap();
        got
    };
    let ((), got) = tokio::join!(attend(entered.live(), session, work, Lasting::UntilDone), asking);
    assert_eq!(got, "hello");
    let told = notes.taken();
    assert_eq!(told.iter().filter(|told| told.ends_with("connected")).count(), 1, "{told:?}");
    assert!(!told.iter().any(|told| told.contains("hello")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_error_hook_is_told_what_goes_wrong_and_may_panic_itself() {
    let (lives, _, wrong) = noted();
    let peer = Peer::new();
    let managed = named(&lives, &peer);
    let live = connected(&managed).await;
    peer.send("panic");
    peer.send("after");
    sent(&peer, 1).await;
    assert_eq!(wrong.taken(), ["lab the session's handler panicked"]);
    live.call("lose", &json!(1)).await.unwrap_err();
    assert_eq!(wrong.taken()[0], "lab the line is cut");
    assert_eq!(live.info().errors, 2, "its own panic changes nothing");
}
