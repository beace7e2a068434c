//! A file that misbehaves is left out for a while, and comes back.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn health(panics: u32) -> FileHealth {
    let options = QuarantineOptions { panics, pause: 10 * SECOND, ..QuarantineOptions::default() };
    FileHealth::new("p", options.shared(), SECOND)
}

fn panic(health: &FileHealth) {
    health.panicked(&PanicReport::new("index out of bounds"));
}

#[tokio::test(start_paused = true)]
async fn the_last_allowed_panic_puts_it_in_quarantine_and_behaving_ends_that() {
    let health = health(3);
    for _ in 0..2 {
        panic(&health);
        assert!(health.admit().await.expect("two panics").is_none());
    }
    panic(&health);
    assert_eq!(health.state(), "quarantined");
    let reason = health.admit().await.expect_err("three panics").to_string();
    for part in ["plugin p", "3 panics", "index out of bounds", "tried again in"] {
        assert!(reason.contains(part), "{reason}");
    }
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(health.state(), "half_open");
    let trial = health.admit().await.expect("the pause is over");
    assert!(trial.is_some());
    assert!(health.admit().await.expect_err("one tries").to_string().contains("one session"));
    drop(trial);
    drop(health.admit().await.expect("none tries"));
    tokio::time::advance(10 * SECOND).await;
    assert!(health.admit().await.expect("it behaved").is_none());
    assert_eq!((health.state(), health.panics()), ("running", 3));
    assert!(!health.is_troubled.load(Ordering::Relaxed), "new sessions are as quick as before");
}

#[tokio::test(start_paused = true)]
async fn zero_never_gives_up() {
    let health = health(0);
    for _ in 0..1000 {
        panic(&health);
    }
    assert!(health.admit().await.expect("it is used").is_none());
    assert_eq!(health.panics(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_come_back_holds_new_sessions_then_refuses_them_until_it_does() {
    let health = Arc::new(health(3));
    health.hold();
    let waiting = Arc::clone(&health);
    let waiting = tokio::spawn(async move { waiting.admit().await.map(|_| ()) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(health.state(), "running");
    health.refuse(&Culprit::here("p"), 10 * SECOND);
    // What holds them back once more does not make it less.
    health.hold();
    assert_eq!(health.state(), "stuck");
    let refused = waiting.await.expect("its task").expect_err("stuck").to_string();
    assert!(refused.contains("plugin p") && refused.contains("within 10s"), "{refused}");
    health.release();
    assert!(health.admit().await.expect("it is back").is_none());
    assert_eq!(health.state(), "running");
}

#[tokio::test]
async fn what_does_not_come_back_is_given_up_and_not_tried_again() {
    let patience = Duration::from_millis(50);
    let health = Arc::new(FileHealth::new("p", SharedQuarantine::default(), patience));
    let (never, waits) = std::sync::mpsc::channel::<()>();
    let hung = health.prepare(move || Ok(waits.recv().is_ok())).await;
    assert_eq!(hung.expect_err("hung").kind(), ErrorKind::TimedOut);
    let again = health.prepare(|| -> Result<()> { unreachable!("it is in quarantine") }).await;
    assert_eq!(again.expect_err("given up").kind(), ErrorKind::TimedOut);
    assert_eq!(health.admit().await.expect_err("given up").kind(), ErrorKind::TimedOut);
    drop(never);
}
