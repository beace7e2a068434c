//! [`Exchange`]: the request and response facet, both roles, for http and similar protocols. A head is
//! one flat block of fields, never JSON; bodies stream both ways.

mod answer;
mod body;

pub use answer::{Answer, AnswerTable};
pub use body::{Body, BodyPart, BodyTable};

use crate::error::{Error, Result};
use crate::headers::HeaderBlock;
use crate::object::{drop_shared, give, share};
use crate::op::{Op, OpTable, Transfer, started};
use crate::raw::{Broken, RawBuf, RawObject, abi, is_whole};
use crate::session::Session;
use crate::watch::{self, Operation, Owner};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A request, or a response: a head and a body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Envelope {
    /// `:method`, `:scheme`, `:authority`, `:path` or `:status` (RFC 9113 §8.3), then the fields.
    pub head: HeaderBlock,
    /// The content.
    pub body: Body,
    /// Given when the exchange may turn into another session (a 101 answer, an extended CONNECT):
    /// completes with the session once it has. `None`: it does not.
    pub upgrade: Option<Op<Session>>,
}

abi! {
    /// An [`Envelope`] on its way across.
    #[derive(Debug)]
    pub frozen struct RawEnvelope {
        head: RawBuf,
        body: RawObject<BodyTable>,
        upgrade: RawObject<OpTable>,
    }
}

impl Envelope {
    /// A head and a body, without an upgrade.
    pub fn new(head: HeaderBlock, body: Body) -> Self {
        Envelope { head, body, upgrade: None }
    }

    /// Sets what it may turn into.
    #[must_use]
    pub fn with_upgrade(mut self, upgrade: Op<Session>) -> Self {
        self.upgrade = Some(upgrade);
        self
    }
}

impl Transfer for Envelope {
    type Raw = RawEnvelope;
    fn into_raw(self) -> RawEnvelope {
        RawEnvelope {
            head: RawBuf::new(self.head.into_bytes()),
            body: self.body.into_raw(),
            upgrade: self.upgrade.map_or(RawObject::none(), Transfer::into_raw),
        }
    }
    unsafe fn from_raw(raw: RawEnvelope) -> Self {
        // SAFETY: by this function's contract; an absent upgrade has no table.
        unsafe {
            let body = Body::from_raw(raw.body);
            let upgrade = (!raw.upgrade.is_none()).then(|| Op::from_raw(raw.upgrade));
            match HeaderBlock::parse(raw.head.into_bytes()) {
                Ok(head) => Envelope { head, body, upgrade },
                // A head that cannot be read is empty; reading the content gives the error.
                Err(error) => {
                    let body = Body::new(futures_util::stream::iter([Err(error)]));
                    Envelope::new(HeaderBlock::default(), body)
                }
            }
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// What was asked.
    pub request: Envelope,
    /// Where the answer goes; dropped unanswered, the driver answers for it (http: 500).
    pub answer: Answer,
}

impl Incoming {
    /// A request and the place for its answer.
    pub fn new(request: Envelope, answer: Answer) -> Self {
        Incoming { request, answer }
    }
}

abi! {
    /// An [`Incoming`] on its way across.
    #[derive(Debug)]
    pub frozen struct RawIncoming {
        request: RawEnvelope,
        answer: RawObject<AnswerTable>,
    }
}

impl Transfer for Incoming {
    type Raw = RawIncoming;
    fn into_raw(self) -> RawIncoming {
        RawIncoming { request: self.request.into_raw(), answer: self.answer.into_raw() }
    }
    unsafe fn from_raw(raw: RawIncoming) -> Self {
        // SAFETY: by this function's contract.
        let request = unsafe { Envelope::from_raw(raw.request) };
        // SAFETY: by this function's contract.
        Incoming { request, answer: unsafe { Answer::from_raw(raw.answer) } }
    }
}

/// What a driver implements to give the facet: one role or both.
pub trait Exchanger: Send + Sync + 'static {
    /// Client role: sends a request and waits for the head of its response. For a request of which
    /// nothing was sent, or that the peer says it has not begun, the error is [`Error::unsent`].
    fn send(&self, request: Envelope) -> impl Future<Output = Result<Envelope>> + Send {
        drop(request);
        async { Err(Error::unsupported("sending requests")) }
    }
    /// As [`Exchanger::send`], with a place for the interim responses that come before (RFC 9110 §15.2), which are
    /// told by [`Answer::interim`]: not `100 Continue`, which is the driver's own matter.
    fn send_telling(
        &self,
        request: Envelope,
        interim: Answer,
    ) -> impl Future<Output = Result<Envelope>> + Send {
        drop(interim);
        self.send(request)
    }
    /// Server role: the next request; `None` when the peer sends no more. A client that can tell
    /// completes with `None` when its connection has ended, so that no request is sent on it in vain.
    fn accept(&self) -> impl Future<Output = Result<Option<Incoming>>> + Send {
        async { Err(Error::unsupported("accepting requests")) }
    }
}

abi! {
    /// The functions of the exchange facet.
    #[derive(Debug)]
    pub grows struct ExchangeTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        send: unsafe extern "C" fn(*mut c_void, request: *mut RawEnvelope) -> RawObject<OpTable>,
        accept: unsafe extern "C" fn(*mut c_void) -> RawObject<OpTable>,
        /// Owns `interim`, of which no answer is given.
        send_telling: unsafe extern "C" fn(
            *mut c_void,
            request: *mut RawEnvelope,
            interim: RawObject<AnswerTable>,
        ) -> RawObject<OpTable>,
    }
}

