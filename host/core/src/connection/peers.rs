//! [`PeerCounts`]: how many connections each address has at the same time.

use crate::lock::IgnorePoison;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Counts connections by the address of their peer, at most so many for each.
#[derive(Debug)]
pub struct PeerCounts {
    max: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection; dropped, it is free.
#[derive(Debug)]
pub struct PeerPlace {
    counts: Arc<PeerCounts>,
    address: IpAddr,
}

impl PeerCounts {
    /// For at most `max` connections of each address.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(PeerCounts { max: max.into(), by_address: Mutex::default() })
    }

    /// The most that one address may have.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Puts another limit in force; who has more keeps them.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().ignore_poison()
    }

    /// A place for one more of `address`; `None` if it has as many as it may.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<PeerPlace> {
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= self.max() {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(PeerPlace { counts: Arc::clone(self), address })
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.lock().entry(self.address) {
            *count.get_mut() -= 1;
            // Addresses that come once must not fill the memory.
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_places_as_it_may_and_gets_them_back() {
        let counts = PeerCounts::new(2);
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let first = counts.enter(one).expect("a place");
        let second = counts.enter(one).expect("a place");
        assert!(counts.enter(one).is_none());
        assert!(counts.enter(other).is_some(), "another address has places of its own");
        drop(first);
        let third = counts.enter(one).expect("the place that is free");
        drop((second, third));
        assert!(counts.lock().is_empty());
    }
}
