//! [`Interceptor`]: code of a plugin around the operations of connections that name it.

use crate::error::{Error, ErrorKind, Result};
use crate::op::{Op, OpTable, Transfer};
use crate::raw::{RawObject, RawStr, abi, guard, guard_drop, is_whole, short_table};
use crate::services::Host;
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::c_void;

/// An interceptor's constants.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InterceptorInfo {
    /// Unique name among interceptors, lower case.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where it stands among others around the same operation: lower ones are further outside. Where
    /// two are equal, the order of the connection's list counts.
    pub order: i32,
}

impl InterceptorInfo {
    /// One of order 0.
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        InterceptorInfo { name, summary, order: 0 }
    }

    /// Sets its order.
    #[must_use]
    pub const fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }
}

/// An operation on its way to a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Call {
    /// The connection's name.
    pub connection: String,
    /// The driver at the top of its stack.
    pub driver: String,
    /// The operation.
    pub operation: String,
    /// Its parameters.
    pub params: Value,
}

impl Default for Call {
    fn default() -> Self {
        Call::new("", "", "", Value::Null)
    }
}

impl Call {
    /// A call of an operation.
    pub fn new(
        connection: impl Into<String>,
        driver: impl Into<String>,
        operation: impl Into<String>,
        params: Value,
    ) -> Self {
        Call {
            connection: connection.into(),
            driver: driver.into(),
            operation: operation.into(),
            params,
        }
    }
}

/// Code around the operations of connections whose configuration names it: to refuse, to change, to
/// write down, to answer by itself. A panic in it fails that operation.
pub trait Interceptor: Send + Sync + Sized + 'static {
    /// Its constants.
    const INFO: InterceptorInfo;

    /// Its options, as for a driver.
    type Options: DeserializeOwned + JsonSchema;

    /// Makes an interceptor, once for each place where its options stand.
    ///
    /// # Errors
    /// [`Error::option`] naming the option at fault.
    fn new(host: Host, options: Self::Options) -> Result<Self>;

    /// Stands around one operation. Many run at once; dropping the future cancels the operation. What
    /// it does not pass to `next` does not reach the connection.
    fn call(&self, call: Call, next: Next) -> impl Future<Output = Result<Value>> + Send;
}

abi! {
    /// The functions of the rest of an operation's way.
    #[derive(Debug)]
    pub grows struct NextTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        /// A [`Call`] as JSON; uses `data` up, and gives an `Op<Bytes>` with the result as JSON.
        run: unsafe extern "C" fn(*mut c_void, RawStr) -> RawObject<OpTable>,
    }
}

/// The rest of an operation's way: further interceptors, then the connection.
#[derive(Debug)]
pub struct Next {
    raw: RawObject<NextTable>,
    owner: Owner,
}

// SAFETY: `Next::new` takes only `Send` values, and the far side promises the same.
unsafe impl Send for Next {}
// SAFETY: every use takes it by value.
unsafe impl Sync for Next {}

impl Next {
    /// Calls `run` with the operation, once.
    pub fn new<F, R>(run: F) -> Self
    where
        F: FnOnce(Call) -> R + Send + 'static,
        R: Future<Output = Result<Value>> + Send + 'static,
    {
        let table = const {
            &NextTable { size: size_of::<NextTable>(), drop: drop_next::<F>, run: run_next::<F, R> }
        };
        let raw = RawObject { data: Box::into_raw(Box::new(run)).cast(), table };
        Next { raw, owner: Owner::NOBODY }
    }

    /// Goes on with `call`. Dropping the future cancels what it runs.
    ///
    /// # Errors
    /// The operation's.
    pub async fn run(self, call: Call) -> Result<Value> {
        let call = json(&call)?;
        let op: Op<Bytes> = {
            let this = std::mem::ManuallyDrop::new(self);
            watch::within(this.owner, Operation::Call, || {
                // SAFETY: the table belongs to the data, which is used up; the text is alive for the
                // call.
                unsafe { Op::from_raw(((*this.raw.table).run)(this.raw.data, RawStr::new(&call))) }
            })
        };
        value(&op.await?)
    }

    pub(crate) fn into_raw(self) -> RawObject<NextTable> {
        if !self.owner.is_nobody() {
            return Next::new(|call| self.run(call)).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }

    /// # Safety
    /// The object was given to this side.
    pub(crate) unsafe fn from_raw(raw: RawObject<NextTable>) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return Next::new(|_| async { Err(short_table("call")) });
        }
        Next { raw, owner: watch::current() }
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

pub(crate) fn value<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| Error::new(ErrorKind::Protocol, error.to_string()))
}

unsafe extern "C" fn drop_next<F>(data: *mut c_void) {
    // SAFETY: the box made in `Next::new`, used or dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<F>()) });
}

unsafe extern "C" fn run_next<F, R>(data: *mut c_void, call: RawStr) -> RawObject<OpTable>
where
    F: FnOnce(Call) -> R + Send + 'static,
    R: Future<Output = Result<Value>> + Send + 'static,
{
    let body = || {
        // SAFETY: the box made in `Next::new`, used once; the text is alive for this call.
        let (run, call) = unsafe { (Box::from_raw(data.cast::<F>()), call.get()) };
        let answer = value(call.as_bytes()).map(*run);
        Op::new(async move { Ok(Bytes::from(json(&answer?.await?)?)) })
    };
    guard(body, |panic| Op::ready(Err(panic))).into_raw()
}
