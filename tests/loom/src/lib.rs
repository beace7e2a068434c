//! What the host does without a lock, in every order that threads can do it.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --manifest-path tests/loom/Cargo.toml`
//!
//! That is the state of a connection (`connection/state.rs`), the load of a target
//! (`balancer/src/load.rs`): places, the gate of a target whose ejection has ended, the moving latency; and
//! the pockets of a pool (`pool/src/pockets.rs`), beside the lock that all its other state is under.
//! Beside the load a pick takes a number from a counter and reads a rotation that `arc-swap` keeps, a
//! library that is tested by itself.
#![cfg(loom)]

#[path = "../../../host/balancer/src/load.rs"]
#[allow(dead_code, reason = "the models need a part of it")]
mod load;

#[path = "../../../host/core/src/connection/state.rs"]
#[allow(dead_code, reason = "the models need a part of it")]
mod state;

#[path = "../../../host/pool/src/pockets.rs"]
#[allow(dead_code, reason = "the models need a part of it")]
mod pockets;

#[path = "../../../host/pool/src/recent.rs"]
#[allow(dead_code, reason = "the models need a part of it")]
mod recent;

#[cfg(test)]
mod pool;

#[cfg(test)]
mod tests {
    use super::load::{TrialGate, Load};
    use super::state::{IllegalStep, State, StateCell};
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::thread;

    #[test]
    fn a_limit_holds_whoever_comes_at_the_same_time() {
        loom::model(|| {
            let (load, inside) = (Arc::new(Load::default()), Arc::new(AtomicU32::new(0)));
            load.set_limit(Some(1));
            let come = |load: Arc<Load>, inside: Arc<AtomicU32>| {
                let Some(trial) = load.enter() else { return false };
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the only place");
                inside.fetch_sub(1, Ordering::SeqCst);
                load.leave(trial);
                true
            };
            let other = {
                let (load, inside) = (Arc::clone(&load), Arc::clone(&inside));
                thread::spawn(move || come(load, inside))
            };
            let own = come(Arc::clone(&load), inside);
            assert!(other.join().unwrap() | own, "one of them had it");
            assert_eq!(load.in_flight(), 0, "every place came back");
        });
    }

    #[test]
    fn one_at_a_time_tries_and_its_turn_comes_back() {
        loom::model(|| {
            let (load, trying) = (Arc::new(Load::default()), Arc::new(AtomicU32::new(0)));
            load.set_gate(TrialGate::Trial);
            let attempt = |load: Arc<Load>, trying: Arc<AtomicU32>| {
                let Some(trial) = load.enter() else { return };
                assert!(trial);
                assert_eq!(trying.fetch_add(1, Ordering::SeqCst), 0, "two try");
                trying.fetch_sub(1, Ordering::SeqCst);
                load.leave(trial);
            };
            let other = {
                let (load, trying) = (Arc::clone(&load), Arc::clone(&trying));
                thread::spawn(move || attempt(load, trying))
            };
            attempt(Arc::clone(&load), Arc::clone(&trying));
            other.join().unwrap();
            assert_eq!(load.enter(), Some(true), "given up, the next may try");
        });
    }

    /// A full target keeps its turn to be tried: who found no place gives the turn back.
    #[test]
    fn a_try_that_finds_no_place_gives_its_turn_back() {
        loom::model(|| {
            let load = Arc::new(Load::default());
            load.set_limit(Some(1));
            let held = load.enter();
            load.set_gate(TrialGate::Trial);
            let other = {
                let load = Arc::clone(&load);
                thread::spawn(move || load.enter().map(|trial| load.leave(trial)))
            };
            load.leave(held.unwrap());
            other.join().unwrap();
            assert_eq!(load.enter(), Some(true));
            assert_eq!(load.in_flight(), 1);
        });
    }

    #[test]
    fn no_measurement_is_lost_to_one_at_the_same_time() {
        loom::model(|| {
            let load = Arc::new(Load::default());
            let other = {
                let load = Arc::clone(&load);
                thread::spawn(move || load.measured(900.0, 0))
            };
            load.measured(100.0, 0);
            other.join().unwrap();
            // Whichever came first: a longer one counts at once, a shorter one after no time does not.
            assert_eq!(load.latency(0), 900.0);
        });
    }

    /// Whoever ends a connection at the same time as others: one has done it, and the others hear so.
    #[test]
    fn a_connection_ends_once() {
        loom::model(|| {
            let cell = Arc::new(StateCell::new(State::Connected));
            let ending = [State::Closed, State::Error].map(|end| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || cell.step(end))
            });
            let drained = cell.step(State::Draining);
            let ended = ending.map(|ending| ending.join().unwrap());
            assert_eq!(ended.iter().filter(|step| step.is_ok()).count(), 1);
            assert!(cell.get().is_final());
            if let Err(IllegalStep { from, to }) = drained {
                assert!(from.is_final() && to == State::Draining);
            }
        });
    }

    /// A state that was read before a step never takes the step back.
    #[test]
    fn every_step_is_from_the_state_that_it_answers() {
        loom::model(|| {
            let cell = Arc::new(StateCell::new(State::Reconnecting));
            let other = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || cell.step(State::Connected))
            };
            let closed = cell.step(State::Closed);
            let connected = other.join().unwrap();
            match connected {
                Ok(from) => assert_eq!((from, closed), (State::Reconnecting, Ok(State::Connected))),
                Err(step) => assert_eq!((step.from, closed), (State::Closed, Ok(State::Reconnecting))),
            }
            assert_eq!(cell.get(), State::Closed);
        });
    }
}
