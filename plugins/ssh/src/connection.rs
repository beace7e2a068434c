//! [`Connection`]: an authenticated connection, shared by everything that uses it.

use crate::auth;
use crate::channels::Channels;
use crate::client::{Client, Facts};
use crate::endpoint::Endpoint;
use crate::failure::of_ssh;
use crate::greeting::Greeting;
use crate::lifeline::{Lifeline, tether};
use crate::options::SshOptions;
use crate::received::Received;
use crate::trust::Trust;
use jackfield_plugin_api::EventQueue;
use jackfield_plugin_api::{Address, Carrier, Error, ErrorKind, Host, Info, Reading, Result};
use russh::Disconnect;
use russh::client::{Handle, connect_stream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long what was written may take to leave after the last user is gone.
const LINGER: Duration = Duration::from_secs(5);

/// An authenticated connection. It ends when all its handles were dropped: written data is still sent.
pub(crate) struct Connection {
    handle: Option<Handle<Client>>,
    lifeline: Mutex<Option<Lifeline>>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) news: Arc<EventQueue>,
    pub(crate) options: Arc<SshOptions>,
    pub(crate) host: Host,
    facts: Arc<Facts>,
    info: Info,
    draining: AtomicBool,
    closing: OnceLock<()>,
}

/// Connects over `carrier` and logs in. Dropping the future leaves nothing behind.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    address: &Address,
    carrier: Carrier,
    below: &Info,
) -> Result<Arc<Connection>> {
    let user = endpoint.user(address)?;
    let (host, port) = (address.host.clone(), address.port.unwrap_or(22));
    let options = Arc::clone(&endpoint.options);
    let rules = Arc::clone(&options);
    let trust = tokio::task::spawn_blocking(move || Trust::load(&rules, &host, port)).await;
    let trust = trust.map_err(|error| Error::new(ErrorKind::Panicked, error.to_string()))??;
    let config = Arc::new(endpoint.config(&trust)?);
    let limit = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let channels = Arc::new(Channels::new(limit(options.channel_buffer)));
    let news = Arc::new(EventQueue::new(limit(options.events)));
    let facts = Arc::new(Facts::default());
    let received = Arc::new(Received::default());
    let client = Client {
        trust,
        host: endpoint.host,
        server: address.authority(),
        received: Arc::clone(&received),
        facts: Arc::clone(&facts),
        channels: Arc::clone(&channels),
        news: Arc::clone(&news),
    };
    let (tethered, lifeline) = tether(Reading::new(carrier, Greeting::new(Arc::clone(&received))));
    let at = |error: Error| error.with("server", address.authority());
    let mut handle =
        connect_stream(config, tethered, client).await.map_err(|failure| at(failure.into()))?;
    let login = auth::Login {
        handle: &mut handle,
        channels: &channels,
        received: &received,
        user: &user,
        credentials: &endpoint.credentials,
        password: address.password.as_ref().or(endpoint.credentials.password.as_ref()),
        password_in_uri: address.password.is_some(),
        sign_with_sha1: endpoint.algorithms.sign_with_sha1,
    };
    let method = login.run().await.map_err(|error| at(error.with("user", &user)))?;
    let info = Info::new().encrypted();
    let info = info.with("user", user).with("auth", method).over(below);
    Ok(Arc::new(Connection {
        handle: Some(handle),
        lifeline: Mutex::new(Some(lifeline)),
        channels,
        news,
        options,
        host: endpoint.host,
        facts,
        info,
        draining: AtomicBool::new(false),
        closing: OnceLock::new(),
    }))
}

impl Connection {
    fn lifeline(&self) -> Option<Lifeline> {
        self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The protocol's handle.
    ///
    /// # Errors
    /// Why the connection was lost, or that it takes no new work.
    pub(crate) fn handle(&self) -> Result<&Handle<Client>> {
        if let Some(error) = self.channels.lost() {
            return Err(error);
        }
        let closed = || Error::new(ErrorKind::Closed, "the connection is closed");
        self.handle.as_ref().filter(|_| self.closing.get().is_none()).ok_or_else(closed)
    }

    /// As [`Connection::handle`], for new work.
    pub(crate) fn for_new_work(&self) -> Result<&Handle<Client>> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the connection is draining"));
        }
        self.handle()
    }

    /// What is known of the server.
    pub(crate) fn info(&self) -> Info {
        let mut info = self.info.clone();
        info.identity = self.facts.fingerprint.get().cloned();
        for (name, value) in self.facts.negotiated.get().into_iter().flatten() {
            info = info.with(name, value.clone());
        }
        if let Some(identity) = self.facts.certificate.get() {
            info = info.with("host_certificate", identity.clone());
        }
        if self.channels.stalled() {
            info = info.with("stalled", true);
        }
        info.with("channels", self.channels.count())
    }

    /// One round trip: a question that the server answers in any case.
    pub(crate) async fn ping(&self) -> Result<Duration> {
        let handle = self.handle()?;
        let started = Instant::now();
        self.channels.race(async { handle.send_ping().await.map_err(of_ssh) }).await?;
        // The protocol crate reports a lost connection as an answer.
        self.handle()?;
        Ok(started.elapsed())
    }

    /// Takes no new work and waits for what runs.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.channels.idle().await;
    }

    /// Says goodbye and waits until the connection is over.
    pub(crate) async fn close(&self, code: u64, reason: &str) {
        let Ok(handle) = self.handle() else { return };
        let _ = self.closing.set(());
        let reached = async {
            goodbye(handle, code, reason).await;
            self.channels.gone().await;
        };
        if tokio::time::timeout(LINGER, reached).await.is_err() {
            self.channels.lose(Error::new(ErrorKind::Closed, "the connection was closed"));
            drop(self.lifeline());
        }
    }
}

/// Sends what is still queued, then the goodbye.
async fn goodbye(handle: &Handle<Client>, code: u64, reason: &str) {
    let code = u32::try_from(code).ok().and_then(|code| Disconnect::try_from(code).ok());
    let code = code.unwrap_or(Disconnect::ByApplication);
    let _ = handle.disconnect(code, reason, "").await;
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(handle), Some(lifeline)) = (self.handle.take(), self.lifeline()) else {
            return;
        };
        if self.channels.lost().is_some() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let channels = Arc::clone(&self.channels);
        let said = self.closing.get().is_some();
        runtime.spawn(async move {
            let reached = async {
                if !said {
                    goodbye(&handle, 0, "").await;
                }
                channels.gone().await;
            };
            let _ = tokio::time::timeout(LINGER, reached).await;
            drop(lifeline);
        });
    }
}
