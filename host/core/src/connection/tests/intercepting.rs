//! Code of a program around operations, and before a close.

use super::*;
use crate::connection::{Call, Calling, Interceptor, MAX_INTERCEPTORS, Next};
use crate::events::Subscription;
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

type Log = Arc<Mutex<Vec<String>>>;

/// Notes what passes, under its name.
struct Notes(&'static str, Log);

impl Interceptor for Notes {
    fn applies(&self, call: &Call<'_>) -> bool {
        call.operation != "quiet"
    }

    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            let Notes(name, log) = self;
            let note = |text: String| log.lock().unwrap().push(format!("{name} {text}"));
            note(format!("{} {} {}", call.connection, call.operation, call.params));
            let result = next.run(call.params).await;
            note(match &result {
                Ok(value) => value.to_string(),
                Err(error) => error.message().to_owned(),
            });
            result
        })
    }
}

/// Changes parameters and results, and makes an error a result.
struct Changes;

impl Interceptor for Changes {
    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            let params = json!({ "was": call.params });
            match next.run(&params).await {
                Ok(value) => Ok(json!({ "got": value })),
                Err(error) => Ok(json!({ "failed": error.kind().as_str() })),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_are_around_an_operation_in_their_order_and_may_change_it() {
    let (peer, log) = (Peer::new(), Log::default());
    let managed = managed(&peer, Policy { reconnect: again(3), ..Policy::default() });
    let noted = || std::mem::take(&mut *log.lock().unwrap());
    let _inner = managed.intercept(9, Arc::new(Notes("inner", Arc::clone(&log)))).unwrap();
    let changes = managed.intercept(5, Arc::new(Changes)).unwrap();
    let _outer = managed.intercept(-1, Arc::new(Notes("outer", Arc::clone(&log)))).unwrap();
    let echoed = managed.call("echo", &json!(1)).await.unwrap();
    assert_eq!(echoed, json!({"got": {"was": 1}}));
    let expected = [
        "outer lab echo 1",
        "inner lab echo {\"was\":1}",
        "inner {\"was\":1}",
        "outer {\"got\":{\"was\":1}}",
    ];
    assert_eq!(noted(), expected);
    // An error is one for those inside; the session is opened again all the same.
    assert_eq!(managed.call("lose", &json!(2)).await.unwrap(), json!({"failed": "closed"}));
    let live = managed.live();
    live.left(1).await;
    live.wait_ready(seconds(60)).await.unwrap();
    assert_eq!(live.generation(), 2);
    assert_eq!(noted()[2..], ["inner the line is cut", "outer {\"failed\":\"closed\"}"]);
    drop(changes);
    // Not those that it is not for, nor one that has gone.
    assert_eq!(managed.call("quiet", &json!(3)).await.unwrap(), json!(3));
    assert!(noted().is_empty());
}

/// Keeps with the connection how many calls it has made, and of which site.
struct Counts;

impl Interceptor for Counts {
    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            let live = call.live.ok_or_else(|| Error::unsupported("counting without it"))?;
            let before = live.data().text("calls").and_then(|count| count.parse().ok());
            live.data().set_text("calls", &format!("{}", before.unwrap_or(0) + 1))?;
            live.data().set_text("of", &format!("{:?} {}", call.device(), call.labels["site"]))?;
            next.run(call.params).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_its_connection_with_labels_data_and_device() {
    let (peer, lives) = (Peer::new(), crate::connection::Lives::new(10));
    let labels = [("site".to_owned(), "north".to_owned())].into();
    let name = "devices.core1.cli";
    let managed = Managed::counted(name, target(&peer), Policy::default(), labels, lives);
    let _counts = managed.intercept(0, Arc::new(Counts)).unwrap();
    for _ in 0..2 {
        managed.call("echo", &json!(1)).await.unwrap();
    }
    let data = managed.live().info().data;
    assert_eq!((&*data["calls"], &*data["of"]), ("2", "Some((\"core1\", \"cli\")) north"));
    // On a session of one's own there is none.
    let session = managed.target().open(SOON).await.unwrap();
    let own = managed.around().call(&session, "echo", &json!(1)).await.unwrap_err();
    assert_eq!(own.kind(), ErrorKind::Unsupported);
}

/// Makes no call at all.
struct Refuses;

impl Interceptor for Refuses {
    fn intercept<'a>(&'a self, call: Call<'a>, _: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            if call.operation == "wait" {
                std::future::pending::<()>().await;
            }
            Err(Error::new(ErrorKind::Denied, "not on a Sunday"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_interceptor_may_refuse_and_has_no_more_than_the_time_of_the_call() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { call_timeout: seconds(10), ..Policy::default() });
    let refuses: Vec<_> =
        (0..64).map(|_| managed.intercept(0, Arc::new(Refuses)).unwrap()).collect();
    assert_eq!(refuses.len(), MAX_INTERCEPTORS);
    let full = managed.intercept(0, Arc::new(Refuses)).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Limit);
    let refused = managed.call("echo", &json!(1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let begun = Instant::now();
    let late = managed.call("wait", &json!(1)).await.unwrap_err();
    assert_eq!((late.kind(), begun.elapsed()), (ErrorKind::TimedOut, seconds(10)));
    drop(refuses);
    assert_eq!(managed.call("echo", &json!(1)).await.unwrap(), json!(1));
}

#[tokio::test(start_paused = true)]
async fn the_hook_takes_leave_before_a_polite_close_and_not_of_one_that_is_lost_or_aborted() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { call_timeout: seconds(9), ..Policy::default() });
    let (log, at) = (Log::default(), Arc::clone(&peer));
    let noted = Arc::clone(&log);
    managed.on_closing(move |session| {
        let closes = at.closes.lock().unwrap().len();
        noted.lock().unwrap().push(format!("leaving, closed {closes}"));
        async move {
            session.call("logout", &json!({})).await?;
            Err(Error::new(ErrorKind::Refused, "an error stops nothing"))
        }
    });
    let live = connected(&managed).await;
    live.close(3, "done").await;
    assert_eq!(live.info().errors, 1, "the hook's");
    assert_eq!(*log.lock().unwrap(), ["leaving, closed 0"]);
    assert_eq!(*peer.closes.lock().unwrap(), [(3, "done".to_owned())]);
    connected(&managed).await.drain(seconds(5)).await;
    assert_eq!(log.lock().unwrap().len(), 2);
    let live = connected(&managed).await;
    live.abort("at once");
    live.wait_closed().await;
    let live = connected(&managed).await;
    live.call("lose", &json!({})).await.unwrap_err();
    live.wait_closed().await;
    assert_eq!(log.lock().unwrap().len(), 2);
    // One that hangs has the time of a close, and no more.
    peer.gate.send_replace(false);
    let live = connected(&managed).await;
    let begun = Instant::now();
    live.close(0, "").await;
    assert_eq!((begun.elapsed(), live.state()), (seconds(9), State::Closed));
    assert_eq!(peer.living.load(Ordering::SeqCst), 0);
}

/// The errors that were told, and the end.
fn told(live: &Live) -> (Subscription, Log) {
    let log = Log::default();
    let noted = Arc::clone(&log);
    let subscription = live.events.on_event(move |event| match &event.kind {
        EventKind::Error { cause } => noted.lock().unwrap().push(cause.text.clone()),
        EventKind::Closed { .. } => noted.lock().unwrap().push("closed".to_owned()),
        _ => {}
    });
    (subscription, log)
}

#[tokio::test(start_paused = true)]
async fn a_close_that_fails_is_counted_told_and_done_and_a_second_one_is_nothing() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { call_timeout: seconds(9), ..Policy::default() });
    let close = async |expected: &[&str]| {
        let live = connected(&managed).await;
        let (_listening, log) = told(&live);
        live.close(0, "done").await;
        let errors = expected.len() - 1;
        let info = live.info();
        assert_eq!((live.state(), info.errors), (State::Closed, errors as u64), "{expected:?}");
        let last = info.last_error.unwrap_or_default();
        assert!(errors == 0 || last.contains(expected[errors - 1]), "{last}");
        live.close(0, "again").await;
        assert_eq!(live.info().errors, errors as u64);
        let log = log.lock().unwrap();
        assert_eq!(log.len(), expected.len(), "{log:?}");
        assert!(log.iter().zip(expected).all(|(told, text)| told.contains(text)), "{log:?}");
    };
    close(&["closed"]).await;
    *peer.close_fails.lock().unwrap() = Some(ErrorKind::Protocol);
    close(&["the close has failed", "closed"]).await;
    // Both have closed at once.
    *peer.close_fails.lock().unwrap() = Some(ErrorKind::Closed);
    close(&["closed"]).await;
    peer.stalls.store(true, Ordering::SeqCst);
    close(&["not done within 9s", "closed"]).await;
    peer.stalls.store(false, Ordering::SeqCst);
    *peer.close_fails.lock().unwrap() = Some(ErrorKind::Io);
    managed.on_closing(|_| async { Err(Error::new(ErrorKind::Refused, "no logout")) });
    close(&["no logout", "the close has failed", "closed"]).await;
    assert_eq!(peer.living.load(Ordering::SeqCst), 0);
}

