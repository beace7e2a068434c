//! A running host takes over changes of its configuration: what changed and nothing else, whole or not at all.

mod certificates;
mod errors;
mod process;
mod sessions;
mod triggers;
mod versions;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use jackfield::{
    config::{self, Overrides},
    manager::Manager,
    reload::{ReloadCause, ReloadError, Reloader, Report},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    host::exchange,
    process::{DEADLINE, tempdir},
};

/// A host in this process with a configuration that changes.
pub(crate) struct Changing {
    folder: TempDir,
    pub(crate) manager: Manager,
    reloader: Reloader,
}

impl Changing {
    pub(crate) async fn start(toml: &str) -> Self {
        Self::start_in(tempdir(), toml).await
    }

    /// As `start`, with what is in `folder` beside the configuration.
    async fn start_in(folder: TempDir, toml: &str) -> Self {
        let file = folder.path().join("jackfield.toml");
        fs::write(&file, toml).unwrap();
        let loaded = config::load(std::slice::from_ref(&file), &Overrides::new());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let manager = Manager::start(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let (files, overrides) = (vec![file], Overrides::new());
        let reloader = Reloader::new(manager.clone(), files, overrides, loaded).await;
        Changing { folder, manager, reloader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the configuration in its place as a whole: a reload that was asked for before may read it at this moment.
    fn write(&self, toml: &str) {
        fs::write(self.path(".next"), toml).unwrap();
        fs::rename(self.path(".next"), self.path("jackfield.toml")).unwrap();
    }

    /// Writes the configuration anew and has it taken over.
    async fn try_reload(&self, toml: &str) -> Result<Report, ReloadError> {
        self.write(toml);
        self.reloader.reload(ReloadCause::Call, false).await
    }

    pub(crate) async fn reload(&self, toml: &str) -> Report {
        self.try_reload(toml).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The mistakes of a configuration that is not taken over, with names of files as they are in the folder.
    async fn mistakes(&self, toml: &str) -> String {
        let error = self.try_reload(toml).await.expect_err("mistakes").to_string();
        without_folder(&error, self.folder.path())
    }
}

fn without_folder(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

fn route(address: SocketAddr, to: &str) -> String {
    format!("[[routes]]\nlisten = \"tcp://{address}\"\nto = \"{to}\"\n")
}

/// An address of this host that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    ([127, 0, 0, 1], crate::support::ports::free()).into()
}

/// What a connection to `address` is greeted with.
async fn greeting(address: SocketAddr) -> String {
    String::from_utf8(exchange(address, b"").await.unwrap()).unwrap()
}

/// Sends one byte and gets it back.
async fn echoed(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"x").await;
    sent.is_ok() && stream.read_u8().await.is_ok_and(|byte| byte == b'x')
}

/// Waits for `condition`, which takes a moment at most.
pub(crate) async fn soon(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "{what} did not come");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
