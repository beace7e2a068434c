//! [`IgnorePoison`]: locks that go on after a panic of one of their holders. All locks of the host are taken by it, so
//! that a test can count them: [`taken`].

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::sync::{LockResult, PoisonError};

#[cfg(debug_assertions)]
thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// How many locks this thread has taken by [`IgnorePoison`] so far. Only in builds with debug assertions: others count
/// none, and pay nothing.
#[cfg(debug_assertions)]
pub fn taken() -> u64 {
    TAKEN.get()
}

/// The guard of a lock, also where a thread has panicked with the lock in its hands: what the host keeps behind
/// locks is whole between any two statements, and a panic ends the session that it happened in, not the host.
pub trait IgnorePoison<G> {
    /// The guard, poisoned or not.
    fn ignore_poison(self) -> G;
}

impl<G> IgnorePoison<G> for LockResult<G> {
    fn ignore_poison(self) -> G {
        #[cfg(debug_assertions)]
        TAKEN.set(TAKEN.get() + 1);
        self.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::IgnorePoison;
    use std::sync::Mutex;

    #[test]
    fn a_lock_goes_on_after_a_panic_of_its_holder() {
        let lock = Mutex::new(7);
        let panics = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _guard = lock.lock();
                panic!("told to");
            });
            holder.join().is_err()
        });
        assert!(panics && lock.is_poisoned());
        assert_eq!(*lock.lock().ignore_poison(), 7);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn each_thread_counts_the_locks_that_it_has_taken() {
        let (lock, before) = (Mutex::new(()), super::taken());
        for _ in 0..3 {
            drop(lock.lock().ignore_poison());
        }
        let of_another = || drop(lock.lock().ignore_poison());
        std::thread::scope(|scope| drop(scope.spawn(of_another).join()));
        assert_eq!(super::taken() - before, 3);
    }
}
