//! [`IgnorePoison`]: locks that go on after a panic of one of their holders.

use std::sync::{LockResult, PoisonError};

/// The guard of a lock, also where a thread has panicked with the lock in its hands: what the host keeps behind
/// locks is whole between any two statements, and a panic ends the session that it happened in, not the host.
pub trait IgnorePoison<G> {
    /// The guard, poisoned or not.
    fn ignore_poison(self) -> G;
}

impl<G> IgnorePoison<G> for LockResult<G> {
    fn ignore_poison(self) -> G {
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
}
