//! Plugin files come, change and go under a host that runs: sessions stay on the code that they were opened by, what is
//! refused changes nothing, and what waits for a plugin comes alive.

mod changes;
mod folders;
mod program;
mod refused;
mod under_load;
mod waiting;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use jackfield::{
    config::{self, Overrides},
    driver::{GenerationSnapshot, PluginChange},
    manager::{Manager, Plugins, StartError},
    reload::Reloader,
};
use jackfield_plugin_api::{Result, Session};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::{
    loading::{faulty_mode, write},
    reload::soon,
    support::{jackfield::beside, process::tempdir},
};

/// The file of the plugin that says which copy of it runs.
const FAULTY: &str = "faulty.so";

/// A host in this process whose plugins all stand in a folder of its own.
struct Plugged {
    folder: TempDir,
    manager: Manager,
    reloader: Reloader,
}

impl Plugged {
    /// With these files of the build in its folder.
    async fn start(plugins: &[&str], toml: &str) -> Self {
        Self::try_start(plugins, toml).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_start(plugins: &[&str], toml: &str) -> std::result::Result<Self, StartError> {
        let folder = tempdir();
        fs::create_dir(folder.path().join("plugins")).unwrap();
        for name in plugins {
            write(&folder.path().join("plugins").join(name), &built(name));
        }
        Self::start_in(folder, toml).await
    }

    /// On the plugin files in the folder `plugins` of `folder`, and no others.
    async fn start_in(folder: TempDir, toml: &str) -> std::result::Result<Self, StartError> {
        let file = folder.path().join("jackfield.toml");
        let host =
            "[host]\nplugins = [\"plugins\"]\ncache = \"cache\"\nrefused_plugins = \"warn\"\n";
        fs::write(&file, format!("{host}{toml}")).unwrap();
        let loaded = config::load(std::slice::from_ref(&file), &Overrides::new());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let plugins = Plugins::load_with(&loaded, |options| options.beside = None).await;
        let manager = Manager::start_on(plugins, &loaded).await?;
        let reloader = Reloader::new(manager.clone(), vec![file], Overrides::new(), loaded).await;
        Ok(Plugged { folder, manager, reloader })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("plugins").join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        write(&self.path(name), bytes);
    }

    /// Looks at the folder until nothing in it is being written; answers what has changed.
    async fn look(&self) -> Vec<PluginChange> {
        let mut changes = Vec::new();
        loop {
            let news = self.manager.refresh_plugins(false).await;
            changes.extend(news.changes);
            let Some(again) = news.again else { return changes };
            tokio::time::sleep(again).await;
        }
    }

    async fn open(&self, to: &str) -> Result<Session> {
        self.manager.open(to, &Map::new()).await
    }

    /// What the copy of the faulty plugin says that new sessions are of.
    async fn mode(&self) -> String {
        mode(&self.open("faulty://x").await.unwrap_or_else(|error| panic!("{error}"))).await
    }

    /// The generations of all plugins but those with this name.
    fn generations(&self, plugin: &str) -> Vec<GenerationSnapshot> {
        let mut all = self.manager.registry().generations();
        all.retain(|generation| generation.id.plugin == plugin);
        all
    }
}

/// The name of the plugin with the driver `faulty`.
const FAULTY_PLUGIN: &str = "jackfield-faulty";

async fn mode(session: &Session) -> String {
    let mode = session.call("mode", &Value::Null).await.expect("an answer");
    mode.as_str().expect("a text").to_owned()
}

/// A plugin file of the build.
fn built(name: &str) -> Vec<u8> {
    fs::read(beside(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Another file with the same code: what stands behind a library is no part of it.
fn another(name: &str) -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut bytes = built(name);
    bytes.extend(format!("number {}", COUNT.fetch_add(1, Ordering::Relaxed)).bytes());
    bytes
}

/// What has happened, a word for each.
fn words(changes: &[PluginChange]) -> Vec<String> {
    let word = |change: &PluginChange| match change {
        PluginChange::Admitted { id, .. } => format!("admitted {}", id.generation),
        PluginChange::Replaced(id) => format!("replaced {}", id.generation),
        PluginChange::Removed { sessions, .. } => format!("removed with {sessions} sessions"),
        PluginChange::Refused { refusal, .. } => format!("refused {}", refusal.code()),
    };
    changes.iter().map(word).collect()
}

/// A copy of the faulty plugin that says `text`.
fn copy(text: &str) -> Vec<u8> {
    faulty_mode(text)
}
