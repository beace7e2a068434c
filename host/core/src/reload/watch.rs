//! Hears of changes of the configuration files, and of files that secrets are in.
//!
//! What the system tells is a hint and no more: editors write a file anew under another name, Kubernetes swaps a link
//! above it, network file systems tell nothing. After any hint there have to be [`QUIET`] without another, but not for
//! longer than [`PATIENCE`]; then all is read, and where nothing is different nothing happens. The folders of all files
//! are watched, not the files, and all is read every `reload.poll` besides.

use super::secret_files::FilesSeen;
use super::{ReloadCause, Reloader};
use jackfield_timers::{sleep, timeout};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long there has to be no hint.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// How long hints may put off reading.
const PATIENCE: Duration = Duration::from_secs(2);

/// The least time between two looks, whatever `reload.poll` says.
pub(super) const LEAST_POLL: Duration = Duration::from_millis(100);

/// How long what has failed is left alone at most, while the files stay as they are.
const MOST_WAIT: Duration = Duration::from_secs(300);

/// How often is looked again because other folders are watched.
pub(super) const MOST_LOOKS: usize = 4;

/// What could not be taken over, and when it is tried again.
struct Failed {
    /// Of the files of the configuration, and of those of its secrets.
    digest: ([u8; 32], FilesSeen),
    again: Instant,
    wait: Duration,
}

/// Takes over changes while `reload.watch` is set.
pub(super) async fn watch(reloader: &Reloader) {
    let mut options = reloader.inner.options.subscribe();
    loop {
        if options.wait_for(|options| options.watch).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = changes(reloader) => {}
            () = async { drop(options.wait_for(|options| !options.watch).await) } => {}
        }
    }
}

async fn changes(reloader: &Reloader) {
    let (tell, mut hints) = mpsc::channel(1);
    let mut folders = Folders::new(tell);
    let mut failed: Option<Failed> = None;
    loop {
        if let Some(again) = look(reloader, &mut folders, failed.take()).await {
            failed = Some(again);
        }
        tokio::select! {
            _ = hints.recv() => settle(&mut hints).await,
            () = next_poll(reloader) => {}
        }
    }
}

/// When files are looked at again without a hint: every `reload.poll`; with zero never. Cancel safe.
pub(super) async fn next_poll(reloader: &Reloader) {
    let poll = reloader.inner.options.borrow().poll.0;
    match poll.is_zero() {
        true => std::future::pending().await,
        false => sleep(poll.max(LEAST_POLL)).await,
    }
}

/// Waits until there are no more hints for a while.
pub(super) async fn settle(hints: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if timeout(QUIET, hints.recv()).await.is_err() {
            return;
        }
    }
}

/// Reads the files and takes over what is different; answers what has failed.
async fn look(
    reloader: &Reloader,
    folders: &mut Folders,
    failed: Option<Failed>,
) -> Option<Failed> {
    let mut files = reloader.look().await?;
    let secrets = reloader.inner.state.lock().await.current.secret_files.clone();
    // What has changed before a folder was watched is seen by reading after that.
    for _ in 0..MOST_LOOKS {
        let others = reloader.inner.roots().filter_map(Path::parent).chain(secrets.folders());
        if !folders.set(files.folders().chain(others)) {
            break;
        }
        files = reloader.look().await?;
    }
    let digest = (files.digest(), secrets.now().await);
    let emptied = {
        let versions = reloader.inner.state.lock().await;
        if (versions.digest, versions.current.secret_files.seen) == digest {
            return None;
        }
        files.are_emptied(&versions.current.loaded)
    };
    let same = failed.filter(|failed| failed.digest == digest);
    if let Some(failed) = &same
        && Instant::now() < failed.again
    {
        return same;
    }
    // What is empty is most likely being written.
    if emptied && same.is_none() {
        tracing::warn!(
            "a file of the configuration is empty now: nothing is changed; SIGHUP has it taken over"
        );
    }
    if !emptied && reloader.reload(ReloadCause::Watch, false).await.is_ok() {
        return None;
    }
    let poll = reloader.inner.options.borrow().poll.0.max(LEAST_POLL);
    let wait = same.map_or(poll, |failed| (failed.wait * 2).min(MOST_WAIT.max(poll)));
    Some(Failed { digest, again: Instant::now() + wait, wait })
}

/// The folders that are watched.
pub(super) struct Folders {
    tell: mpsc::Sender<()>,
    watched: BTreeSet<PathBuf>,
    #[cfg(feature = "watch")]
    watcher: Option<notify::RecommendedWatcher>,
}

impl Folders {
    pub(super) fn new(tell: mpsc::Sender<()>) -> Self {
        Folders {
            tell,
            watched: BTreeSet::new(),
            #[cfg(feature = "watch")]
            watcher: None,
        }
    }

    /// Watches these folders and no others; those that links lead to, too. Answers whether they are others than before.
    pub(super) fn set<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) -> bool {
        let here = |folder: &Path| match folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => folder.to_owned(),
        };
        let named: BTreeSet<PathBuf> = folders.map(here).collect();
        let real: Vec<PathBuf> =
            named.iter().filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
        let wanted: BTreeSet<PathBuf> = named.into_iter().chain(real).collect();
        let is_new = wanted != self.watched;
        if is_new {
            self.watched = wanted;
            self.begin();
        }
        is_new
    }

    #[cfg(feature = "watch")]
    fn begin(&mut self) {
        use notify::Watcher as _;
        let tell = self.tell.clone();
        let hint = move |event: notify::Result<notify::Event>| {
            // Reading tells of itself, too.
            let is_read = |kind: notify::EventKind| {
                use notify::event::{AccessKind, AccessMode};
                matches!(kind, notify::EventKind::Access(access)
                    if access != AccessKind::Close(AccessMode::Write))
            };
            if !event.is_ok_and(|event| is_read(event.kind)) {
                // One that waits to be heard is enough.
                let _ = tell.try_send(());
            }
        };
        let watching = notify::recommended_watcher(hint).and_then(|mut watcher| {
            for folder in &self.watched {
                watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        self.watcher = match watching {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "changes of files are not told by the system: they are seen every reload.poll");
                None
            }
        };
    }

    #[cfg(not(feature = "watch"))]
    fn begin(&mut self) {
        let _ = &self.tell;
    }
}
