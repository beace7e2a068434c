//! [`Target`]: one place to connect to, directly or via another connection.

use super::intercept::{Around, Interceptor, Registered, merged};
use super::keepalive::KeepAlive;
use super::managed::Managed;
use super::session_pool::{PooledSession, Purpose, SessionPool};
use crate::deadline::Deadline;
use crate::events::Source;
use crate::stack::Stack;
use crate::work::{self, OpeningStep};
use jackfield_plugin_api::{ErrorKind, Result, Session};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Who opens a session and what for, as others are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Caller {
    /// A peer's address, or what a program calls itself.
    pub owner: String,
    /// Such as the listener it came in by; empty when nothing is known.
    pub purpose: String,
}

impl Caller {
    /// A caller of that name and purpose.
    pub fn new(owner: impl Into<String>, purpose: impl Into<String>) -> Self {
        Caller { owner: owner.into(), purpose: purpose.into() }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.purpose.as_str() {
            "" => f.write_str(&self.owner),
            purpose => write!(f, "{} ({purpose})", self.owner),
        }
    }
}

/// Who uses what one uses at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub by: Caller,
    /// For how long so far.
    pub time: Duration,
    /// How many wait for its end.
    pub waiting: usize,
}

/// What [`Gate::enter`] gives: a future of leave to open.
pub type Entering<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Leave>>> + Send + 'a>>;

/// Lets sessions of a target be opened one after the other, or however it sees fit.
pub trait Gate: fmt::Debug + Send + Sync {
    /// Waits for leave to open a session. Cancel safe.
    ///
    /// # Errors
    /// Why not, and who is inside.
    fn enter<'a>(&'a self, caller: &'a Caller) -> Entering<'a>;
    /// Who may use it at this moment, where the next user waits for the end of that.
    fn held(&self) -> Option<Held>;
}

/// Leave to open one session; dropped, it is given back.
pub trait Leave: Send {
    /// Binds the leave to the session: it lasts as long as that.
    fn bind(self: Box<Self>, session: Session) -> Session;
}

/// A stack and what carries it.
#[derive(Debug)]
pub struct Target {
    stack: Arc<Stack>,
    /// The same with other credentials, for when the ones before were refused.
    others: Arc<[Stack]>,
    via: Option<Arc<Managed>>,
    gate: Option<Arc<dyn Gate>>,
    /// Between requests of whichever peer.
    requests: SessionPool,
    interceptors: Arc<[Registered]>,
}

impl Target {
    /// A target reached by its own transport, or via another connection.
    pub fn new(stack: Stack, via: Option<Arc<Managed>>) -> Self {
        let requests = SessionPool::between_requests(KeepAlive::default(), None);
        let (others, interceptors) = (Arc::default(), Arc::default());
        Target { stack: Arc::new(stack), others, via, gate: None, requests, interceptors }
    }

    /// The same place, for another owner: with the same stack, credentials, gate and interceptors, but no
    /// sessions in common.
    #[must_use]
    pub fn again(&self) -> Self {
        Target {
            stack: Arc::clone(&self.stack),
            others: Arc::clone(&self.others),
            via: self.via.clone(),
            gate: self.gate.clone(),
            requests: SessionPool::between_requests(KeepAlive::default(), None),
            interceptors: Arc::clone(&self.interceptors),
        }
    }

    /// Puts interceptors around the operations on its sessions, beside those that are there, each with its
    /// order; the lower ones are further outside, of the same order the earlier ones.
    #[must_use]
    pub fn intercepted(
        mut self,
        interceptors: impl IntoIterator<Item = (i32, Arc<dyn Interceptor>)>,
    ) -> Self {
        let mut all = self.interceptors.to_vec();
        all.extend(interceptors.into_iter().map(Registered::defined));
        all.sort_by_key(Registered::order);
        self.interceptors = all.into();
        self
    }

    /// What stands around operations on its sessions, for calls in the name of `connection`.
    pub fn around_as(&self, connection: &str) -> Around {
        self.around(&connection.into(), None, Arc::default())
    }

    /// With those that a program has `added`.
    pub(super) fn around(
        &self,
        connection: &Arc<str>,
        source: Option<Arc<Source>>,
        added: Arc<[Registered]>,
    ) -> Around {
        Around {
            connection: Arc::clone(connection),
            driver: self.stack.top().map_or("", |driver| driver.name()).into(),
            source,
            rest: merged(&self.interceptors, added),
        }
    }

