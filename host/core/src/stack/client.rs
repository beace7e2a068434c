//! Whom a session is opened for: given down to the drivers that tell it to their peers.

use jackfield_plugin_api::Info;

tokio::task_local! {
    /// What is known of the session that is being joined.
    static CLIENT: Info;
}

/// Runs `work`, in which stacks are opened for `client`. Only what is opened within its own task is: a pool
/// opens sessions for no client in particular.
pub async fn opened_for<T>(client: Info, work: impl Future<Output = T>) -> T {
    CLIENT.scope(client, work).await
}

/// Whom the present task opens a stack for.
pub(super) fn client() -> Option<Info> {
    CLIENT.try_with(Info::clone).ok()
}
