//! The service manager that has started this process, if one has: what it is told (`sd_notify(3)`), and that the host
//! is alive. Without one nothing happens.

use sd_notify::{NotifyState, notify, watchdog_enabled};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What may pass between the end of the time for stopping and the end of the process.
const BEYOND: Duration = Duration::from_secs(5);

/// The service manager, and the thread that tells it that the host is alive; dropping it ends that.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    alive: Option<mpsc::Sender<()>>,
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// One line: another would be another message.
fn line(text: &str) -> String {
    super::failure::one_line(text)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

impl ServiceManager {
    /// What the host does now, for people.
    pub(super) fn status(&self, text: &str) {
        tell(&[NotifyState::Status(&line(text))]);
    }

    /// It listens, and is watched from now on if the service manager does that.
    pub(super) fn ready(&mut self, text: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(&line(text))]);
        if let Some(limit) = watchdog_enabled().filter(|limit| !limit.is_zero()) {
            self.alive = beat(limit);
        }
    }

    /// The configuration is read again, until [`ServiceManager::reloaded`].
    pub(super) fn reloading(&self) {
        // Without the time systemd would take the message for an old one.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => {
                tracing::warn!(%error, "the service manager could not be told of a reload");
            }
        }
    }

    /// That is over, and what it came to.
    pub(super) fn reloaded(&self, text: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(&line(text))]);
    }

    /// It stops, and takes that long at most.
    pub(super) fn stopping(&self, limit: Duration, text: &str) {
        let all = limit.saturating_add(BEYOND);
        let status = line(text);
        let states = [
            NotifyState::Stopping,
            NotifyState::Status(&status),
            NotifyState::ExtendTimeoutUsec(micros(all)),
        ];
        tell(&states);
    }

    /// Another process is the service from now on. This one is told of no more, and not watched.
    pub(super) fn handed_over(&mut self, pid: u32) {
        self.alive = None;
        tell(&[NotifyState::MainPid(pid)]);
    }
}

/// Tells the service manager that the host is alive, twice within `limit`, as long as workers of the runtime take up
/// what they are given. Ends when what is given back is dropped.
fn beat(limit: Duration) -> Option<mpsc::Sender<()>> {
    let (alive, ended) = mpsc::channel();
    let (runtime, pause) = (Handle::current(), limit / 2);
    let run = move || {
        let mut was_silent = false;
        while ended.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
            let is_silent = !answers(&runtime, pause);
            if is_silent && !was_silent {
                tracing::error!(
                    ?limit,
                    "no worker answers: the service manager is not told that the host is alive"
                );
            }
            was_silent = is_silent;
            if !is_silent {
                tell(&[NotifyState::Watchdog]);
            }
        }
    };
    match std::thread::Builder::new().name("jackfield-alive".to_owned()).spawn(run) {
        Ok(_) => {
            tracing::info!(?limit, "the service manager watches the host");
            Some(alive)
        }
        Err(error) => {
            tracing::error!(%error, "no thread for the watchdog of the service manager, which will end the host");
            None
        }
    }
}

/// Whether a worker takes up something within `limit`.
fn answers(runtime: &Handle, limit: Duration) -> bool {
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move {
        // Who asked may have given up.
        let _ = tell.send(());
    });
    told.recv_timeout(limit).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_answers_until_all_of_its_workers_are_blocked() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).build().unwrap();
        assert!(answers(runtime.handle(), Duration::from_secs(60)));
        let (go_on, blocked) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move {
            tell.send(()).unwrap();
            // Until the other end is gone.
            let _ = blocked.recv();
        });
        told.recv().unwrap();
        assert!(!answers(runtime.handle(), Duration::from_millis(50)));
        drop(go_on);
        assert!(answers(runtime.handle(), Duration::from_secs(60)));
    }
}