/// Says by itself that something is closed.
struct SaysClosed;

impl Interceptor for SaysClosed {
    fn intercept<'a>(&'a self, _: Call<'a>, _: Next<'a>) -> Calling<'a> {
        Box::pin(async { Err(Error::new(ErrorKind::Closed, "the shop is closed")) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_interceptor_says_by_itself_loses_no_session_and_counts_once() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let says = managed.intercept(0, Arc::new(SaysClosed)).unwrap();
    let error = managed.call("echo", &json!(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    drop(says);
    assert_eq!(managed.call("echo", &json!(2)).await.unwrap(), json!(2));
    let info = live.info();
    assert_eq!((live.generation(), info.calls, info.errors), (1, 2, 1));
    assert_eq!(peer.opened.load(Ordering::SeqCst), 1, "it is the same session");
}

#[tokio::test(start_paused = true)]
async fn a_single_operation_may_have_a_limit_of_its_own() {
    let peer = Peer::new();
    peer.gate.send_replace(false);
    let call_timeouts = [("echo".to_owned(), seconds(2))].into();
    let policy = Policy { call_timeout: seconds(10), call_timeouts, ..Policy::default() };
    let managed = managed(&peer, policy);
    connected(&managed).await;
    for (operation, limit) in [("echo", 2), ("other", 10)] {
        let begun = Instant::now();
        let late = managed.call(operation, &json!(1)).await.unwrap_err();
        assert_eq!((late.kind(), begun.elapsed()), (ErrorKind::TimedOut, seconds(limit)));
    }
}

/// Answers with the labels of the connection.
struct LabelsOf;

impl Interceptor for LabelsOf {
    fn intercept<'a>(&'a self, call: Call<'a>, _: Next<'a>) -> Calling<'a> {
        Box::pin(async move { Ok(json!(call.labels)) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_interceptor_sees_the_labels_of_the_connection() {
    let peer = Peer::new();
    let labels = [("rack".to_owned(), "7".to_owned())].into_iter().collect();
    let (policy, lives) = (Policy::default(), crate::connection::Lives::new(1));
    let managed = Managed::counted("lab", target(&peer), policy, labels, lives);
    let _labels = managed.intercept(0, Arc::new(LabelsOf)).unwrap();
    assert_eq!(managed.call("echo", &json!(1)).await.unwrap(), json!({ "rack": "7" }));
}
