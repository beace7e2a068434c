//! The admin API: a running host looked at and changed from outside, by HTTP/1.1 and JSON over a Unix socket.
//!
//! ```text
//! socket ─▶ who connects (roles) ─▶ endpoint (table) ─▶ verbs and snapshots of the manager
//!                                                          │
//! events of the host ─▶ ring ─▶ readers of /v1/events ◀────┘
//! ```
//!
//! - **Sockets.** [`AdminSockets::bind`] takes the places that `[admin] listen` names, before anything else of the host
//!   begins; [`AdminSockets::serve`] answers there. The file of a socket never has more permissions than it is to have.
//! - **Roles.** The kernel tells the user who connects; `[admin]` says which users and groups may look, which may run
//!   verbs, and which may define and remove. Over TCP, which listens only on
//!   this machine, a token says who asks; web pages are kept out before.
//! - **Endpoints** are one table, of which the router and `/v1/openapi.json` are made. Lists are pages, errors are
//!   `application/problem+json` with the place in the body and the nearest name.
//! - **Events** are kept in a ring; a reader has no queue of its own, so that a slow one costs nothing.
//! - **Limits**: connections, readers of events, size and time of a request, each with a key.

mod calls;
mod changes;
mod configuration;
mod definitions;
mod endpoints;
mod events;
mod exposition;
mod gate;
mod lists;
mod log;
mod log_levels;
mod metrics;
mod nouns;
mod openapi;
mod probes;
mod problem;
mod request;
mod ring;
mod roles;
mod server;
mod socket;
mod status;
mod tokens;
mod upgrade;
mod verbs;
mod weights;

pub use log_levels::{LevelChange, LogLevels};
pub use roles::{AdminPeer, AdminRole};
pub use socket::usual_place;
pub use upgrade::UpgradeControl;

use crate::config::model::{AdminConfig, AdminPlace};
use crate::config::{ConfigError, ConfigErrors, KeyPath, Loaded};
use crate::handover::Handover;
use crate::manager::Manager;
use crate::reload::Reloader;
use roles::RoleTable;
use server::AdminApi;
use socket::AdminSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokens::TokenTable;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long answers that are under way may take when the host has stopped.
const END: Duration = Duration::from_secs(1);

/// What is wrong with an address where nobody could show who he is.
const WITHOUT_TOKENS: &str =
    "expected the key admin.tokens, with the file of those who may ask over TCP";

/// What of a host is changed beside its manager; what is missing is refused.
#[derive(Clone, Default)]
pub struct AdminControls {
    /// Changes the level of the log.
    pub log: Option<Arc<dyn LogLevels>>,
    /// Reads the configuration again.
    pub reloader: Option<Reloader>,
    /// Has a new process take over.
    pub upgrade: Option<Arc<dyn UpgradeControl>>,
}

impl std::fmt::Debug for AdminControls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminControls")
            .field("log", &self.log.is_some())
            .field("reloader", &self.reloader.is_some())
            .field("upgrade", &self.upgrade.is_some())
            .finish()
    }
}

/// Places that are taken, and not served yet: who connects waits.
pub struct AdminSockets {
    sockets: Vec<Arc<AdminSocket>>,
    roles: RoleTable,
    config: AdminConfig,
    tokens: Option<PathBuf>,
}

impl std::fmt::Debug for AdminSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = self.sockets.iter().map(|socket| &socket.place);
        f.debug_set().entries(places).finish()
    }
}

impl AdminSockets {
    /// Takes the places that `[admin] listen` of a configuration names. Where it names none, the usual one is taken;
    /// if that cannot be, the log says so and there is none. Has to be called inside a runtime.
    ///
    /// # Errors
    /// A place that is named and cannot be taken, and users and groups that this machine does not have.
    pub fn bind(loaded: &Loaded) -> Result<Self, ConfigErrors> {
        Self::bind_with(loaded, &Handover::default())
    }

    /// As [`AdminSockets::bind`]; what was handed over is taken in place of what would be bound.
    pub(crate) fn bind_with(loaded: &Loaded, handover: &Handover) -> Result<Self, ConfigErrors> {
        let config = loaded.config.admin.clone();
        let at = KeyPath::from_iter(["admin"]);
        let wrong = |key: KeyPath, message: String| {
            let error = ConfigError::new(loaded.sources.locate(&key), key, message);
            ConfigErrors::new(vec![error])
        };
        let roles = RoleTable::of(&config)
            .map_err(|(key, index, expected)| wrong(at.key(key).index(index), expected))?;
        let for_all = roles.lets_others_in();
        let tokens = config.tokens.as_ref().map(|file| loaded.file_name(&at.key("tokens"), file));
        if let Some(file) = &tokens {
            TokenTable::read(file).map_err(|why| wrong(at.key("tokens"), why))?;
        }
        let mut sockets = Vec::new();
        match &config.listen {
            Some(places) => {
                for (index, place) in places.iter().enumerate() {
                    let bound = match AdminPlace::of(place) {
                        Some(AdminPlace::Named(name)) => AdminSocket::named(name, handover),
                        Some(AdminPlace::Path(path)) => {
                            AdminSocket::bind(Path::new(path), for_all, handover)
                        }
                        Some(AdminPlace::Tcp(_)) if tokens.is_none() => {
                            Err(WITHOUT_TOKENS.to_owned())
                        }
                        Some(AdminPlace::Tcp(address)) => AdminSocket::tcp(address, handover),
                        None => Err("expected \"unix:PATH\" or \"socket:NAME\"".to_owned()),
                    };
                    let key = at.key("listen").index(index);
                    sockets.push(bound.map_err(|why| wrong(key, why))?);
                }
            }
            None => match AdminSocket::bind(&usual_place(), for_all, handover) {
                Ok(socket) => sockets.push(socket),
                Err(why) => tracing::info!(why, "no admin API: its usual place cannot be taken"),
            },
        }
        Ok(AdminSockets { sockets, roles, config, tokens })
    }

    /// Where they are.
    pub fn places(&self) -> Vec<String> {
        self.sockets.iter().map(|socket| socket.place.clone()).collect()
    }

    /// Answers there for `manager`, until the end of what this gives, with what `controls` change.
    pub fn serve(self, manager: Manager, controls: AdminControls) -> AdminServer {
        let AdminSockets { sockets, roles, config, tokens } = self;
        let room = Arc::new(Semaphore::new(config.max_connections as usize));
        let (stop, told) = watch::channel(false);
        let api = AdminApi::new(manager, config, (roles, tokens), controls);
        let mut serving = JoinSet::new();
        for socket in sockets {
            tracing::info!(socket = socket.place, "admin API");
            serving.spawn(server::serve(Arc::clone(&api), socket, Arc::clone(&room), told.clone()));
        }
        AdminServer { api, serving, stop }
    }
}

/// An admin API that answers; dropped, it ends at once.
#[must_use = "dropped, it answers no more"]
pub struct AdminServer {
    api: Arc<AdminApi>,
    serving: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminServer").field("sockets", &self.serving.len()).finish_non_exhaustive()
    }
}

impl AdminServer {
    /// From now on says that the host is stopping: it answers as before, but is not ready.
    pub fn note_stopping(&self) {
        self.api.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends: takes nothing new, and waits a second at most for answers that are under way.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(END, async { while self.serving.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::debug!("answers of the admin API were cut");
        }
    }
}
