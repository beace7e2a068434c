//! [`Listener`]: the passive side of a transport.

use crate::error::Result;
use crate::info::Info;
use crate::object::{drop_shared, give, json_buf, share};
use crate::op::{Op, OpTable, Transfer, started};
use crate::raw::{
    Broken, Home, RawBuf, RawObject, abi, home, home_of, is_home, is_whole, owner_of,
};
use crate::session::Session;
use crate::watch::{self, Operation, Owner};
use std::any::TypeId;
use std::ffi::c_void;
use std::sync::Arc;

/// What a transport implements to accept sessions.
pub trait Accept: Send + Sync + 'static {
    /// Where it listens, with the port that the system chose. Must not block.
    fn info(&self) -> Info;
    /// The next session. Cancel safe: an accepted session is not lost.
    fn accept(&self) -> impl Future<Output = Result<Session>> + Send;
}

abi! {
    /// The functions of a listener.
    #[derive(Debug)]
    pub grows struct ListenerTable {
        size: usize,
        home: Home,
        drop: unsafe extern "C" fn(*mut c_void),
        info: unsafe extern "C" fn(*mut c_void) -> RawBuf,
        accept: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
    }
}

/// Accepts sessions until it is dropped.
#[derive(Debug)]
pub struct Listener {
    raw: RawObject<ListenerTable>,
    owner: Owner,
}

// SAFETY: `Accept` is `Send + Sync`, and the far side promises the same.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Listener {
    /// Makes `accept` usable from the other side.
    pub fn new<T: Accept>(accept: T) -> Self {
        let table = const {
            &ListenerTable {
                size: size_of::<ListenerTable>(),
                home: home(inner::<T>),
                drop: drop_shared::<T>,
                info: info::<T>,
                accept: accept_one::<T>,
            }
        };
        let raw = RawObject { data: give(Arc::new(accept)), table };
        Listener { raw, owner: Owner::NOBODY }
    }

    /// Where it listens.
    pub fn info(&self) -> Info {
        let json = watch::within(self.owner, Operation::Info, || {
            // SAFETY: the table belongs to the data.
            unsafe { ((*self.raw.table).info)(self.raw.data) }
        });
        serde_json::from_slice(json.as_ref()).unwrap_or_default()
    }

    /// The next session. Cancel safe.
    pub fn accept(&self) -> Op<Session> {
        // SAFETY: the table belongs to the data.
        let accept = || unsafe { Op::from_raw(((*self.raw.table).accept)(self.raw.data)) };
        watch::within(self.owner, Operation::Accept, accept).named(Operation::Accept)
    }

    /// The value given to [`Listener::new`], if this very binary made the listener of a `T`.
    pub fn inner<T: Accept>(&self) -> Option<Arc<T>> {
        // SAFETY: the table is alive as long as its binary, which is never unloaded.
        let home = unsafe { &(*self.raw.table).home };
        if !is_home(home) {
            return None;
        }
        let wanted = TypeId::of::<T>();
        // SAFETY: `is_home` has shown that the type id is of the same binary.
        let found = unsafe { (home.inner)(self.raw.data, (&raw const wanted).cast()) };
        // SAFETY: the type was just confirmed, and we own a share.
        (!found.is_null()).then(|| unsafe { share::<T>(self.raw.data) })
    }
}

impl Transfer for Listener {
    type Raw = RawObject<ListenerTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() {
            return Listener::new(Passed(self)).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        unsafe {
            if !is_whole(raw.table) {
                return Listener::new(Broken("listener"));
            }
            Listener { raw, owner: owner_of(&raw const (*raw.table).home) }
        }
    }
}

/// Another plugin's listener, on its way to a plugin.
struct Passed(Listener);

impl Accept for Passed {
    fn info(&self) -> Info {
        self.0.info()
    }
    async fn accept(&self) -> Result<Session> {
        self.0.accept().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

unsafe extern "C" fn inner<T: 'static>(data: *mut c_void, id: *const c_void) -> *mut c_void {
    // SAFETY: `home` functions are called only after `is_home`; the data is the shared `T`.
    unsafe { home_of::<T>(data.cast(), id) }
}

unsafe extern "C" fn info<T: Accept>(data: *mut c_void) -> RawBuf {
    // SAFETY: the caller owns a share for the call.
    json_buf(|| unsafe { &*data.cast::<T>() }.info())
}

unsafe extern "C" fn accept_one<T: Accept>(data: *mut c_void) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share.
        let accept = unsafe { share::<T>(data) };
        Op::new(async move { accept.accept().await })
    })
}
