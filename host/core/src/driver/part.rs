//! [`PluginPart`]: a driver, handler or interceptor by its name, over all generations of its plugin.
//!
//! What is configured of one ([`Prepared`](super::Prepared)) keeps its options. Another generation is given them
//! first, all of them, and takes the place of the old one only when it has accepted them all; what was opened before
//! stays on the old one.

use super::generation::Generation;
use super::handles::DriverHandle;
use super::prepared::{Prepared, PreparedState, Ready};
use crate::lock::IgnorePoison;
use crate::secret::Secret;
use jackfield_plugin_api::load::{Endpoint, Plugin};
use jackfield_plugin_api::watch::Owner;
use jackfield_plugin_api::{Error, Result, Role};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// What a part is configured as.
#[derive(Clone, Copy, Debug)]
pub(super) enum PartRole {
    Driver(Role),
    Handler,
    Interceptor,
}

/// A part as one generation has it.
#[derive(Debug)]
pub(super) struct PartNow {
    pub(super) generation: Arc<Generation>,
    /// Marks the calls into it.
    pub(super) owner: Owner,
    /// Its number in its plugin.
    pub(super) index: u32,
}

impl PartNow {
    async fn configure(&self, role: PartRole, options: &Arc<Secret>) -> Result<Endpoint> {
        self.generation.in_use.iter().for_each(|in_use| in_use.note());
        let (plugin, index, options) =
            (self.generation.plugin.clone(), self.index, Arc::clone(options));
        let work = move || configure(&plugin, role, index, options.expose());
        let endpoint = self.generation.health.prepare(work).await;
        endpoint.map(|endpoint| endpoint.owned_by(self.owner))
    }
}

fn configure(plugin: &Plugin, role: PartRole, index: u32, options: &str) -> Result<Endpoint> {
    match role {
        PartRole::Driver(role) => plugin.configure_driver(index, role, options),
        PartRole::Handler => plugin.configure_handler(index, options),
        PartRole::Interceptor => plugin.configure_interceptor(index, options),
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct PluginPart {
    /// `driver`, `handler` or `interceptor`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    state: Mutex<PartState>,
    /// A driver as the registry in use has it.
    described: Mutex<Weak<DriverHandle>>,
}

#[derive(Debug)]
struct PartState {
    /// Or why there is none now.
    now: Result<Arc<PartNow>>,
    users: Vec<Weak<PreparedState>>,
    /// How many there may be until those that are gone are looked for.
    room: usize,
}

/// The fewest users among which those that are gone are looked for.
const LEAST_ROOM: usize = 32;

/// Those that use a part, and what each becomes.
pub(super) type OfferedUsers = Vec<(Arc<PreparedState>, Ready)>;

impl PluginPart {
    pub(super) fn new(kind: &'static str, name: &str) -> Self {
        let none = Err(Error::unsupported("a part of no plugin"));
        let state = PartState { now: none, users: Vec::new(), room: LEAST_ROOM };
        let (name, state) = (name.to_owned(), Mutex::new(state));
        PluginPart { kind, name, state, described: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, PartState> {
        self.state.lock().ignore_poison()
    }

    fn named(&self, error: Error) -> Error {
        error.with(self.kind, &self.name)
    }

    /// Puts options in place, within the time that plugins have to start.
    ///
    /// # Errors
    /// What the plugin says of them; why there is none.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        role: PartRole,
        options: Secret,
    ) -> Result<Prepared> {
        let options = Arc::new(options);
        loop {
            let now = self.state().now.clone()?;
            let endpoint =
                now.configure(role, &options).await.map_err(|error| self.named(error))?;
            let ready = Ready::new(endpoint, Arc::clone(&now.generation));
            let state = Arc::new(PreparedState::new(ready, role, Arc::clone(&options)));
            if self.enter(&state, &now) {
                return Ok(Prepared::new(state));
            }
            // Another generation has taken its place meanwhile; how many there are is bounded.
        }
    }

    /// Enters a user of `now`, unless that is another by now.
    fn enter(&self, user: &Arc<PreparedState>, now: &Arc<PartNow>) -> bool {
        let mut state = self.state();
        if !state.now.as_ref().is_ok_and(|there| Arc::ptr_eq(there, now)) {
            return false;
        }
        if state.users.len() >= state.room {
            state.users.retain(|user| user.strong_count() > 0);
            state.room = LEAST_ROOM.max(state.users.len() * 2);
        }
        state.users.push(Arc::downgrade(user));
        true
    }

    fn users(&self) -> Vec<Arc<PreparedState>> {
        self.state().users.iter().filter_map(Weak::upgrade).collect()
    }

    /// Gives all users' options to `next`.
    ///
    /// # Errors
    /// The first that it does not accept; nothing has changed then.
    pub(super) async fn offer(&self, next: &PartNow) -> Result<OfferedUsers> {
        let mut becoming = Vec::new();
        for user in self.users() {
            becoming.push(self.offer_to(next, user).await?);
        }
        Ok(becoming)
    }

    async fn offer_to(
        &self,
        next: &PartNow,
        user: Arc<PreparedState>,
    ) -> Result<(Arc<PreparedState>, Ready)> {
        let endpoint = next.configure(user.role, &user.options).await;
        let endpoint = endpoint.map_err(|error| self.named(error))?;
        Ok((user, Ready::new(endpoint, Arc::clone(&next.generation))))
    }

    /// Takes `next` from now on; users that came since it was offered are given it, too.
    pub(super) async fn take(&self, next: &Arc<PartNow>, becoming: OfferedUsers) {
        self.state().now = Ok(Arc::clone(next));
        let offered: Vec<Arc<PreparedState>> =
            becoming.iter().map(|(user, _)| Arc::clone(user)).collect();
        for (user, ready) in becoming {
            user.take(ready);
        }
        let is_late = |user: &Arc<PreparedState>| {
            !user.is_of(&next.generation) && !offered.iter().any(|it| Arc::ptr_eq(it, user))
        };
        for user in self.users().into_iter().filter(is_late) {
            match self.offer_to(next, user).await {
                Ok((user, ready)) => user.take(ready),
                Err(error) => {
                    let (kind, name) = (self.kind, &self.name);
                    tracing::warn!(%error, "one use of the {kind} {name} stays on its old generation");
                }
            }
        }
    }

    /// Takes `now`, which nobody uses yet.
    pub(super) fn place(&self, now: &Arc<PartNow>) {
        self.state().now = Ok(Arc::clone(now));
    }

    /// Notes how a driver is described now.
    pub(super) fn describe(&self, driver: &Arc<DriverHandle>) {
        *self.described.lock().ignore_poison() = Arc::downgrade(driver);
    }

    /// The driver as it is described now.
    pub(super) fn described(&self) -> Option<Arc<DriverHandle>> {
        self.described.lock().ignore_poison().upgrade()
    }

    /// Marks the calls into it.
    pub(super) fn owner(&self) -> Owner {
        self.state().now.as_ref().map_or(Owner::NOBODY, |now| now.owner)
    }

    /// Nothing new is opened by it from now on, for that reason.
    pub(super) fn leave(&self, why: &Error) {
        self.state().now = Err(why.clone());
        self.users().iter().for_each(|user| user.leave(why));
    }

    /// Why there is none now.
    pub(super) fn gone(&self) -> Option<Error> {
        self.state().now.as_ref().err().cloned()
    }
}
