//! [`Connect`]: what a pool has to know about its members.

use std::sync::Arc;

use jackfield_plugin_api::Result;
use tokio::time::Instant;

use super::stats::CloseCause;

/// Opens, tests and closes the members of one pool: sessions to one target.
///
/// A member is shared by reference, as other users of it and the pool itself hold it too.
pub trait Connect: Send + Sync + 'static {
    /// One reusable session.
    type Member: Send + Sync + 'static;

    /// Opens a member. The pool stops waiting, and drops this future, at `deadline` or when it is
    /// drained. The caller on whose behalf it began may be gone by then; the member is then used
    /// for the next.
    fn open(&self, deadline: Instant) -> impl Future<Output = Result<Self::Member>> + Send;

    /// Whether the member is still open, as far as is known without asking the peer. Called at
    /// each hand-out and return; must be quick.
    fn is_open(&self, member: &Self::Member) -> bool;

    /// Asks the peer whether the member still works. Called before a member is handed out that
    /// was unused for `test_idle`. Default: it does.
    fn validate(&self, member: &Self::Member) -> impl Future<Output = bool> + Send {
        let _ = member;
        std::future::ready(true)
    }

    /// Whether a returned member has to be reset before the next user has it; called at each
    /// return. Default: never. Where members are shared, others may be using it at that time.
    fn needs_reset(&self, member: &Self::Member) -> bool {
        let _ = member;
        false
    }

    /// Takes back what a user left behind in a member; `false` if that failed, and the member is
    /// closed. Default: nothing to do.
    fn reset(&self, member: &Self::Member) -> impl Future<Output = bool> + Send {
        let _ = member;
        std::future::ready(true)
    }

    /// Every member is in use and none may be opened, and so many callers wait; called with each further one.
    /// Must not block. Default: nothing is done.
    fn exhausted(&self, max_size: usize, waiting: usize) {
        let _ = (max_size, waiting);
    }

    /// The pool gives a member up; with [`CloseCause::Abandoned`] it is still in use. Must not
    /// block: what takes time is for a task of its own. Default: the member is dropped.
    fn close(&self, member: Arc<Self::Member>, cause: CloseCause) {
        drop((member, cause));
    }
}
