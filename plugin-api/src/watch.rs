//! Which plugin's code runs on which thread at this moment: the host marks each call that it makes into
//! a plugin, so that a thread of its own can name the code that does not come back.
//!
//! A mark costs a relaxed load and two stores. Plugins make none: in a binary that is not a host, an [`Owner`] is
//! always nobody.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whose code an object that came across runs: a driver or handler of a plugin, or no one's, which is
/// this binary's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Owner(u32);

/// The name behind an [`Owner`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerName {
    /// The plugin's package name.
    pub plugin: String,
    /// `driver` or `handler`.
    pub kind: &'static str,
    /// The driver's or handler's name.
    pub name: String,
}

static NAMES: Mutex<Vec<OwnerName>> = Mutex::new(Vec::new());

impl Owner {
    /// This binary.
    pub const NOBODY: Owner = Owner(0);

    /// A new owner. Owners are never forgotten, as plugins are never unloaded.
    pub fn new(name: OwnerName) -> Owner {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(name);
        Owner(u32::try_from(names.len()).unwrap_or(0))
    }

    /// Its name; `None` for this binary's own.
    pub fn name(self) -> Option<OwnerName> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    /// Whether it is this binary.
    pub fn is_nobody(self) -> bool {
        self.0 == 0
    }
}

macro_rules! operations {
    ($($name:ident = $text:literal,)*) => {
        /// What was called.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is what its text says")]
        pub enum Operation { $($name,)* }

        impl Operation {
            pub(crate) const ALL: &'static [Operation] = &[$(Operation::$name,)*];

            /// The name used in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Operation::$name => $text,)* }
            }
        }
    };
}

operations! {
    Call = "call",
    Open = "open",
    Accept = "accept",
    Listen = "listen",
    Serve = "serve",
    Intercept = "intercept",
    OpenStream = "open_stream",
    AcceptStream = "accept_stream",
    Dial = "dial",
    Ping = "ping",
    Event = "event",
    Drain = "drain",
    Reset = "reset",
    Request = "request",
    Configure = "configure",
    Health = "health",
    Read = "read",
    Write = "write",
    Flush = "flush",
    Shutdown = "shutdown",
    TakeFd = "take_fd",
    Receive = "receive",
    Send = "send",
    Close = "close",
    Body = "body",
    Answer = "answer",
    Info = "info",
    Drop = "drop",
}

/// Set in [`Slot::running`] by the watchdog, and cleared with the call: a call that two looks have seen is one.
const SEEN: u64 = 1 << 8;

/// One thread's mark, which only its thread writes, but for [`SEEN`].
#[derive(Debug, Default)]
struct Slot {
    /// Owner in the upper 32 bits, [`SEEN`], operation in the lower 8; 0: no plugin's code runs.
    running: AtomicU64,
    /// Grows with each call that is seen for the first time. Written by the watchdog, one at a time.
    calls: AtomicU64,
    /// What the host says that this thread works for: a connection's id; 0: nothing.
    label: AtomicU64,
    used: AtomicBool,
}

static SLOTS: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// Gives the slot back when its thread ends.
struct Mine(&'static Slot);

impl Mine {
    fn take() -> Mine {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.iter() {
            if !slot.used.swap(true, Ordering::AcqRel) {
                return Mine(slot);
            }
        }
        // As many as there have ever been threads at once.
        let slot: &'static Slot = Box::leak(Box::default());
        slot.used.store(true, Ordering::Release);
        slots.push(slot);
        Mine(slot)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let _ = SLOT.try_with(|here| here.set(None));
        self.0.running.store(0, Ordering::Relaxed);
        self.0.label.store(0, Ordering::Relaxed);
        self.0.used.store(false, Ordering::Release);
    }
}

thread_local! {
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    static MINE: Mine = Mine::take();
}

#[cold]
fn first_use() -> Option<&'static Slot> {
    let slot = MINE.try_with(|mine| mine.0).ok();
    SLOT.set(slot);
    slot
}

