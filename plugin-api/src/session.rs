//! [`Session`]: what a driver gives back, one established conversation with the facets it declares.

mod export;
mod passed;

use crate::control::Control;
use crate::datagrams::{Datagrams, DatagramsTable};
use crate::error::{Error, Result};
use crate::exchange::{Exchange, ExchangeTable};
use crate::facets::Facets;
use crate::info::{Event, Info, SocketEnds};
use crate::messages::{Messages, MessagesTable};
use crate::op::{Op, OpTable, Transfer};
use crate::raw::{Home, RawBuf, RawObject, RawStr, abi, is_home, is_whole, owner_of, untrue};
use crate::request::{Address, RawAddress};
use crate::stream::{Stream, StreamTable};
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use serde_json::Value;
use std::any::{Any, TypeId};
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

abi! {
    /// The functions of a session.
    #[derive(Debug)]
    pub grows struct SessionTable {
        size: usize,
        home: Home,
        drop: unsafe extern "C" fn(*mut c_void),
        facets: unsafe extern "C" fn(*mut c_void) -> u64,
        info: unsafe extern "C" fn(*mut c_void) -> RawBuf,
        take_stream: unsafe extern "C" fn(*mut c_void) -> RawObject<StreamTable>,
        take_messages: unsafe extern "C" fn(*mut c_void) -> RawObject<MessagesTable>,
        take_datagrams: unsafe extern "C" fn(*mut c_void) -> RawObject<DatagramsTable>,
        take_exchange: unsafe extern "C" fn(*mut c_void) -> RawObject<ExchangeTable>,
        call: unsafe extern "C" fn(*mut c_void, RawStr, RawStr) -> RawObject<OpTable>,
        open_stream: unsafe extern "C" fn(*mut c_void, RawStr) -> RawObject<OpTable>,
        accept_stream: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
        dial: unsafe extern "C" fn(*mut c_void, *const RawAddress) -> RawObject<OpTable>,
        ping: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
        next_event: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
        close: unsafe extern "C" fn(*mut c_void, code: u64, RawStr) -> RawObject<OpTable>,
        drain: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
        reset: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
    }
}

/// One established conversation. It lives until this and every facet taken from it are dropped, which
/// ends it at once; [`Session::close`] ends it politely.
#[derive(Debug)]
pub struct Session {
    raw: RawObject<SessionTable>,
    owner: Owner,
    /// Dropped after the session itself.
    kept: Option<Kept>,
}

/// What lives as long as a session does: see [`Session::keep`].
#[doc(hidden)]
pub type Kept = Arc<dyn Any + Send + Sync>;

// SAFETY: `Control` is `Send + Sync`, and the far side promises the same.
unsafe impl Send for Session {}
// SAFETY: as above; the facets are taken under a lock.
unsafe impl Sync for Session {}

#[derive(Default)]
struct Parts {
    stream: Option<Stream>,
    messages: Option<Messages>,
    datagrams: Option<Datagrams>,
    exchange: Option<Exchange>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        let Parts { stream, messages, datagrams, exchange } = self;
        stream.is_none() && messages.is_none() && datagrams.is_none() && exchange.is_none()
    }
}

/// Builds a [`Session`] from its control and its data facets.
pub struct SessionBuilder<C> {
    control: C,
    calls: Facets,
    parts: Parts,
}

impl<C: Control> SessionBuilder<C> {
    /// Gives it a byte stream.
    #[must_use]
    pub fn stream(mut self, stream: Stream) -> Self {
        self.parts.stream = Some(stream);
        self
    }
    /// Gives it messages.
    #[must_use]
    pub fn messages(mut self, messages: Messages) -> Self {
        self.parts.messages = Some(messages);
        self
    }
    /// Gives it datagrams.
    #[must_use]
    pub fn datagrams(mut self, datagrams: Datagrams) -> Self {
        self.parts.datagrams = Some(datagrams);
        self
    }
    /// Gives it requests and responses.
    #[must_use]
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.parts.exchange = Some(exchange);
        self
    }
    /// Gives it what data the session around which its control stands
    /// ([`Control::inner`]) has still to give, beside what it was given before.
    #[must_use]
    pub fn inner_data(mut self) -> Self {
        let Some(inner) = self.control.inner() else { return self };
        let parts = &mut self.parts;
        parts.stream = parts.stream.take().or_else(|| inner.take_stream());
        parts.messages = parts.messages.take().or_else(|| inner.take_messages());
        parts.datagrams = parts.datagrams.take().or_else(|| inner.take_datagrams());
        parts.exchange = parts.exchange.take().or_else(|| inner.take_exchange());
        self
    }
    /// Says which of its control's calls it takes. Its data facets are known by what it is given.
    #[must_use]
    pub fn facets(mut self, calls: Facets) -> Self {
        self.calls |= calls.difference(Facets::DATA);
        self
    }
    /// The session.
    pub fn build(self) -> Session {
        let mut declared = self.calls;
        declared.set(Facets::STREAM, self.parts.stream.is_some());
        declared.set(Facets::MESSAGES, self.parts.messages.is_some());
        declared.set(Facets::DATAGRAMS, self.parts.datagrams.is_some());
        declared.set(Facets::EXCHANGE, self.parts.exchange.is_some());
        let raw = export::export(self.control, declared, self.parts);
        Session { raw, owner: Owner::NOBODY, kept: None }
    }
}

