//! Opening with patience, and many at once: for programs that connect by themselves rather than by a
//! policy of a named connection.

use super::managed::Managed;
use super::policy::Reconnect;
use super::target::Target;
use crate::deadline::Deadline;
use crate::parallel::in_order;
use crate::session::SessionExt;
use jackfield_plugin_api::{Error, ErrorKind, Result, Retry, Session};
use jackfield_timers::{sleep, timeout};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Opens a session, trying again as `policy` says while trying again can help: the first attempt is
/// made at once, `policy.attempts` more may follow, and all end within `policy.total`. Each attempt
/// may take `limit`. Cancel safe: what was open is dropped.
///
/// # Errors
/// The last attempt's, with `attempts`; at once for one that would fail the same way again, such as
/// refused credentials or a host key that is not known.
pub async fn connect_with_retry(
    target: &Target,
    limit: Duration,
    policy: &Reconnect,
) -> Result<Session> {
    retried(policy, limit, |limit| target.open(limit)).await
}

/// [`connect_with_retry`] for whatever opens.
async fn retried<T, F: Future<Output = Result<T>>>(
    policy: &Reconnect,
    limit: Duration,
    mut open: impl FnMut(Duration) -> F,
) -> Result<T> {
    let begun = Instant::now();
    for attempt in 1_u32.. {
        let left = policy.total.map_or(limit, |total| total.saturating_sub(begun.elapsed()));
        let error = match open(limit.min(left)).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let delay = helps(&error)
            .then(|| policy.delay(attempt, begun.elapsed(), f64::from(fastrand::f32())))
            .flatten();
        match delay {
            Some(delay) => sleep(delay).await,
            None => return Err(error.with("attempts", attempt)),
        }
    }
    Err(Error::new(ErrorKind::TimedOut, "no attempt was left"))
}

/// Whether another attempt may succeed where this one failed. A connection that the peer closed while
/// it was being opened is one of those: a server that restarts does that.
fn helps(error: &Error) -> bool {
    error.retry() != Retry::Never
}

/// How one of several went.
#[derive(Debug)]
pub struct Connected {
    /// As it was given.
    pub name: String,
    /// The session, or why there is none.
    pub result: Result<Session>,
    /// How long that took.
    pub took: Duration,
}

/// Opens a session to each target, at most `parallel` at a time (at least 1), each within `limit` and
/// all within `deadline`. One that fails stops no other. The answers are in the order of the targets.
/// Cancel safe: what was open is dropped.
///
/// # Errors
/// None of its own; one that had no time left has [`ErrorKind::TimedOut`].
pub async fn connect_many(
    targets: Vec<(String, Arc<Target>)>,
    parallel: usize,
    limit: Duration,
    deadline: Instant,
) -> Vec<Connected> {
    let opening = targets.into_iter().map(|(name, target)| async move {
        let begun = Instant::now();
        let left = limit.min(deadline.saturating_duration_since(begun));
        let result = if left.is_zero() {
            Err(Error::new(ErrorKind::TimedOut, "no time was left to try it"))
        } else {
            target.open(left).await
        };
        Connected { name, result, took: begun.elapsed() }
    });
    in_order(opening, parallel).await
}

