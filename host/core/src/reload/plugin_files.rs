//! Hears of changes in the plugin folders, and lets what waits for a plugin come alive.
//!
//! As for configuration files, what the system tells is a hint and no more ([`watch`](super::watch)). After one the
//! folders are looked at, and again when a file that is different may have settled. A folder that is not there is
//! waited for in the nearest one above it that is. All folders are looked at every `reload.poll` besides, which asks
//! the system about each file and reads none that has not changed.

use super::watch::{Folders, MOST_LOOKS, QUIET, next_poll, settle};
use super::{ReloadCause, Reloader, ReloaderState};
use jackfield_timers::sleep;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The least time between two looks, whatever the system tells.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a reload waits for plugin files that are being written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes over changes while `reload.plugins.watch` is set.
pub(super) async fn watch(reloader: &Reloader) {
    let mut options = reloader.inner.options.subscribe();
    loop {
        if options.wait_for(|options| options.plugins.watch).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = changes(reloader) => {}
            () = async { drop(options.wait_for(|options| !options.plugins.watch).await) } => {}
        }
    }
}

async fn changes(reloader: &Reloader) {
    let (tell, mut hints) = mpsc::channel(1);
    let mut folders = Folders::new(tell);
    loop {
        // A folder that has come before the one above it was watched is found by looking after that.
        for _ in 0..MOST_LOOKS {
            let places: Vec<PathBuf> =
                reloader.inner.manager.plugin_places().await.iter().map(|it| there(it)).collect();
            if !folders.set(places.iter().map(PathBuf::as_path)) {
                break;
            }
        }
        if reloader.look_at_plugins().await.is_some() {
            // While it is written it gives hints.
            let _ = jackfield_timers::timeout(QUIET, hints.recv()).await;
            settle(&mut hints).await;
            continue;
        }
        tokio::select! {
            _ = hints.recv() => sleep(PAUSE).await,
            () = next_poll(reloader) => {}
        }
    }
}

/// The folder, or the nearest one above it that is there.
fn there(folder: &Path) -> PathBuf {
    let here = folder.ancestors().find(|folder| folder.is_dir());
    here.unwrap_or_else(|| Path::new("/")).to_owned()
}

impl Reloader {
    /// Looks at the plugin folders once. Answers after how long to do so again, for a file that is being written.
    /// Cancel safe: it is done all the same.
    async fn look_at_plugins(&self) -> Option<Duration> {
        let inner = Arc::clone(&self.inner);
        let look = async move {
            let mut versions = inner.state.lock().await;
            let news = inner.manager.refresh_plugins(false).await;
            if !news.changes.is_empty() {
                inner.wake(&mut versions).await;
            }
            news.again
        };
        tokio::spawn(look).await.ok().flatten()
    }
}

impl ReloaderState {
    /// Looks at the plugin folders until no file is being written, or for a while; answers a line for each that is
    /// different.
    pub(super) async fn settled_plugins(&self) -> Vec<String> {
        let (end, mut lines) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let news = self.manager.refresh_plugins(true).await;
            lines.extend(news.changes.iter().map(ToString::to_string));
            match news.again {
                Some(again) if Instant::now() + again <= end => sleep(again).await,
                _ => return lines,
            }
        }
    }

    /// Takes over what has waited for a plugin that is there now.
    async fn wake(&self, versions: &mut super::Versions) {
        let loaded = Arc::clone(&versions.current.loaded);
        if self.manager.waiting_in(&loaded) == *versions.current.waiting {
            return;
        }
        let (begun, digest) = (Instant::now(), versions.digest);
        let result = self.take_over(versions, loaded, ReloadCause::Plugin, false).await;
        // Files may say something else by now, which was not read here.
        versions.digest = digest;
        // Writes what it came to.
        drop(self.tell(versions, result, (ReloadCause::Plugin, false), begun));
    }
}
