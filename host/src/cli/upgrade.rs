//! An upgrade of the program without a connection refused: the new file is started as a process that takes over.
//!
//! ```text
//! this process ── starts ──▶ new process          the same arguments, and the file that is there now
//!              ── sockets ─▶                      by name; both accept from here on
//!              ◀── ready, or why not ──           not ready in time: it is ended, and this process goes on
//!              ── go ──────▶                      this one lets go: it drains, and ends with its last session
//! ```

use super::process::LiveTime;
use super::service::ServiceManager;
use super::take_over::FLAG;
use crate::admin::UpgradeControl;
use crate::handover::{AT_ONCE, Giving, Handover, HandoverChannel, HandoverMessage, HandoverName};
use crate::lock::IgnorePoison;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the new process may take to receive one message.
const WORD: Duration = Duration::from_secs(10);

/// Upgrades this process. Cheap to clone: the clones are one.
#[derive(Clone)]
pub(super) struct Upgrader(Arc<UpgraderState>);

struct UpgraderState {
    handover: Arc<Handover>,
    service: Arc<Mutex<ServiceManager>>,
    program: PathBuf,
    arguments: Vec<OsString>,
    limit: LiveTime,
    is_under_way: AtomicBool,
    /// The number of the process that has taken over.
    after: watch::Sender<Option<u32>>,
}

/// The file that this process was started from, by the name that it was started by: what that name leads to may be
/// another file by now.
pub(super) fn own_program() -> std::io::Result<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from);
    match named.filter(|named| named.components().count() > 1) {
        Some(named) => std::path::absolute(named),
        None => std::env::current_exe(),
    }
}

impl Upgrader {
    /// Hands over what `handover` has, to a process that has `limit` to be ready.
    pub(super) fn new(
        handover: Arc<Handover>,
        service: Arc<Mutex<ServiceManager>>,
        program: PathBuf,
        limit: LiveTime,
    ) -> Self {
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if !arguments.iter().any(|argument| argument == FLAG) {
            arguments.push(FLAG.into());
        }
        let (is_under_way, after) = (AtomicBool::new(false), watch::Sender::new(None));
        let state =
            UpgraderState { handover, service, program, arguments, limit, is_under_way, after };
        Upgrader(Arc::new(state))
    }

