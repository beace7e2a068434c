//! [`Prepared`]: a driver, handler or interceptor with its options in place.

use super::generation::Generation;
use super::part::PartRole;
use crate::secret::Secret;
use crate::services::{HostAddress, connect_tcp};
use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::TryFutureExt;
use futures_util::future::{self, Either};
use jackfield_plugin_api::load::Endpoint;
use jackfield_plugin_api::op::{Op, Transfer};
use jackfield_plugin_api::services::SocketKind;
use jackfield_plugin_api::{Call, Error, Kept, Listener, Next, Request, Result, Session};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A driver, handler or interceptor with its options in place, for any number of calls at once. All are cancel
/// safe: dropping one ends what it had begun.
///
/// When its plugin is replaced, what is opened from then on is of the new generation; when that is gone, nothing is
/// opened until it is back. Sessions keep the generation that they were opened by.
#[derive(Debug)]
pub struct Prepared {
    state: Arc<PreparedState>,
}

/// What its part changes under it.
#[derive(Debug)]
pub(super) struct PreparedState {
    ready: ArcSwap<Ready>,
    /// Why it is gone, if `is_gone` says that it is.
    gone: ArcSwapOption<Error>,
    is_gone: AtomicBool,
    pub(super) role: PartRole,
    pub(super) options: Arc<Secret>,
}

/// Options in place in one generation.
#[derive(Debug)]
pub(super) struct Ready {
    endpoint: Endpoint,
    generation: Arc<Generation>,
}

impl Ready {
    pub(super) fn new(endpoint: Endpoint, generation: Arc<Generation>) -> Self {
        Ready { endpoint, generation }
    }
}

impl PreparedState {
    pub(super) fn new(ready: Ready, role: PartRole, options: Arc<Secret>) -> Self {
        let (ready, gone) = (ArcSwap::from_pointee(ready), ArcSwapOption::empty());
        PreparedState { ready, gone, is_gone: AtomicBool::new(false), role, options }
    }

    pub(super) fn is_of(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.ready.load().generation, generation)
    }

    pub(super) fn take(&self, ready: Ready) {
        self.ready.store(Arc::new(ready));
        self.is_gone.store(false, Ordering::Release);
    }

    pub(super) fn leave(&self, why: &Error) {
        self.gone.store(Some(Arc::new(why.clone())));
        self.is_gone.store(true, Ordering::Release);
    }
}

impl Prepared {
    pub(super) fn new(state: Arc<PreparedState>) -> Self {
        Prepared { state }
    }

    /// Connects.
    ///
    /// # Errors
    /// The driver's, or why its plugin is not used any more.
    pub fn open(&self, request: Request) -> impl Future<Output = Result<Session>> + Send + '_ {
        self.call(|endpoint| endpoint.open(request)).map_ok(keeping)
    }

    /// Connects to `address`, where that is nothing but a socket of the host's; `None` where the driver is to be asked,
    /// or is not to be used at this moment.
    ///
    /// # Errors
    /// What resolving a name and the system say.
    pub(crate) fn connect<'a>(
        &self,
        address: HostAddress<'a>,
    ) -> Option<impl Future<Output = Result<Session>> + Send + use<'a>> {
        let ready = self.admitted().ok().filter(|ready| !ready.generation.health.is_troubled())?;
        let socket = ready.endpoint.socket().filter(|socket| socket.kind == SocketKind::Tcp)?;
        let (socket, generation) = (Arc::clone(socket), Arc::clone(&ready.generation));
        Some(async move {
            let names = generation.common.host_names();
            let mut session = connect_tcp(&socket, address, names).await?;
            session.keep(generation.held());
            Ok(session)
        })
    }

    /// A layer's passive side, over the request's carrier.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub fn accept(&self, request: Request) -> impl Future<Output = Result<Session>> + Send + '_ {
        self.call(|endpoint| endpoint.accept(request)).map_ok(keeping)
    }

    /// A transport's passive side, and what each session that it accepts is to keep.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub fn listen(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<(Listener, Kept)>> + Send + '_ {
        self.call(|endpoint| endpoint.listen(request))
    }

    /// Gives a session to a handler; done when it has been served.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub async fn serve(&self, mut session: Session) -> Result<()> {
        // Here, so that the session itself need not take it along.
        let _kept = session.take_kept();
        let ready = self.admitted()?;
        let _serving = ready.generation.held();
        let _trial = ready.generation.health.admit().await?;
        ready.endpoint.serve(session).await
    }

    /// Runs an operation through an interceptor, which may pass it on to `next`. One that is gone goes on for what it
    /// stands around.
    ///
    /// # Errors
    /// As [`Prepared::open`], or the operation's.
    pub async fn intercept(&self, call: &Call, next: Next) -> Result<Value> {
        let ready = self.state.ready.load_full();
        let _trial = ready.generation.health.admit().await?;
        ready.endpoint.intercept(call, next).await
    }

    /// Whether something new may be opened by it.
    ///
    /// # Errors
    /// Why not: its plugin file was removed.
    pub fn is_there(&self) -> Result<()> {
        if !self.state.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        self.state.gone.load().as_ref().map_or(Ok(()), |why| Err((**why).clone()))
    }

    fn admitted(&self) -> Result<Arc<Ready>> {
        self.is_there()?;
        Ok(self.state.ready.load_full())
    }

    /// Starts it, at once unless the plugin has to be admitted first: what waits for it keeps no room for what it was
    /// given.
    fn call<'a, T: Transfer>(
        &'a self,
        start: impl FnOnce(&Endpoint) -> Op<T> + Send + 'a,
    ) -> impl Future<Output = Result<(T, Kept)>> + Send + 'a {
        let ready = match self.admitted() {
            Ok(ready) => ready,
            Err(error) => return Either::Left(Either::Left(future::ready(Err(error)))),
        };
        if ready.generation.health.is_troubled() {
            return Either::Right(Box::pin(async move {
                let _trial = ready.generation.health.admit().await?;
                Ok((start(&ready.endpoint).await?, ready.generation.held()))
            }));
        }
        let started = start(&ready.endpoint);
        Either::Left(Either::Right(started.map_ok(move |made| (made, ready.generation.held()))))
    }
}

fn keeping((mut session, kept): (Session, Kept)) -> Session {
    session.keep(kept);
    session
}