impl Session {
    /// Starts building a session around its control.
    pub fn builder<C: Control>(control: C) -> SessionBuilder<C> {
        SessionBuilder { control, calls: Facets::empty(), parts: Parts::default() }
    }

    /// A session that is one byte stream with its facts.
    pub fn of_stream(info: Info, stream: Stream) -> Session {
        Session::builder(info).stream(stream).build()
    }

    /// A session that is messages with their facts.
    pub fn of_messages(info: Info, messages: Messages) -> Session {
        Session::builder(info).messages(messages).build()
    }

    /// Lets `kept` live as long as this: a host counts so what runs on the code of a plugin, and does not let go of
    /// that meanwhile. On its way to a plugin the session takes it along.
    #[doc(hidden)]
    pub fn keep(&mut self, kept: Kept) {
        // Nearly all keep one thing, and need no list for it.
        self.kept = Some(match self.kept.take() {
            Some(before) => Arc::new((before, kept)),
            None => kept,
        });
    }

    /// What it keeps, for the session that it is given away for.
    #[doc(hidden)]
    pub fn take_kept(&mut self) -> Option<Kept> {
        self.kept.take()
    }

    /// The facets it was made with.
    pub fn facets(&self) -> Facets {
        // SAFETY: the table belongs to the data.
        Facets::from_bits_retain(
            self.within(Operation::Info, || unsafe { ((*self.raw.table).facets)(self.raw.data) }),
        )
    }

    /// Its facts as they are now.
    pub fn info(&self) -> Info {
        // Asked by the host that has made it: no text in between.
        if let Some(info) = self.native::<Info>() {
            return info.clone();
        }
        if let Some(ends) = self.socket_ends() {
            return ends.into();
        }
        // SAFETY: the table belongs to the data.
        let json =
            self.within(Operation::Info, || unsafe { ((*self.raw.table).info)(self.raw.data) });
        serde_json::from_slice(json.as_ref()).unwrap_or_default()
    }

    /// Its ends, if it is a connected socket that this very binary has made a session of.
    #[doc(hidden)]
    pub fn socket_ends(&self) -> Option<SocketEnds> {
        self.native::<SocketEnds>().copied()
    }

    /// The driver's own object, typed: the control given to [`Session::builder`], if this very binary made the session
    /// with a `C`. That is so of drivers that a program has linked or written itself.
    ///
    /// `None` for what comes from a plugin file, whatever `C` is: two binaries have no types in common, not even where
    /// both were built of the same crate. There, what a session has of its own is in [`Session::info`] and its facts, in
    /// the parameters and results of [`Session::call`], and, of a byte stream, in [`Stream::take_fd`].
    pub fn native<C: Control>(&self) -> Option<&C> {
        // SAFETY: the table is alive as long as its binary, which is never unloaded.
        let home = unsafe { &(*self.raw.table).home };
        if !is_home(home) {
            return None;
        }
        let wanted = TypeId::of::<C>();
        // SAFETY: `is_home` has shown that the type id is of the same binary; what is found lives
        // in the shared state, of which `self` owns a share.
        unsafe {
            let found = (home.inner)(self.raw.data, (&raw const wanted).cast());
            found.cast_const().cast::<C>().as_ref()
        }
    }

    /// Takes the byte stream out; `None` if there is none or it was taken.
    pub fn take_stream(&self) -> Option<Stream> {
        // SAFETY: the table belongs to the data; the object is given away.
        self.within(Operation::Info, || unsafe {
            taken(((*self.raw.table).take_stream)(self.raw.data))
        })
    }
    /// Takes the message facet out; `None` if there is none or it was taken.
    pub fn take_messages(&self) -> Option<Messages> {
        // SAFETY: as in `take_stream`.
        self.within(Operation::Info, || unsafe {
            taken(((*self.raw.table).take_messages)(self.raw.data))
        })
    }
    /// Takes the datagram facet out; `None` if there is none or it was taken.
    pub fn take_datagrams(&self) -> Option<Datagrams> {
        // SAFETY: as in `take_stream`.
        self.within(Operation::Info, || unsafe {
            taken(((*self.raw.table).take_datagrams)(self.raw.data))
        })
    }
    /// Takes the exchange facet out; `None` if there is none or it was taken.
    pub fn take_exchange(&self) -> Option<Exchange> {
        // SAFETY: as in `take_stream`.
        self.within(Operation::Info, || unsafe {
            taken(((*self.raw.table).take_exchange)(self.raw.data))
        })
    }

