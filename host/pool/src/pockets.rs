//! [`Pockets`]: members that have just come back, kept where the next caller on the same core finds them
//! without the lock of the pool.
//!
//! To the pool's state a member in a pocket is in use; counters and sizes that are shown say otherwise.
//! What keeps the rules of a pool true nevertheless:
//!
//! - Pockets are in use only while the pool is *calm*: no caller waits, it is not closed, and its options ask
//!   for nothing that has to be seen at once. Whoever ends the calm, under the pool's lock, empties every
//!   pocket afterwards. Both look at the calm and at a pocket under that pocket's lock: what is put there
//!   was put before it was emptied, or its owner sees that the calm is over.
//! - A caller that finds no member empties every pocket before it waits or has one opened.
//! - What is in a pocket came back at the present reading of the clock; all are emptied when that is
//!   renewed. So age and idle time are looked at as if there were no pockets, a reading later at most.

use jackfield_lock::IgnorePoison;
use std::time::Instant;

#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::recent::Recent;

/// What lies alone on its cache lines, of which a core fetches two at once.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

#[derive(Debug)]
struct Pocket<T> {
    held: Option<(Instant, T)>,
    /// Callers that were served from here.
    served: u64,
}

/// One pocket for each core, as far as threads keep to theirs.
#[derive(Debug)]
pub(super) struct Pockets<T> {
    calm: AtomicBool,
    all: Box<[Apart<Mutex<Pocket<T>>>]>,
}

impl<T> Pockets<T> {
    pub(super) fn new() -> Self {
        let pocket = || Apart(Mutex::new(Pocket { held: None, served: 0 }));
        Self {
            calm: AtomicBool::new(false),
            all: (0..threads::count()).map(|_| pocket()).collect(),
        }
    }

    /// Whether they may be used. A hint; they look again themselves.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Notes, under the lock of the pool, whether they may be used. Whether they may no longer be, and the
    /// caller has to [`empty`](Self::empty) them after it has released the lock.
    #[must_use]
    pub(super) fn note_calm(&self, calm: bool) -> bool {
        let was = self.is_calm();
        if was != calm {
            self.calm.store(calm, Ordering::Relaxed);
        }
        was && !calm
    }

    /// What came back to this core at the present reading, for a caller that is served with it.
    pub(super) fn take(&self, recent: &Recent) -> Option<T> {
        let mut pocket = self.mine()?.lock().ignore_poison();
        if !self.is_calm() {
            return None;
        }
        let reading = recent.get()?;
        let (_, value) = pocket.held.take_if(|(since, _)| *since == reading)?;
        pocket.served += 1;
        Some(value)
    }

    /// Keeps what comes back now, or hands it out again.
    ///
    /// # Errors
    /// There is no room, the pool is not calm, or its clock is not read.
    pub(super) fn put(&self, recent: &Recent, value: T) -> Result<(), T> {
        let Some(mine) = self.mine() else { return Err(value) };
        let mut pocket = mine.lock().ignore_poison();
        if pocket.held.is_some() || !self.is_calm() {
            return Err(value);
        }
        let Some(reading) = recent.get() else { return Err(value) };
        pocket.held = Some((reading, value));
        Ok(())
    }

    /// Takes everything out, with the time it came back.
    pub(super) fn empty(&self) -> impl Iterator<Item = (Instant, T)> {
        self.each(|pocket| pocket.held.take()).flatten()
    }

    /// How many values there are, and how many callers were served with one.
    pub(super) fn counts(&self) -> (usize, u64) {
        self.each(|pocket| (usize::from(pocket.held.is_some()), pocket.served))
            .fold((0, 0), |(held, served), one| (held + one.0, served + one.1))
    }

    fn each<R>(&self, look: impl Fn(&mut Pocket<T>) -> R) -> impl Iterator<Item = R> {
        self.all.iter().map(move |Apart(pocket)| look(&mut pocket.lock().ignore_poison()))
    }

    fn mine(&self) -> Option<&Mutex<Pocket<T>>> {
        let Apart(pocket) = self.all.get(threads::number() % self.all.len())?;
        Some(pocket)
    }
}

/// Which pocket is whose.
#[cfg(not(loom))]
mod threads {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::available_parallelism;

    /// More cores than that share pockets: a pool pays for each when it empties them.
    const MOST: usize = 16;

    static NEXT: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    pub(super) fn count() -> usize {
        available_parallelism().map_or(1, usize::from).min(MOST)
    }

    /// Threads in the order in which they first asked.
    pub(super) fn number() -> usize {
        NUMBER.with(|own| {
            if own.get() == usize::MAX {
                own.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            own.get()
        })
    }
}

/// All threads of a model meet at one pocket.
#[cfg(loom)]
mod threads {
    pub(super) fn count() -> usize {
        1
    }

    pub(super) fn number() -> usize {
        0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Pockets, Recent};
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_put_is_taken_at_the_same_reading_while_it_is_calm() {
        let (pockets, start) = (Pockets::new(), Instant::now());
        let recent = Recent::new(start);
        assert!(recent.wake(start));
        assert_eq!(pockets.put(&recent, 1), Err(1), "not calm yet");
        assert!(!pockets.note_calm(true));
        assert_eq!(pockets.put(&recent, 1), Ok(()));
        assert_eq!(pockets.put(&recent, 2), Err(2), "no room");
        assert_eq!(pockets.counts(), (1, 0));
        assert_eq!(pockets.take(&recent), Some(1));
        assert_eq!(pockets.counts(), (0, 1));

        assert_eq!(pockets.put(&recent, 3), Ok(()));
        recent.refresh(start + Duration::from_millis(1));
        assert_eq!(pockets.take(&recent), None, "of an earlier reading");
        assert_eq!(pockets.empty().collect::<Vec<_>>(), [(start, 3)]);

        assert_eq!(pockets.put(&recent, 4), Ok(()));
        assert!(pockets.note_calm(false), "to be emptied");
        assert_eq!(pockets.take(&recent), None);
        assert_eq!(pockets.empty().count(), 1);
        assert!(!pockets.note_calm(true));
        assert!(recent.renew(start) && !recent.renew(start), "nobody reads the clock");
        assert_eq!(pockets.put(&recent, 5), Err(5));
    }
}
