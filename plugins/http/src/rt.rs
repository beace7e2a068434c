//! What hyper needs of a runtime, from the host: tasks and timers.

use crate::pace::Paces;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::rt::{Executor, Sleep, Timer};
use jackfield_plugin_api::Host;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// The host's timers, for one connection. hyper makes one for the head of each request of HTTP/1.1 and drops it with
/// that; the last one that was dropped is used again.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    host: Host,
    spare: Spare,
}

type Spare = Arc<Mutex<Option<jackfield_plugin_api::Timer>>>;

fn place(spare: &Spare) -> MutexGuard<'_, Option<jackfield_plugin_api::Timer>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock {
    pub(crate) fn new(host: Host) -> Self {
        Clock { host, spare: Spare::default() }
    }
}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let spare = place(&self.spare).take();
        let timer = match spare {
            Some(mut timer) => {
                timer.reset(duration);
                timer
            }
            None => self.host.timer(duration),
        };
        Box::pin(Nap { timer: Some(timer), spare: Arc::clone(&self.spare) })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        let after = deadline.saturating_duration_since(Instant::now());
        match sleep.as_mut().downcast_mut_pin::<Nap>() {
            Some(nap) => nap.get_mut().timer.iter_mut().for_each(|timer| timer.reset(after)),
            None => *sleep = self.sleep(after),
        }
    }
}

struct Nap {
    /// There until this is dropped.
    timer: Option<jackfield_plugin_api::Timer>,
    spare: Spare,
}

impl Future for Nap {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => Pin::new(timer).poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        *place(&self.spare) = self.timer.take();
    }
}

impl Sleep for Nap {}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks of a connection that may wait to be begun beside those of its requests.
const SPARE: usize = 16;

/// Where the tasks of one connection go.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    tasks: mpsc::Sender<Task>,
    paces: Paces,
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = Box::pin(self.paces.watch(future));
        // Without a receiver the connection is over. Without room a peer has begun and ended more
        // streams than it may have: dropping this resets one.
        let _ = self.tasks.try_send(task);
    }
}

/// The tasks of one connection with so many requests at once; all end when it ends.
pub(crate) fn tasks(requests: u32, paces: Paces) -> (Spawner, Tasks) {
    let each = usize::try_from(requests).unwrap_or(usize::MAX);
    // A client has two for each: the request, and its content.
    let room = each.saturating_mul(2).saturating_add(SPARE).min(Semaphore::MAX_PERMITS);
    let (sender, more) = mpsc::channel(room);
    (Spawner { tasks: sender, paces }, Tasks { more, running: FuturesUnordered::new() })
}

pub(crate) struct Tasks {
    more: mpsc::Receiver<Task>,
    running: FuturesUnordered<Task>,
}

impl Tasks {
    /// Runs `connection` and what it spawns, until nothing is left.
    pub(crate) async fn run(mut self, connection: Task) {
        self.running.push(connection);
        poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(task)) = self.more.poll_recv(cx) {
                    self.running.push(task);
                }
                match self.running.poll_next_unpin(cx) {
                    Poll::Ready(Some(())) => {}
                    // A task may have spawned another in its last poll.
                    Poll::Ready(None) if self.more.is_empty() => return Poll::Ready(()),
                    Poll::Ready(None) => {}
                    Poll::Pending if self.more.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
        })
        .await;
    }
}
