//! A host in this process, on a configuration written for the test.

use std::{net::SocketAddr, path::Path};

use jackfield::{
    addr::Addr,
    config::{self, Loaded, Overrides},
    manager::{Manager, StartError},
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::process::tempdir;

/// A running host; its drivers are those built beside the test.
pub(crate) struct TestHost {
    manager: Manager,
    _folder: TempDir,
}

impl TestHost {
    /// Starts a host on `toml`.
    pub(crate) async fn start(toml: &str) -> Self {
        Self::try_start(toml).await.unwrap_or_else(|error| panic!("the host: {error}"))
    }

    pub(crate) async fn try_start(toml: &str) -> Result<Self, StartError> {
        let folder = tempdir();
        let loaded = load(folder.path(), toml);
        let manager = Manager::start(&loaded).await?;
        Ok(Self { manager, _folder: folder })
    }

    pub(crate) fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Where the route number `index` listens.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        let listeners = self.manager.listeners();
        let local = listeners[index].local.as_ref().and_then(Addr::socket);
        local.expect("a listener with an address")
    }

    /// Opens a session with options given as JSON.
    pub(crate) async fn open(
        &self,
        to: &str,
        options: Value,
    ) -> jackfield_plugin_api::Result<jackfield_plugin_api::Session> {
        let options: Map<String, Value> = match options {
            Value::Object(options) => options,
            _ => Map::new(),
        };
        self.manager.open(to, &options).await
    }

    /// Ends it as an operator would; answers how many connections had to be ended.
    pub(crate) async fn shutdown(self) -> usize {
        self.manager.shutdown().await
    }
}

/// The configuration `toml`, as if it stood in a file in `folder`.
pub(crate) fn load(folder: &Path, toml: &str) -> Loaded {
    let file = folder.join("jackfield.toml");
    std::fs::write(&file, toml).expect("a configuration file");
    config::load(&[file], &Overrides::new()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Sends `bytes`, ends that direction, and reads what comes back to its end.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut read, mut write) = stream.split();
    let sending = async {
        write.write_all(bytes).await?;
        write.shutdown().await
    };
    let mut answer = Vec::new();
    let (sent, received) = tokio::join!(sending, read.read_to_end(&mut answer));
    sent.and(received)?;
    Ok(answer)
}
