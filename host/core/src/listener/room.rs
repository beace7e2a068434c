//! [`Room`]: places for the connections of one listener, as many as it may have, which may change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Places for connections.
#[derive(Debug)]
pub(super) struct Room {
    most: AtomicUsize,
    used: AtomicUsize,
    /// Told when there may be one more place.
    more: Notify,
}

/// The place of one connection; dropped, it is free.
#[derive(Debug)]
pub(super) struct RoomPlace(Arc<Room>);

impl Room {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Room { most: most.into(), used: 0.into(), more: Notify::new() })
    }

    /// Lets there be `most` places. Those that are taken beyond that stay taken.
    pub(super) fn set(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.more.notify_one();
    }

    /// A place, once there is one. For one caller at a time. Cancel safe.
    pub(super) async fn place(self: &Arc<Self>) -> RoomPlace {
        loop {
            let next = |used| (used < self.most.load(Ordering::Relaxed)).then_some(used + 1);
            if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
                return RoomPlace(Arc::clone(self));
            }
            // One that is freed in between leaves a permit.
            self.more.notified().await;
        }
    }
}

impl Drop for RoomPlace {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
        self.0.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn places_are_as_many_as_was_last_said() {
        let room = Room::new(1);
        let place = || room.place().now_or_never();
        let first = place();
        assert!(first.is_some() && place().is_none());
        room.set(2);
        let second = place();
        assert!(second.is_some() && place().is_none());
        room.set(1);
        drop(second);
        assert!(place().is_none(), "one is enough now");
        drop(first);
        assert!(place().is_some());
    }
}
