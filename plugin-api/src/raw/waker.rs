//! Wakers across the boundary: three words, borrowed for the call, cloned only when kept.

use super::guard::{guard, guard_drop};
use super::layout::abi;
use crate::watch::{self, Operation, Owner};
use std::mem::ManuallyDrop;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, RawWaker as StdRawWaker, RawWakerVTable, Wake, Waker};

abi! {
    /// A task's waker as the polled side sees it: the two words of the caller's own `Waker`, opaque,
    /// and the caller's functions for them. No Rust function pointer of one side is called by the other.
    #[derive(Clone, Copy, Debug)]
    pub frozen struct RawWaker {
        data: *const (),
        vtable: *const (),
        ops: *const WakerTable,
    }
}

abi! {
    /// What can be done with the two words.
    #[derive(Debug)]
    pub grows struct WakerTable {
        size: usize,
        clone: unsafe extern "C" fn(data: *const (), vtable: *const ()) -> RawWaker,
        wake: unsafe extern "C" fn(data: *const (), vtable: *const ()),
        drop: unsafe extern "C" fn(data: *const (), vtable: *const ()),
    }
}

static OPS: WakerTable = WakerTable {
    size: size_of::<WakerTable>(),
    clone: clone_ours,
    wake: wake_ours,
    drop: drop_ours,
};

/// Lends this task's waker for the length of `call`.
#[inline(always)]
pub(crate) fn with_raw_waker<R>(cx: &Context<'_>, call: impl FnOnce(*const RawWaker) -> R) -> R {
    let waker = cx.waker();
    let raw = RawWaker {
        data: waker.data(),
        vtable: std::ptr::from_ref(waker.vtable()).cast(),
        ops: &raw const OPS,
    };
    call(&raw const raw)
}

/// As [`with_raw_waker`], for a call into an object of `owner`.
#[inline(always)]
pub(crate) fn within_poll<R>(
    owner: Owner,
    operation: Operation,
    cx: &Context<'_>,
    call: impl FnOnce(*const RawWaker) -> R,
) -> R {
    watch::within(owner, operation, || with_raw_waker(cx, call))
}

/// # Safety
/// The words are those of a live waker of this side.
unsafe fn ours(data: *const (), vtable: *const ()) -> ManuallyDrop<Waker> {
    // SAFETY: the words were taken from a `Waker` of this binary by `with_raw_waker` or
    // `clone_ours`, so the vtable pointer is the `&'static` it came from.
    ManuallyDrop::new(unsafe { Waker::new(data, &*vtable.cast::<RawWakerVTable>()) })
}

unsafe extern "C" fn clone_ours(data: *const (), vtable: *const ()) -> RawWaker {
    // SAFETY: the other side clones while the words are lent to it.
    let clone = || (*unsafe { ours(data, vtable) }).clone();
    // A waker that cannot be cloned wakes no task.
    let copy = ManuallyDrop::new(guard(clone, |_| Waker::noop().clone()));
    RawWaker {
        data: copy.data(),
        vtable: std::ptr::from_ref(copy.vtable()).cast(),
        ops: &raw const OPS,
    }
}

unsafe extern "C" fn wake_ours(data: *const (), vtable: *const ()) {
    // SAFETY: lent or owned, the words are alive for this call.
    guard(|| unsafe { ours(data, vtable) }.wake_by_ref(), |_| ());
}

unsafe extern "C" fn drop_ours(data: *const (), vtable: *const ()) {
    // SAFETY: the owner of a clone gives it back once.
    guard_drop(ManuallyDrop::into_inner(unsafe { ours(data, vtable) }));
}

/// A clone that this side owns, of a waker of the other side.
struct Kept(RawWaker);

// SAFETY: `Waker` is `Send + Sync`, and these words are one, used only through its owner's functions.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Wake for Kept {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        // SAFETY: the clone is alive until `drop`.
        unsafe { ((*self.0.ops).wake)(self.0.data, self.0.vtable) };
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: this is the only owner of the clone.
        unsafe { ((*self.0.ops).drop)(self.0.data, self.0.vtable) };
    }
}

/// Remembers the last caller of one direction, so that the same task polling again costs neither
/// an allocation nor a clone across the boundary, and `will_wake` holds inside the plugin.
#[derive(Default)]
pub(crate) struct WakerCell {
    kept: Option<Waker>,
    words: (usize, usize),
    /// The caller of the last poll that was not the kept one, and how often it has come since.
    guest: Guest,
}

/// A caller that may come to stay: its two words in one, and the count of its polls in the lowest bits.
#[derive(Default)]
struct Guest(usize);

