//! [`Interceptor`]: code of a program or a plugin around the operations of a connection: before, after, on
//! an error, or in their place.
//!
//! ```text
//! a call ─▶ interceptor of the lowest order ─▶ … ─▶ the one of the highest ─▶ the operation
//!        ◀─                                 ◀─   ◀─                         ◀─ result or error
//! ```
//!
//! A call is one on the session that a named connection shares, or on one of its target's own; [`Around`] is
//! what stands around both.

use super::live::Live;
use crate::events::Source;
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

/// The most interceptors of one connection.
pub const MAX_INTERCEPTORS: usize = 64;

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// An operation on its way.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The name of the connection.
    pub connection: &'a str,
    /// The driver on top of its stack; empty where a program makes the sessions itself.
    pub driver: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// Its parameters, as far as they have come.
    pub params: &'a Value,
    /// Labels of the connection; none where an upstream or a route calls on a session of its own.
    pub labels: &'a BTreeMap<String, String>,
    /// The connection itself, on whose shared session the call is made: its info, events and [`Data`](super::Data);
    /// `None` where a session of one's own is called on.
    pub live: Option<&'a Live>,
}

impl Call<'_> {
    /// The device and its path, where the connection is one.
    pub fn device(&self) -> Option<(&str, &str)> {
        self.connection.strip_prefix("devices.")?.split_once('.')
    }
}

/// What a call becomes. Dropping it cancels the call.
pub type Calling<'a> = Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>;

/// Code around the operations of a connection.
pub trait Interceptor: Send + Sync {
    /// Whether it is for this call; those that are not go past it. Default: it is.
    fn applies(&self, call: &Call<'_>) -> bool {
        let _ = call;
        true
    }

    /// Makes the call, most often by [`Next::run`]: with the parameters or others, once, again, or not
    /// at all; its result becomes the call's. All of it has the time of the call.
    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a>;
}

/// The operation itself.
pub(crate) trait Innermost: Sync {
    /// The connection whose session it is run on, if that is shared.
    fn live(&self) -> Option<&Live> {
        None
    }

    fn run<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a>;
}

/// On a session, as it is.
impl Innermost for Session {
    fn run<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a> {
        Box::pin(self.call(operation, params))
    }
}

/// What stands around the operations of one connection, at one moment.
#[derive(Clone, Debug)]
pub struct Around {
    pub(super) connection: Arc<str>,
    pub(super) driver: Arc<str>,
    /// The connection, as its events name it; none where there is no named one.
    pub(super) source: Option<Arc<Source>>,
    pub(super) rest: Arc<[Registered]>,
}

impl Around {
    /// Runs an operation on `session`, through everything that stands around. Cancel safe as far as the
    /// operation is.
    ///
    /// # Errors
    /// What the operation says, or what stands around it makes of that.
    pub async fn call(&self, session: &Session, operation: &str, params: &Value) -> Result<Value> {
        self.run(session, operation, params).await
    }

    /// As [`Around::call`], with `innermost` in the place of a session.
    pub(crate) async fn run(
        &self,
        innermost: &dyn Innermost,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        self.next(innermost, operation).run(params).await
    }

    pub(super) fn next<'a>(&'a self, innermost: &'a dyn Innermost, operation: &'a str) -> Next<'a> {
        let Around { connection, driver, source, rest } = self;
        let labels = source.as_ref().map_or(&NO_LABELS, |source| &source.labels);
        Next { connection, driver, operation, labels, rest, innermost }
    }
}

/// What is behind an interceptor: further ones, and the operation.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    connection: &'a str,
    driver: &'a str,
    operation: &'a str,
    labels: &'a BTreeMap<String, String>,
    rest: &'a [Registered],
    innermost: &'a dyn Innermost,
}

impl Next<'_> {
    /// Goes on with these parameters.
    ///
    /// # Errors
    /// Those of what is behind.
    pub fn run<'a>(&'a self, params: &'a Value) -> Calling<'a> {
        self.run_as(self.operation, params)
    }

    /// Goes on with another operation.
    ///
    /// # Errors
    /// As [`Next::run`].
    pub fn run_as<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a> {
        let Next { connection, driver, labels, .. } = *self;
        let live = self.innermost.live();
        let call = Call { connection, driver, operation, params, labels, live };
        let mut rest = self.rest;
        while let Some((first, behind)) = rest.split_first() {
            if first.interceptor.applies(&call) {
                let next = Next { rest: behind, operation, ..*self };
                return first.interceptor.intercept(call, next);
            }
            rest = behind;
        }
        self.innermost.run(operation, params)
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// An interceptor in its place.
#[derive(Clone)]
pub(super) struct Registered {
    order: i32,
    id: u64,
    interceptor: Arc<dyn Interceptor>,
}

impl Registered {
    /// One that a definition names.
    pub(super) fn defined((order, interceptor): (i32, Arc<dyn Interceptor>)) -> Self {
        Registered { order, id: 0, interceptor }
    }

    pub(super) fn order(&self) -> i32 {
        self.order
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("order", &self.order).finish_non_exhaustive()
    }
}

/// Those that a definition names and those that a program has added, in order.
pub(super) fn merged(defined: &Arc<[Registered]>, added: Arc<[Registered]>) -> Arc<[Registered]> {
    if defined.is_empty() {
        return added;
    }
    let mut all: Vec<Registered> = defined.iter().chain(&*added).cloned().collect();
    all.sort_by_key(|entry| entry.order);
    all.into()
}

/// All interceptors that a program adds to a connection, in order. Calls that run keep those they began with.
#[derive(Default)]
pub(super) struct InterceptorList {
    list: Mutex<(u64, Arc<[Registered]>)>,
}

impl InterceptorList {
    pub(super) fn all(&self) -> Arc<[Registered]> {
        Arc::clone(&self.list.lock().ignore_poison().1)
    }

    pub(super) fn add(
        self: &Arc<Self>,
        order: i32,
        interceptor: Arc<dyn Interceptor>,
    ) -> Result<Interception> {
        let mut list = self.list.lock().ignore_poison();
        if list.1.len() >= MAX_INTERCEPTORS {
            let text = format!("a connection has at most {MAX_INTERCEPTORS} interceptors");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        list.0 += 1;
        let id = list.0;
        let at = list.1.partition_point(|entry| entry.order <= order);
        let mut all = list.1.to_vec();
        all.insert(at, Registered { order, id, interceptor });
        list.1 = all.into();
        Ok(Interception { id, of: Arc::downgrade(self) })
    }
}

impl fmt::Debug for InterceptorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptors").field("count", &self.all().len()).finish()
    }
}

/// Keeps an interceptor in its place until dropped.
#[derive(Debug)]
#[must_use = "dropped, it takes the interceptor away"]
pub struct Interception {
    id: u64,
    of: Weak<InterceptorList>,
}

impl Drop for Interception {
    fn drop(&mut self) {
        let Some(of) = self.of.upgrade() else { return };
        let mut list = of.list.lock().ignore_poison();
        list.1 = list.1.iter().filter(|entry| entry.id != self.id).cloned().collect();
    }
}