    /// Also tries `others`, in this order, each only when the peer has refused the credentials of the
    /// one before, and for no other reason.
    #[must_use]
    pub fn or_else(mut self, others: Vec<Stack>) -> Self {
        self.others = others.into();
        self
    }

    /// Opens sessions only as `gate` gives leave.
    #[must_use]
    pub fn behind(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Its stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The connection that dials for it, if any.
    pub fn via(&self) -> Option<&Arc<Managed>> {
        self.via.as_ref()
    }

    /// Whether its sessions may serve one peer after the other: not where each needs leave of its own, nor
    /// where each is told who the client is.
    pub fn is_open_to_all(&self) -> bool {
        !self.is_exclusive() && !self.stack.tells_client()
    }

    /// Whether one user has it at a time, and the next waits for the end of that.
    pub fn is_exclusive(&self) -> bool {
        self.gate.is_some()
    }

    /// Who may use it at this moment, where the next user waits for the end of that.
    pub fn held(&self) -> Option<Held> {
        self.gate.as_ref().and_then(|gate| gate.held())
    }

    /// A session for one request, within `limit`: one that has answered another and was unused since then for
    /// less than `rested`, or a new one. They are kept as the defaults of [`KeepAlive`] say; where each session
    /// [needs leave](Target::is_open_to_all), each request has one of its own, for `caller`, which nothing else
    /// asks for. Cancel safe.
    ///
    /// # Errors
    /// As [`Target::open_for`].
    pub async fn for_request(
        self: &Arc<Self>,
        caller: impl FnOnce() -> Caller,
        limit: Duration,
        rested: Duration,
    ) -> Result<PooledSession> {
        let purpose = Purpose::Request { rested };
        if !self.is_open_to_all() {
            let session = self.open_for(&caller(), limit).await?;
            return Ok(PooledSession::own(session, purpose));
        }
        Ok(self.requests.checkout(self, purpose, true, limit).await?)
    }

    /// A session of its own, as [`Target::open_for`], for all but requests.
    ///
    /// # Errors
    /// As there.
    pub async fn for_data(
        &self,
        caller: impl FnOnce() -> Caller,
        limit: Duration,
    ) -> Result<PooledSession> {
        // Nobody asks whose it is where no leave is needed.
        let session = match &self.gate {
            None => self.connect(limit).await?,
            Some(_) => self.open_for(&caller(), limit).await?,
        };
        Ok(PooledSession::own(session, Purpose::Data))
    }

    /// As [`Target::open_for`], for the host itself.
    ///
    /// # Errors
    /// As there.
    pub async fn open(&self, limit: Duration) -> Result<Session> {
        self.open_for(&Caller::new("the host", ""), limit).await
    }

    /// Opens a session of its own within `limit`, dialling and all credentials included, once there is
    /// leave to: waiting for that has limits of its own. Cancel safe: what was open is dropped.
    ///
    /// # Errors
    /// The first layer's that fails, the carrying connection's, or why there is no leave.
    pub async fn open_for(&self, caller: &Caller, limit: Duration) -> Result<Session> {
        match &self.gate {
            None => self.connect(limit).await,
            Some(gate) => {
                let leave = gate.enter(caller).await?;
                let session = self.connect(limit).await?;
                Ok(leave.bind(session))
            }
        }
    }

    async fn connect(&self, limit: Duration) -> Result<Session> {
        let deadline = Deadline::after(limit);
        let mut stack: &Stack = &self.stack;
        let mut others = self.others.iter();
        loop {
            let carrier = match &self.via {
                Some(via) => Some(via.dial(stack.address(), deadline.left()).await?),
                None => None,
            };
            let error = match stack.open_by(carrier, deadline).await {
                Err(error) if error.kind() == ErrorKind::Denied => error,
                other => return other,
            };
            match others.next() {
                Some(next) => {
                    let uri = stack.display();
                    tracing::info!(uri, %error, "credentials refused, trying the next");
                    work::opening(OpeningStep::Connecting);
                    stack = next;
                }
                None if self.others.is_empty() => return Err(error),
                None => return Err(error.with("credentials tried", self.others.len() + 1)),
            }
        }
    }
}
