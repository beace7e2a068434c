//! The pockets of a pool beside a lock with the rest of its state, as [`PoolCore`] uses both.
//!
//! [`PoolCore`]: ../../../host/pool/src/shared.rs

use std::time::Instant;

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::pockets::Pockets;
use super::recent::Recent;

/// A pool of one member, which is a number.
struct Pool {
    state: Mutex<State>,
    pockets: Pockets<u32>,
    recent: Recent,
}

#[derive(Default)]
struct State {
    idle: Option<u32>,
    /// Callers that wait, the first one first, and those that were served.
    waiting: Vec<usize>,
    served: Vec<usize>,
}

impl Pool {
    /// Its member is in use.
    fn in_use() -> Arc<Self> {
        let (recent, now) = (Recent::new(Instant::now()), Instant::now());
        assert!(recent.wake(now));
        let pool = Self { state: Mutex::default(), pockets: Pockets::new(), recent };
        assert!(!pool.pockets.note_calm(true));
        Arc::new(pool)
    }

    fn step<R>(&self, step: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap();
        let result = step(&mut state);
        let unrest = self.pockets.note_calm(state.waiting.is_empty());
        drop(state);
        if unrest {
            self.empty();
        }
        result
    }

    fn empty(&self) {
        for (_, member) in self.pockets.empty() {
            self.step(|state| state.give_back(member));
        }
    }

    fn put_back(&self, member: u32) {
        if let Err(member) = self.pockets.put(&self.recent, member) {
            self.step(|state| state.give_back(member));
        }
    }

    /// A member at once, or a place among those that wait.
    fn get(&self, caller: usize) -> Option<u32> {
        if self.pockets.is_calm()
            && let Some(member) = self.pockets.take(&self.recent)
        {
            return Some(member);
        }
        self.step(|state| {
            let free = if state.waiting.is_empty() { state.idle.take() } else { None };
            if free.is_none() {
                state.waiting.push(caller);
            }
            free
        })
    }
}

impl State {
    fn give_back(&mut self, member: u32) {
        if self.waiting.is_empty() {
            assert_eq!(self.idle.replace(member), None, "a member came back twice");
        } else {
            self.served.push(self.waiting.remove(0));
        }
    }
}

#[test]
fn who_waits_is_served_by_what_comes_back_at_the_same_moment() {
    loom::model(|| {
        let pool = Pool::in_use();
        let giver = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.put_back(7))
        };
        let got = pool.get(1);
        giver.join().unwrap();
        let state = pool.state.lock().unwrap();
        assert!(got == Some(7) || state.served == [1], "it waits for ever");
        assert!(state.idle.is_none() && pool.pockets.counts().0 == 0, "the member is there twice");
    });
}

#[test]
fn nobody_overtakes_who_waits() {
    loom::model(|| {
        let pool = Pool::in_use();
        assert_eq!(pool.get(1), None);
        let giver = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.put_back(7))
        };
        let late = pool.get(2);
        giver.join().unwrap();
        assert_eq!(late, None, "the second has what the first waits for");
        assert_eq!(pool.state.lock().unwrap().served, [1]);
    });
}

#[test]
fn of_two_that_come_one_is_served_and_the_other_waits() {
    loom::model(|| {
        let pool = Pool::in_use();
        pool.put_back(7);
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.get(1))
        };
        let own = pool.get(2);
        let other = other.join().unwrap();
        let state = pool.state.lock().unwrap();
        let had = usize::from(own.is_some()) + usize::from(other.is_some()) + state.served.len();
        assert_eq!(had, 1, "one member, {had} users");
        assert_eq!(state.waiting.len(), 1);
    });
}