    /// Completes when another process has taken over, with its number. Cancel safe.
    pub(super) async fn upgraded(&self) -> u32 {
        let mut after = self.0.after.subscribe();
        match after.wait_for(Option::is_some).await {
            Ok(pid) => (*pid).unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Starts a new process, and answers its number when it has taken over. Cancel safe: it is done all the same.
    ///
    /// # Errors
    /// Why none has; this process goes on as before.
    pub(super) async fn run(&self) -> Result<u32, String> {
        let state = Arc::clone(&self.0);
        if state.is_under_way.swap(true, Ordering::Relaxed) {
            return Err("one is under way already".to_owned());
        }
        let result = tokio::task::spawn_blocking(move || {
            let result = state.upgrade();
            match &result {
                // What is changed from now on is not this process's to change.
                Ok(pid) => drop(state.after.send_replace(Some(*pid))),
                Err(why) => {
                    state.is_under_way.store(false, Ordering::Relaxed);
                    tracing::error!(why, "no new process has taken over: this one goes on");
                    let status = format!("not upgraded: {why}");
                    state.service.lock().ignore_poison().status(&status);
                }
            }
            result
        });
        result.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl UpgradeControl for Upgrader {
    fn upgrade(&self) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send>> {
        let upgrader = self.clone();
        Box::pin(async move { upgrader.run().await })
    }

    fn is_under_way(&self) -> bool {
        self.0.is_under_way.load(Ordering::Relaxed)
    }
}

/// A process that is ended unless it takes over.
struct NewProcess(Option<Child>);

impl Drop for NewProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl UpgraderState {
    fn upgrade(&self) -> Result<u32, String> {
        let limit = **self.limit.load();
        let end = Instant::now() + limit;
        let program = self.program.display().to_string();
        tracing::info!(program, "a new process is started to take over from this one");
        let offers = self.handover.offers();
        let given = given(&offers).map_err(|error| format!("sockets: {error}"))?;
        let (channel, other) = HandoverChannel::pair().map_err(|error| error.to_string())?;
        let mut new = self.start(other).map_err(|error| format!("{program}: {error}"))?;
        let pid = new.0.as_ref().map_or(0, Child::id);
        let taken = match ready(&channel, &given, end) {
            Ok(Some(HandoverMessage::Ready { taken })) => taken,
            Ok(Some(HandoverMessage::Failed(why))) => return Err(why),
            Ok(Some(_)) => {
                return Err("the new process said something else than expected".to_owned());
            }
            Ok(None) => {
                let how = new.0.as_mut().map(Child::wait).and_then(Result::ok);
                let how = how.map(|how| how.to_string()).unwrap_or_default();
                return Err(format!("the new process ended before it was ready: {how}"));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(format!(
                    "the new process was not ready within host.timeouts.upgrade, {limit:?}"
                ));
            }
            Err(error) => return Err(format!("the new process: {error}")),
        };
        let child = new.0.take();
        for (offer, names) in &given {
            if names.iter().any(|(name, _)| taken.contains(name)) {
                offer.let_go();
            }
        }
        self.handover.note_given(&taken);
        self.service.lock().ignore_poison().handed_over(pid);
        if let Err(error) = channel.send(&HandoverMessage::Go, &[], WORD) {
            tracing::warn!(%error, pid, "the new process ended as it took over");
        }
        tracing::info!(pid, "a new process has taken over");
        reap(child);
        Ok(pid)
    }

    fn start(&self, stdin: OwnedFd) -> std::io::Result<NewProcess> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::from(stdin));
        // They are of this process alone; the time in which to say that one is alive holds for both.
        command.env_remove("WATCHDOG_PID").env_remove("LISTEN_FDNAMES");
        Ok(NewProcess(Some(command.spawn()?)))
    }
}

/// What is handed over, with what it is of.
type Given = Vec<(Arc<dyn Giving>, Vec<(HandoverName, OwnedFd)>)>;

fn given(offers: &[Arc<dyn Giving>]) -> std::io::Result<Given> {
    // All at once, so that none waits for another.
    offers.iter().for_each(|offer| offer.prepare());
    offers.iter().map(|offer| Ok((Arc::clone(offer), offer.give()?))).collect()
}

fn send(channel: &HandoverChannel, given: &Given) -> std::io::Result<()> {
    let all: Vec<&(HandoverName, OwnedFd)> = given.iter().flat_map(|(_, each)| each).collect();
    let mut rest = all.chunks(AT_ONCE).peekable();
    loop {
        let part = rest.next().unwrap_or_default();
        let names = part.iter().map(|(name, _)| name.clone()).collect();
        let fds: Vec<_> = part.iter().map(|(_, fd)| fd.as_fd()).collect();
        let more = rest.peek().is_some();
        channel.send(&HandoverMessage::Sockets { names, more }, &fds, WORD)?;
        if !more {
            return Ok(());
        }
    }
}

/// Hands over, and waits until `end` for what the new process says then; `None`: it has ended.
fn ready(
    channel: &HandoverChannel,
    given: &Given,
    end: Instant,
) -> std::io::Result<Option<HandoverMessage>> {
    let gone = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    };
    let answer = send(channel, given).and_then(|()| {
        let left = end.saturating_duration_since(Instant::now());
        channel.receive(left.max(Duration::from_millis(1)))
    });
    match answer {
        Err(error) if gone(&error) => Ok(None),
        answer => Ok(answer?.map(|(message, _)| message)),
    }
}

/// Waits for the new process if it should end before this one does, so that nothing of it is left.
fn reap(child: Option<Child>) {
    let Some(mut child) = child else { return };
    let wait = move || drop(child.wait());
    // Without the thread the system does it when this process ends.
    drop(std::thread::Builder::new().name("jackfield-reap".to_owned()).spawn(wait));
}