    /// Runs a named operation. See [`Control::call`].
    ///
    /// # Errors
    /// What the operation says; [`crate::ErrorKind::Unsupported`] if there is none of that name.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        let op: Op<Bytes> = {
            let params = params.to_string();
            let (operation, params) = (RawStr::new(operation), RawStr::new(&params));
            // SAFETY: the table belongs to the data; the text is alive for the call.
            let call = || unsafe { ((*self.raw.table).call)(self.raw.data, operation, params) };
            // SAFETY: it gives an `Op<Bytes>`.
            unsafe { self.op(Operation::Call, call) }
        };
        let json = op.await?;
        serde_json::from_slice(&json).map_err(|error| unreadable("a result", &error))
    }

    /// Opens one more stream. See [`Control::open_stream`].
    pub fn open_stream(&self, params: &Value) -> Op<Session> {
        let params = params.to_string();
        let params = RawStr::new(&params);
        // SAFETY: as in `call`.
        let open = || unsafe { ((*self.raw.table).open_stream)(self.raw.data, params) };
        // SAFETY: it gives an `Op<Session>`.
        unsafe { self.op(Operation::OpenStream, open) }
    }
    /// The next stream of the peer. See [`Control::accept_stream`].
    pub fn accept_stream(&self) -> Op<Option<Session>> {
        // SAFETY: the table belongs to the data.
        let accept = || unsafe { ((*self.raw.table).accept_stream)(self.raw.data) };
        // SAFETY: it gives an `Op<Option<Session>>`.
        unsafe { self.op(Operation::AcceptStream, accept) }
    }
    /// Connects onward from the peer. See [`Control::dial`].
    pub fn dial(&self, address: &Address) -> Op<Session> {
        // SAFETY: the table belongs to the data; the address is alive for the call.
        let dial = |raw| unsafe { ((*self.raw.table).dial)(self.raw.data, raw) };
        // SAFETY: it gives an `Op<Session>`.
        unsafe { self.op(Operation::Dial, || address.lend(dial)) }
    }
    /// One round trip. See [`Control::ping`].
    pub fn ping(&self) -> Op<Duration> {
        // SAFETY: the table belongs to the data.
        let ping = || unsafe { ((*self.raw.table).ping)(self.raw.data) };
        // SAFETY: it gives an `Op<Duration>`.
        unsafe { self.op(Operation::Ping, ping) }
    }
    /// The next event; `None` when there will be no more. See [`Control::next_event`].
    ///
    /// # Errors
    /// What the driver says; then there are no more events.
    pub async fn next_event(&self) -> Result<Option<Event>> {
        let op: Op<Option<Bytes>> = {
            // SAFETY: the table belongs to the data.
            let next = || unsafe { ((*self.raw.table).next_event)(self.raw.data) };
            // SAFETY: it gives an `Op<Option<Bytes>>`.
            unsafe { self.op(Operation::Event, next) }
        };
        let Some(json) = op.await? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| unreadable("an event", &error))
    }
    /// Ends politely. See [`Control::close`].
    pub fn close(&self, code: u64, reason: &str) -> Op<()> {
        let reason = RawStr::new(reason);
        // SAFETY: as in `call`.
        let close = || unsafe { ((*self.raw.table).close)(self.raw.data, code, reason) };
        // SAFETY: it gives an `Op<()>`.
        unsafe { self.op(Operation::Close, close) }
    }
    /// Takes no new work and completes when what runs has ended.
    pub fn drain(&self) -> Op<()> {
        // SAFETY: the table belongs to the data.
        let drain = || unsafe { ((*self.raw.table).drain)(self.raw.data) };
        // SAFETY: it gives an `Op<()>`.
        unsafe { self.op(Operation::Drain, drain) }
    }
    /// Makes it as new for the next user that borrows it from a pool. See [`Control::reset`].
    pub fn reset(&self) -> Op<()> {
        // SAFETY: the table belongs to the data.
        let reset = || unsafe { ((*self.raw.table).reset)(self.raw.data) };
        // SAFETY: it gives an `Op<()>`.
        unsafe { self.op(Operation::Reset, reset) }
    }

    /// # Safety
    /// `start` gives an `Op<T>` to this side.
    unsafe fn op<T: Transfer>(
        &self,
        operation: Operation,
        start: impl FnOnce() -> RawObject<OpTable>,
    ) -> Op<T> {
        // SAFETY: by this function's contract.
        self.within(operation, || unsafe { Op::from_raw(start()) }).named(operation)
    }

    fn within<R>(&self, operation: Operation, call: impl FnOnce() -> R) -> R {
        watch::within(self.owner, operation, call)
    }
}

impl Transfer for Session {
    type Raw = RawObject<SessionTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() || self.kept.is_some() {
            return passed::pass(self).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        unsafe {
            if !is_whole(raw.table) {
                // It has no facets: each use of it says so.
                return Session::builder(Info::default()).build();
            }
            Session { raw, owner: owner_of(&raw const (*raw.table).home), kept: None }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

/// # Safety
/// The object was given to this side.
unsafe fn taken<T: Transfer<Raw = RawObject<R>>, R>(raw: RawObject<R>) -> Option<T> {
    // SAFETY: by this function's contract; an absent object has no table.
    (!raw.is_none()).then(|| unsafe { T::from_raw(raw) })
}

#[cold]
fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    untrue(&format!("{what} that crossed the plugin boundary cannot be read: {error}"))
}
