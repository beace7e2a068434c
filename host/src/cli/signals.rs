//! Signals, on a thread of their own: they are heard, and the process ends in time, whatever code of
//! plugins blocks.

use super::failure::{Failure, Outcome};
use super::log;
use super::process::LiveTime;
use crate::driver::{end_cleanly, still_running};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::exit;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a command that only connects may take to close what it has opened.
const CLOSE: Duration = Duration::from_secs(5);

/// Time beyond `host.shutdown_timeout` for closing the rest: with the log's, less than a second.
const BEYOND: Duration = Duration::from_millis(800);

/// Signals that a host hears and that change nothing, with what is said about each. By themselves they would
/// end the process.
const CHANGE_NOTHING: [(i32, &str); 3] = [
    (SIGHUP, "SIGHUP: there is no configuration to read again, and connections go on"),
    (SIGUSR1, "SIGUSR1 has no meaning here: nothing changes"),
    (SIGUSR2, "SIGUSR2: only `jackfield run` can be upgraded: nothing changes"),
];

/// The signals that tell a command to end. After the first one the process ends in time in any case.
pub(super) struct Signals {
    heard: mpsc::Receiver<SignalInfo>,
    reloads: mpsc::Receiver<()>,
    upgrades: mpsc::Receiver<()>,
}

/// What a signal asks of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HostSignal {
    /// To end.
    End(SignalInfo),
    /// To read its configuration again.
    Reload,
    /// To have a new process take over.
    Upgrade,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SignalInfo {
    pub(super) name: &'static str,
    /// The exit code of a program that such a signal has ended.
    pub(super) code: u8,
}

impl SignalInfo {
    fn of(signal: i32) -> Self {
        if signal == SIGINT {
            SignalInfo { name: "SIGINT", code: 130 }
        } else {
            SignalInfo { name: "SIGTERM", code: 143 }
        }
    }
}

/// What follows a first signal.
#[derive(Clone)]
enum AfterSignal {
    /// As `Host`; SIGHUP asks for a reload, SIGUSR2 for an upgrade.
    Run(LiveTime),
    /// A second one ends the process at once; so does the end of this time and a bit.
    Host(Duration),
    /// The process ends within some seconds.
    Command,
}

impl Signals {
    /// As [`Signals::of_host`], where SIGHUP has the configuration read again, and SIGUSR2 a new process take over.
    pub(super) fn of_run(shutdown_timeout: LiveTime) -> Outcome<Self> {
        Self::listen(AfterSignal::Run(shutdown_timeout))
    }

    /// For a command that listens, and stops within `shutdown_timeout`. From now on they no longer end
    /// the process by themselves, and neither do SIGHUP, SIGUSR1 and SIGUSR2.
    pub(super) fn of_host(shutdown_timeout: Duration) -> Outcome<Self> {
        Self::listen(AfterSignal::Host(shutdown_timeout))
    }

    /// For a command that only connects. As [`Signals::of_host`].
    pub(super) fn of_command() -> Outcome<Self> {
        Self::listen(AfterSignal::Command)
    }

    fn listen(ending: AfterSignal) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::run(format!("signals: {error}"));
        let mut heard = vec![SIGINT, SIGTERM];
        if let AfterSignal::Host(_) | AfterSignal::Run(_) = &ending {
            // A command on a terminal ends with it.
            heard.extend(CHANGE_NOTHING.map(|(signal, _)| signal));
        }
        let mut signals = signal_hook::iterator::Signals::new(heard).map_err(failed)?;
        let (tell, heard) = mpsc::channel(1);
        let (ask, reloads) = mpsc::channel(1);
        let (ask_anew, upgrades) = mpsc::channel(1);
        let run = move || {
            let mut is_ending = false;
            for signal in signals.forever() {
                if let (AfterSignal::Run(_), SIGHUP | SIGUSR2) = (&ending, signal) {
                    // One that waits to be done reads all that has changed until then.
                    let _ = if signal == SIGHUP { &ask } else { &ask_anew }.try_send(());
                    continue;
                }
                let nothing = CHANGE_NOTHING.iter().find(|(known, _)| *known == signal);
                if let Some((_, text)) = nothing {
                    tracing::info!("{text}");
                    continue;
                }
                let ended = SignalInfo::of(signal);
                match (std::mem::replace(&mut is_ending, true), &ending) {
                    (false, _) => {
                        // The command may be ending by itself.
                        let _ = tell.try_send(ended);
                        end_in_time(&ending);
                    }
                    (true, AfterSignal::Host(_) | AfterSignal::Run(_)) => {
                        let name = ended.name;
                        log::complain(&format!("error: ended at once by a second signal ({name})"));
                        end_now();
                    }
                    (true, AfterSignal::Command) => {}
                }
            }
        };
        start("jackfield-signals", run).map_err(failed)?;
        Ok(Signals { heard, reloads, upgrades })
    }

    /// The next SIGHUP or SIGUSR2, or the first one that ends it. Cancel safe.
    pub(super) async fn next_of_all(&mut self) -> HostSignal {
        tokio::select! {
            biased;
            Some(ended) = self.heard.recv() => HostSignal::End(ended),
            Some(()) = self.reloads.recv() => HostSignal::Reload,
            Some(()) = self.upgrades.recv() => HostSignal::Upgrade,
            else => std::future::pending().await,
        }
    }

    /// The first one. Cancel safe.
    pub(super) async fn next(&mut self) -> SignalInfo {
        match self.heard.recv().await {
            Some(ended) => ended,
            // It never ends by itself; without it there are no signals.
            None => std::future::pending().await,
        }
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

/// Ends the process as it was told to, whatever still runs in it.
fn end_now() -> ! {
    log::flush();
    end_cleanly();
    exit(1)
}

/// Ends the process when it has not ended by itself in time.
fn end_in_time(ending: &AfterSignal) {
    let limit = match ending {
        AfterSignal::Host(limit) => limit.saturating_add(BEYOND),
        AfterSignal::Run(limit) => limit.load().saturating_add(BEYOND),
        AfterSignal::Command => CLOSE,
    };
    let end = move || {
        let (_open, never) = std::sync::mpsc::channel::<()>();
        // Nothing comes: it is the time that passes.
        let _ = never.recv_timeout(limit);
        let running = still_running();
        let running =
            if running.is_empty() { "no code of a plugin".to_owned() } else { running.join("; ") };
        tracing::error!(
            running,
            ?limit,
            "it did not stop in time: the process ends now and its connections are cut off"
        );
        end_now();
    };
    if let Err(error) = start("jackfield-deadline", end) {
        tracing::error!(%error, "no thread for the deadline: plugins that block can hold up the end");
    }
}