/// The session of a named connection, alive: the one that is open, after a round trip if its driver
/// can make one, or a new one in its place. All within `limit`. Cancel safe.
///
/// # Errors
/// What opening says; [`ErrorKind::TimedOut`] after `limit`.
pub async fn ensure_connection(managed: &Managed, limit: Duration) -> Result<Arc<Session>> {
    let deadline = Deadline::after(limit);
    let left = || deadline.left();
    loop {
        let live = managed.live();
        let session = live.wait_ready(left()).await?;
        let generation = live.generation();
        // Half of what is left, so that a silent peer leaves time for a new session.
        let error = match session.ping_within(left() / 2).await {
            None => return Ok(session),
            Some(Ok(_)) => {
                live.record_activity();
                return Ok(session);
            }
            Some(Err(error)) => error,
        };
        if left().is_zero() {
            return Err(error);
        }
        live.report(generation, &Error::new(ErrorKind::Closed, error.to_string()));
        let _ = timeout(left(), live.left(generation)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Policy;
    use crate::stack::Stack;
    use jackfield_plugin_api::{Control, Facets, Info, Stream};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn policy(attempts: u32) -> Reconnect {
        Reconnect { attempts: Some(attempts), jitter: 0.0, ..Reconnect::default() }
    }

    fn refused() -> Error {
        Error::new(ErrorKind::Unreachable, "nobody listens")
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_follow_each_other_by_the_policy_until_one_succeeds() {
        let (tries, begun, policy) = (Cell::new(0), Instant::now(), policy(5));
        let opened = retried(&policy, Duration::from_secs(1), |_| {
            tries.set(tries.get() + 1);
            let result = if tries.get() < 4 { Err(refused()) } else { Ok(tries.get()) };
            async { result }
        });
        assert_eq!(opened.await.ok(), Some(4));
        assert_eq!(begun.elapsed(), Duration::from_secs(1 + 2 + 4));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_tells_how_often_it_was_tried() {
        let policy = policy(2);
        let failed =
            retried::<(), _>(&policy, Duration::from_secs(1), |_| async { Err(refused()) });
        let error = failed.await.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("nobody listens [attempts=3]"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_the_same_way_again_is_not_tried_again() {
        let (tries, policy) = (Cell::new(0), policy(5));
        let failed = retried::<(), _>(&policy, Duration::from_secs(1), |_| {
            tries.set(tries.get() + 1);
            async { Err(Error::new(ErrorKind::Denied, "wrong password")) }
        });
        assert_eq!(failed.await.err().map(|error| error.kind()), Some(ErrorKind::Denied));
        assert_eq!(tries.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_cuts_the_last_attempt_short() {
        let policy = Reconnect { total: Some(Duration::from_secs(5)), ..policy(100) };
        let begun = Instant::now();
        let failed = retried::<(), _>(&policy, Duration::from_secs(3), |limit| async move {
            sleep(limit).await;
            Err(refused())
        });
        assert!(failed.await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }

    /// A target that opens after `delay`; nobody is there without one.
    fn target(delay: Option<u64>, running: &Arc<Running>) -> Arc<Target> {
        let running = Arc::clone(running);
        let stack = Stack::of_source("test:", move |_| {
            let running = Arc::clone(&running);
            async move {
                let now = running.now.fetch_add(1, Relaxed) + 1;
                running.most.fetch_max(now, Relaxed);
                sleep(Duration::from_millis(delay.unwrap_or_default())).await;
                running.now.fetch_sub(1, Relaxed);
                let (near, _) = tokio::io::duplex(16);
                let session = Session::of_stream(Info::default(), Stream::new(near));
                delay.map(|_| session).ok_or_else(refused)
            }
        });
        Arc::new(Target::new(stack, None))
    }

    #[derive(Default)]
    struct Running {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    fn kinds(all: &[Connected]) -> Vec<(&str, Option<ErrorKind>)> {
        all.iter().map(|one| (&*one.name, one.result.as_ref().err().map(Error::kind))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_opened_in_parallel_up_to_the_limit_and_answer_in_their_order() {
        let running = Arc::default();
        let targets = (0..10).map(|at| {
            // The first takes longest.
            let delay = if at == 0 { 300 } else { 100 };
            (format!("t{at}"), target(Some(delay), &running))
        });
        let (begun, within) = (Instant::now(), Duration::from_secs(9));
        let all = connect_many(targets.collect(), 5, within, begun + within).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(300));
        assert_eq!(running.most.load(Relaxed), 5);
        let names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
        assert_eq!(names, (0..10).map(|at| format!("t{at}")).collect::<Vec<_>>());
        assert!(all.iter().all(|one| one.result.is_ok()));
        assert_eq!(all[0].took, Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_many_has_a_result_of_its_own_within_its_limit_and_the_deadline_of_all() {
        let (running, begun) = (Arc::default(), Instant::now());
        let named = |name: &str, delay| (name.to_owned(), target(delay, &running));
        let targets = vec![
            named("good", Some(100)),
            named("bad", None),
            named("slow", Some(5_000)),
            named("cut", Some(1_900)),
            named("never", Some(1)),
        ];
        let limit = Duration::from_secs(2);
        // One at a time: 0.1 s and nothing, 2 s, and what is left of 3 s.
        let all = connect_many(targets, 1, limit, begun + Duration::from_secs(3)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        let late = Some(ErrorKind::TimedOut);
        let expected = [
            ("good", None),
            ("bad", Some(ErrorKind::Unreachable)),
            ("slow", late),
            ("cut", late),
            ("never", late),
        ];
        assert_eq!(kinds(&all), expected);
        assert_eq!(all[4].took, Duration::ZERO, "it was not tried");
        assert_eq!(running.now.load(Relaxed), 2, "those that were cut are gone");
    }

    /// A peer whose pings get no answer is replaced within the time that is given.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_says_nothing_is_replaced_in_time() {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let stack = Stack::of_source("test:", move |_| {
            let number = count.fetch_add(1, Relaxed);
            async move { Ok(Session::builder(Answering(number > 0)).facets(Facets::PING).build()) }
        });
        let target = Arc::new(Target::new(stack, None));
        let again = Reconnect { first_delay: Duration::from_secs(1), ..policy(3) };
        let keepalive = Duration::ZERO;
        let policy = Policy { keepalive, reconnect: again, ..Policy::default() };
        let managed = Managed::new("lab", target, policy);
        let first = managed.connect(Duration::from_secs(5)).await.unwrap();
        let begun = Instant::now();
        ensure_connection(&managed, Duration::from_secs(10)).await.unwrap();
        // Half of the time for the answer, then the wait before the attempt.
        assert_eq!(begun.elapsed(), Duration::from_secs(5 + 1));
        assert_eq!((first.generation(), opened.load(Relaxed)), (2, 2));
        ensure_connection(&managed, Duration::from_secs(10)).await.unwrap();
        assert_eq!(opened.load(Relaxed), 2, "one that answers stays");
    }

    struct Answering(bool);

    impl Control for Answering {
        fn info(&self) -> Info {
            Info::default()
        }
        async fn ping(&self) -> Result<Duration> {
            if !self.0 {
                std::future::pending::<()>().await;
            }
            Ok(Duration::from_millis(1))
        }
    }
}