#[inline]
fn slot() -> Option<&'static Slot> {
    SLOT.get().or_else(first_use)
}

/// Runs a call into a plugin under its mark. A call inside of another is part of that: having been seen
/// passes from one to the other.
#[inline(always)]
pub(crate) fn within<R>(owner: Owner, operation: Operation, call: impl FnOnce() -> R) -> R {
    if owner.is_nobody() {
        return call();
    }
    let Some(slot) = slot() else { return call() };
    let mark = u64::from(owner.0) << 32 | u64::from(operation as u8);
    let before = slot.running.load(Ordering::Relaxed);
    // Nothing unwinds out of a plugin.
    if before == 0 {
        slot.running.store(mark, Ordering::Relaxed);
        let result = call();
        slot.running.store(0, Ordering::Relaxed);
        return result;
    }
    slot.running.store(mark | before & SEEN, Ordering::Relaxed);
    let result = call();
    let seen = slot.running.load(Ordering::Relaxed) & SEEN;
    slot.running.store(before | seen, Ordering::Relaxed);
    result
}

/// Whose call this thread is in, for what comes out of it.
pub(crate) fn current() -> Owner {
    SLOT.get().map_or(Owner::NOBODY, |slot| owner_of(slot.running.load(Ordering::Relaxed)))
}

fn owner_of(running: u64) -> Owner {
    Owner(u32::try_from(running >> 32).unwrap_or(0))
}

fn operation_of(running: u64) -> Operation {
    let index = usize::try_from(running & 0xff).unwrap_or(0);
    Operation::ALL.get(index).copied().unwrap_or(Operation::Call)
}

/// Runs `work`, a poll of a task of the host's, as work for `label`, such as a connection's id.
pub fn labelled<R>(label: u64, work: impl FnOnce() -> R) -> R {
    struct Restore(&'static Slot, u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.label.store(self.1, Ordering::Relaxed);
        }
    }
    let Some(slot) = slot() else { return work() };
    let _restore = Restore(slot, slot.label.load(Ordering::Relaxed));
    slot.label.store(label, Ordering::Relaxed);
    work()
}

/// What a thread does for a plugin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Tells threads apart, for as long as each lives.
    pub thread: usize,
    /// Tells calls of one thread apart.
    pub call: u64,
    /// Whose code runs.
    pub owner: Owner,
    /// What was called.
    pub operation: Operation,
    /// What the host has said that it works for; 0: nothing.
    pub label: u64,
}

/// The call that a thread is in. `looks` says that this is a look of those that count calls.
fn mark_of(thread: usize, slot: &Slot, looks: bool) -> Option<Mark> {
    let mut running = slot.running.load(Ordering::Relaxed);
    if looks && running != 0 && running & SEEN == 0 {
        // Where the call has ended meanwhile, the next look sees what is there then.
        let now = (running, running | SEEN, Ordering::Relaxed, Ordering::Relaxed);
        slot.running.compare_exchange(now.0, now.1, now.2, now.3).ok()?;
        slot.calls.fetch_add(1, Ordering::Relaxed);
        running |= SEEN;
    }
    let owner = owner_of(running);
    let unseen = u64::from(running & SEEN == 0);
    (!owner.is_nobody()).then(|| Mark {
        thread,
        call: slot.calls.load(Ordering::Relaxed).wrapping_add(unseen),
        owner,
        operation: operation_of(running),
        label: slot.label.load(Ordering::Relaxed),
    })
}

/// The calls into plugins that run at this moment, on any thread.
pub fn running() -> Vec<Mark> {
    let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.iter().enumerate().filter_map(|(thread, slot)| mark_of(thread, slot, true)).collect()
}

/// The call that this thread is in: asked by a host service, the plugin that calls it.
pub fn here() -> Option<Mark> {
    SLOT.get().and_then(|slot| mark_of(0, slot, false))
}

/// The label of this thread's work; 0: none.
pub fn label_here() -> u64 {
    SLOT.get().map_or(0, |slot| slot.label.load(Ordering::Relaxed))
}