impl Guest {
    const COUNT: usize = 3;

    /// Whether this is its second poll in a row. Its words are only compared, to decide what to keep: an
    /// address that is used again by another caller costs one clone.
    fn comes_again(&mut self, words: (usize, usize)) -> bool {
        let guest = (words.0.rotate_left(7) ^ words.1) & !Guest::COUNT;
        let count = if self.0 & !Guest::COUNT == guest { self.0 & Guest::COUNT } else { 0 };
        self.0 = guest | (count + 1).min(Guest::COUNT);
        count == 1
    }
}

impl WakerCell {
    /// Polls with a context made of the lent waker.
    ///
    /// # Safety
    /// `raw` points to a waker that is alive for this call.
    #[inline]
    pub(crate) unsafe fn poll<R>(
        &mut self,
        raw: *const RawWaker,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Not copied: the words are compared where they are, a copy would be waited for.
        // SAFETY: by this function's contract.
        let lent = unsafe { &*raw };
        let words = words_of(lent);
        // One branch for both words.
        let differ = (self.words.0 ^ words.0) | (self.words.1 ^ words.1);
        if differ == 0
            && let Some(kept) = &self.kept
        {
            return poll(&mut Context::from_waker(kept));
        }
        self.poll_lent(*lent, poll)
    }

    /// A new caller: lends its waker on, cloning only if the poll keeps it, is pending, or is this caller's
    /// second one, and then once: a task that always finds what it reads would be lent for ever.
    #[cold]
    #[inline(never)]
    fn poll_lent<R>(
        &mut self,
        lent: RawWaker,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let comes_again = self.guest.comes_again(words_of(&lent));
        let lent = Lent { waker: lent, owned: OnceLock::new() };
        let borrowed = StdRawWaker::new(std::ptr::from_ref(&lent).cast(), &BORROWED);
        // SAFETY: `BORROWED` treats the data as a `Lent` that outlives this call, and drops nothing.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(borrowed) });
        let result = poll(&mut Context::from_waker(&waker));
        if comes_again || result.is_pending() {
            lent.owned();
        }
        if let Some(owned) = lent.owned.into_inner() {
            self.keep(owned);
        }
        result
    }

    /// The words to compare with are the clone's, not the lent ones: those may be an address on a stack that
    /// another caller's will have too, while the clone's are ours alone as long as it lives. A waker whose
    /// clones differ from it is lent each time.
    fn keep(&mut self, owned: Owned) {
        self.words = owned.words;
        self.kept = Some(owned.waker);
    }
}

/// A waker that is lent for one poll, and the clone of it that was needed.
struct Lent {
    waker: RawWaker,
    owned: OnceLock<Owned>,
}

struct Owned {
    waker: Waker,
    words: (usize, usize),
}

impl Lent {
    fn owned(&self) -> &Owned {
        // SAFETY: the words are lent for as long as this value is.
        self.owned.get_or_init(|| unsafe { owned(&self.waker) })
    }
}

/// # Safety
/// The words are alive for this call.
unsafe fn owned(lent: &RawWaker) -> Owned {
    // SAFETY: by this function's contract.
    let kept = unsafe { own(lent) };
    Owned { words: words_of(&kept.0), waker: Waker::from(Arc::new(kept)) }
}

fn words_of(waker: &RawWaker) -> (usize, usize) {
    (waker.data as usize, waker.vtable as usize)
}

/// # Safety
/// The words are alive for this call.
unsafe fn own(lent: &RawWaker) -> Kept {
    // SAFETY: by this function's contract.
    Kept(unsafe { ((*lent.ops).clone)(lent.data, lent.vtable) })
}

static BORROWED: RawWakerVTable =
    RawWakerVTable::new(borrowed_clone, borrowed_wake, borrowed_wake, |_| ());

unsafe fn borrowed_clone(data: *const ()) -> StdRawWaker {
    // SAFETY: the data is the `Lent` on the stack of `WakerCell::poll`, which is still running; only
    // shared references to it are made until that has ended.
    let lent = unsafe { &*data.cast::<Lent>() };
    let waker = ManuallyDrop::new(lent.owned().waker.clone());
    StdRawWaker::new(waker.data(), waker.vtable())
}

unsafe fn borrowed_wake(data: *const ()) {
    // SAFETY: as in `borrowed_clone`.
    let lent = unsafe { &*data.cast::<Lent>() };
    let RawWaker { data, vtable, ops } = lent.waker;
    // SAFETY: the words are lent for that call.
    unsafe { ((*ops).wake)(data, vtable) };
}
