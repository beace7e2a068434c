//! [`Answer`]: the place for one answer, and for the interim responses before it.

use super::{Envelope, RawEnvelope};
use crate::error::Result;
use crate::headers::HeaderBlock;
use crate::op::{Op, OpTable, Transfer, started};
use crate::raw::{RawBuf, RawObject, abi, guard, guard_drop, is_whole, short_table};
use crate::watch::{self, Operation, Owner};
use std::ffi::c_void;
use std::mem::MaybeUninit;

/// The place for one answer.
#[derive(Debug)]
pub struct Answer {
    raw: RawObject<AnswerTable>,
    owner: Owner,
}

abi! {
    /// The functions of an answer's place.
    #[derive(Debug)]
    pub grows struct AnswerTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        /// Uses `data` up.
        send: unsafe extern "C" fn(*mut c_void, response: *mut RawEnvelope) -> RawObject<OpTable>,
        interim: unsafe extern "C" fn(*mut c_void, head: *mut RawBuf),
    }
}

// SAFETY: `Place` is `Send`, and the far side promises the same.
unsafe impl Send for Answer {}
// SAFETY: every use takes it by value or needs `&mut self`.
unsafe impl Sync for Answer {}

/// What stands behind an [`Answer`].
trait Place: Send + 'static {
    fn send(self, response: Envelope) -> Op<()>;
    fn interim(&mut self, head: HeaderBlock);
}

struct Plain<F>(F);

impl<F, R> Place for Plain<F>
where
    F: FnOnce(Envelope) -> R + Send + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    fn send(self, response: Envelope) -> Op<()> {
        Op::new((self.0)(response))
    }
    fn interim(&mut self, _: HeaderBlock) {}
}

struct Telling<F, I>(F, I);

impl<F, R, I> Place for Telling<F, I>
where
    F: FnOnce(Envelope) -> R + Send + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
    I: FnMut(HeaderBlock) + Send + 'static,
{
    fn send(self, response: Envelope) -> Op<()> {
        Op::new((self.0)(response))
    }
    fn interim(&mut self, head: HeaderBlock) {
        (self.1)(head);
    }
}

struct Around<F>(Answer, F);

impl<F, R> Place for Around<F>
where
    F: FnOnce(Answer, Envelope) -> R + Send + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    fn send(self, response: Envelope) -> Op<()> {
        Op::new((self.1)(self.0, response))
    }
    fn interim(&mut self, head: HeaderBlock) {
        self.0.interim(head);
    }
}

/// Another plugin's place, on its way to a plugin.
struct Passed(Answer);

impl Place for Passed {
    fn send(self, response: Envelope) -> Op<()> {
        self.0.send(response)
    }
    fn interim(&mut self, head: HeaderBlock) {
        self.0.interim(head);
    }
}

impl Answer {
    /// Calls `send` with the response, once. Interim responses are dropped.
    pub fn new<F, R>(send: F) -> Self
    where
        F: FnOnce(Envelope) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Answer::of(Plain(send))
    }

    /// As [`Answer::new`], and calls `interim` with the head of each interim response before it. It must not
    /// block.
    pub fn telling<F, R, I>(send: F, interim: I) -> Self
    where
        F: FnOnce(Envelope) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
        I: FnMut(HeaderBlock) + Send + 'static,
    {
        Answer::of(Telling(send, interim))
    }

    /// A place around this one: calls `send` with this and the response, once. Interim responses pass.
    #[must_use]
    pub fn around<F, R>(self, send: F) -> Self
    where
        F: FnOnce(Answer, Envelope) -> R + Send + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Answer::of(Around(self, send))
    }

    fn of<P: Place>(place: P) -> Self {
        let table = const {
            &AnswerTable {
                size: size_of::<AnswerTable>(),
                drop: drop_place::<P>,
                send: send_answer::<P>,
                interim: tell_interim::<P>,
            }
        };
        let raw = RawObject { data: Box::into_raw(Box::new(place)).cast(), table };
        Answer { raw, owner: Owner::NOBODY }
    }

    /// Answers. Completes when the body has been sent.
    pub fn send(self, response: Envelope) -> Op<()> {
        let this = std::mem::ManuallyDrop::new(self);
        let raw = this.raw;
        let mut response = MaybeUninit::new(response.into_raw());
        watch::within(this.owner, Operation::Answer, || {
            // SAFETY: the far side takes the response out of the slot and uses `data` up.
            unsafe { Op::from_raw(((*raw.table).send)(raw.data, response.as_mut_ptr())) }
        })
    }

    /// Sends an interim response (RFC 9110 §15.2) before the answer: a head whose `:status` is 102 to 199, such
    /// as `103 Early Hints`. Where the protocol has none of them, or too many wait, it is dropped.
    pub fn interim(&mut self, head: HeaderBlock) {
        let raw = self.raw;
        let mut head = MaybeUninit::new(RawBuf::new(head.into_bytes()));
        watch::within(self.owner, Operation::Answer, || {
            // SAFETY: the far side takes the head out of the slot.
            unsafe { ((*raw.table).interim)(raw.data, head.as_mut_ptr()) };
        });
    }

    /// # Safety
    /// The object was given to this side.
    pub(super) unsafe fn from_raw(raw: RawObject<AnswerTable>) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return Answer::new(|_| async { Err(short_table("place for an answer")) });
        }
        Answer { raw, owner: watch::current() }
    }

    pub(super) fn into_raw(self) -> RawObject<AnswerTable> {
        if !self.owner.is_nobody() {
            return Answer::of(Passed(self)).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

unsafe extern "C" fn drop_place<P>(data: *mut c_void) {
    // SAFETY: the box made in `Answer::of`, used or dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<P>()) });
}

unsafe extern "C" fn send_answer<P: Place>(
    data: *mut c_void,
    response: *mut RawEnvelope,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the box made in `Answer::of`, used once; the slot holds a response.
        let (place, response) =
            unsafe { (Box::from_raw(data.cast::<P>()), Envelope::from_raw(response.read())) };
        place.send(response)
    })
}

unsafe extern "C" fn tell_interim<P: Place>(data: *mut c_void, head: *mut RawBuf) {
    let tell = || {
        // SAFETY: the box made in `Answer::of`, used by one caller at a time; the slot holds a head.
        let (place, head) = unsafe { (&mut *data.cast::<P>(), head.read()) };
        // One that cannot be read is none.
        if let Ok(head) = HeaderBlock::parse(head.into_bytes()) {
            place.interim(head);
        }
    };
    guard(tell, |_| ());
}