/// The exchange facet of a session. Many requests may run at once where the protocol can.
#[derive(Debug)]
pub struct Exchange {
    raw: RawObject<ExchangeTable>,
    owner: Owner,
}

// SAFETY: `Exchanger` is `Send + Sync`, and the far side promises the same.
unsafe impl Send for Exchange {}
// SAFETY: as above.
unsafe impl Sync for Exchange {}

impl Exchange {
    /// Makes `exchanger` usable from the other side.
    pub fn new<T: Exchanger>(exchanger: T) -> Self {
        let table = const {
            &ExchangeTable {
                size: size_of::<ExchangeTable>(),
                drop: drop_shared::<T>,
                send: send_request::<T>,
                accept: accept_request::<T>,
                send_telling: send_telling::<T>,
            }
        };
        let raw = RawObject { data: give(Arc::new(exchanger)), table };
        Exchange { raw, owner: Owner::NOBODY }
    }

    /// Sends a request; completes with the response's head while its body still comes. Dropping it
    /// cancels the request.
    pub fn send(&self, request: Envelope) -> Op<Envelope> {
        let mut request = MaybeUninit::new(request.into_raw());
        let send = || {
            // SAFETY: the far side takes the request out of the slot.
            unsafe { Op::from_raw(((*self.raw.table).send)(self.raw.data, request.as_mut_ptr())) }
        };
        watch::within(self.owner, Operation::Request, send).named(Operation::Request)
    }

    /// As [`Exchange::send`], and tells `interim` of the responses that come before, by [`Answer::interim`].
    pub fn send_telling(&self, request: Envelope, interim: Answer) -> Op<Envelope> {
        let mut request = MaybeUninit::new(request.into_raw());
        let send = || {
            // SAFETY: the far side takes the request out of the slot, and the place.
            unsafe {
                Op::from_raw(((*self.raw.table).send_telling)(
                    self.raw.data,
                    request.as_mut_ptr(),
                    interim.into_raw(),
                ))
            }
        };
        watch::within(self.owner, Operation::Request, send).named(Operation::Request)
    }

    /// The next request of the peer; `None` when there will be no more: of a client's session, once its
    /// connection has ended, or an error at once if its driver does not tell. Cancel safe.
    pub fn accept(&self) -> Op<Option<Incoming>> {
        // SAFETY: the table belongs to the data.
        let accept = || unsafe { Op::from_raw(((*self.raw.table).accept)(self.raw.data)) };
        watch::within(self.owner, Operation::Accept, accept).named(Operation::Accept)
    }
}

impl Transfer for Exchange {
    type Raw = RawObject<ExchangeTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() {
            return Exchange::new(Passed(self)).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return Exchange::new(Broken("exchange facet"));
        }
        Exchange { raw, owner: watch::current() }
    }
}

/// Another plugin's exchange, on its way to a plugin.
struct Passed(Exchange);

impl Exchanger for Passed {
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        self.0.send(request).await
    }
    async fn send_telling(&self, request: Envelope, interim: Answer) -> Result<Envelope> {
        self.0.send_telling(request, interim).await
    }
    async fn accept(&self) -> Result<Option<Incoming>> {
        self.0.accept().await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

unsafe extern "C" fn send_request<T: Exchanger>(
    data: *mut c_void,
    request: *mut RawEnvelope,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the slot holds a request.
        let (exchanger, request) =
            unsafe { (share::<T>(data), Envelope::from_raw(request.read())) };
        Op::new(async move { exchanger.send(request).await })
    })
}

unsafe extern "C" fn send_telling<T: Exchanger>(
    data: *mut c_void,
    request: *mut RawEnvelope,
    interim: RawObject<AnswerTable>,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the slot holds a request, and the place was given to this side.
        let (exchanger, request, interim) = unsafe {
            (share::<T>(data), Envelope::from_raw(request.read()), Answer::from_raw(interim))
        };
        Op::new(async move { exchanger.send_telling(request, interim).await })
    })
}

unsafe extern "C" fn accept_request<T: Exchanger>(data: *mut c_void) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share.
        let exchanger = unsafe { share::<T>(data) };
        Op::new(async move { exchanger.accept().await })
    })
}
