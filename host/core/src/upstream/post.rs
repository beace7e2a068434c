//! Posts to an upstream: each goes to one of its targets.

use super::{Tried, Upstream};
use crate::connection::{Payload, Receipt};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::time::Instant;

impl Upstream {
    /// Queues a payload at the target that is picked, for one session that all posts to that target share: it is
    /// opened if there is none, and closed when it was unused for a minute. A target whose queue is full, or whose
    /// session could not be opened since it was last asked, is passed over; of the latter the balancer takes note.
    /// Once a post is queued it stays where it is: the receipt tells whether it was sent. Posts to one target keep
    /// their order, those to several have none; with one key they meet at one target where the strategy
    /// [looks at keys](Upstream::uses_key). What the peer sends back over such a session is not read. It is no
    /// session of the pool. Needs a runtime.
    ///
    /// # Errors
    /// The last target's: [`ErrorKind::Limit`] when its queue is full, or why its session could not be opened;
    /// [`ErrorKind::Limit`] or [`ErrorKind::Unreachable`] if no target may be asked.
    pub fn post(&self, key: Option<u64>, payload: impl Into<Payload>) -> Result<Receipt> {
        let (payload, now) = (payload.into(), Instant::now());
        let (mut tried, mut last) = (Tried::default(), None);
        while let Some(ticket) = self.balancer.take(key, now, &tried) {
            ticket.note(&mut tried);
            let posts = ticket.target().posts(|| self.pools.posts(&self.name, ticket.name()));
            if let Some(error) = posts.failure() {
                ticket.failed(&error, self.pools.limit, now);
                last = Some(error);
                continue;
            }
            match posts.post(payload.clone()) {
                Ok(receipt) => return Ok(receipt),
                Err(error) => last = Some(error.with("target", ticket.name())),
            }
        }
        let none = || {
            if self.balancer.is_drained() {
                return Error::new(ErrorKind::Unreachable, "every target is drained");
            }
            Error::new(ErrorKind::Limit, "no target has room for another post")
        };
        Err(last.unwrap_or_else(none).with("upstream", &self.name))
    }
}
