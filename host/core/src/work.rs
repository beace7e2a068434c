//! What the host works for at this moment: the task of a connection is polled under its id, so that
//! the watchdog and the panic hook can name the connection.

use crate::lock::IgnorePoison;
use jackfield_plugin_api::watch;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

/// Polls `work` as work for the connection `id`. Cancel safe as `work` is.
pub fn under<F: Future + ?Sized>(
    id: u64,
    mut work: Pin<&mut F>,
) -> impl Future<Output = F::Output> {
    poll_fn(move |cx| watch::labelled(id, || work.as_mut().poll(cx)))
}

/// A connection as a log line names it.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct NamedInLog {
    /// The name of a named connection.
    pub name: Option<String>,
    /// The listener of an accepted one.
    pub listener: Option<String>,
    /// The peer of an accepted one, where its transport has addresses.
    pub peer: Option<String>,
}

/// A table that knows connections by their ids.
pub trait Names: Send + Sync {
    /// The connection of that id, if it is in this table. Must not block.
    fn named(&self, id: u64) -> Option<NamedInLog>;

    /// What is done at this moment to open the connection of that id, if it is in this table. Must not block.
    /// Default: nothing is done.
    fn opening(&self, id: u64, step: OpeningStep) {
        let _ = (id, step);
    }

    /// A name was looked up for the connection of that id, if it is in this table. Must not block. Default:
    /// nothing is done.
    fn resolved(&self, id: u64, host: &str, addresses: &[SocketAddr]) {
        let _ = (id, host, addresses);
    }
}

/// What is done at a moment to open a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum OpeningStep {
    /// Its transport connects.
    #[default]
    Connecting = 0,
    /// The host looks up the name that it goes to.
    Resolving = 1,
    /// What stands on its transport speaks with the peer: TLS, SSH, a login.
    Handshaking = 2,
}

static TABLES: Mutex<Vec<Weak<dyn Names>>> = Mutex::new(Vec::new());

/// Lets `table` name its connections, for as long as it lives.
pub(crate) fn register(table: Weak<dyn Names>) {
    let mut tables = TABLES.lock().ignore_poison();
    tables.retain(|table| table.strong_count() > 0);
    tables.push(table);
}

/// What is known of the connection `id`; 0 is none.
pub fn named(id: u64) -> NamedInLog {
    if id == 0 {
        return NamedInLog::default();
    }
    tables().find_map(|table| table.named(id)).unwrap_or_default()
}

/// The name `host` was looked up, in the work for a connection if it is called there.
pub(crate) fn resolved(host: &str, addresses: &[SocketAddr]) {
    let id = watch::label_here();
    if id != 0 {
        tables().for_each(|table| table.resolved(id, host, addresses));
    }
}

/// The connection whose work this is takes that step of being opened; nothing is done outside of such work.
pub(crate) fn opening(step: OpeningStep) {
    let id = watch::label_here();
    if id != 0 {
        tables().for_each(|table| table.opening(id, step));
    }
}

fn tables() -> impl Iterator<Item = Arc<dyn Names>> {
    let tables = TABLES.lock().ignore_poison().clone();
    tables.into_iter().filter_map(|table| table.upgrade())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Names for One {
        fn named(&self, id: u64) -> Option<NamedInLog> {
            (id == u64::MAX)
                .then(|| NamedInLog { name: Some("console".to_owned()), ..NamedInLog::default() })
        }
    }

    #[test]
    fn a_table_names_its_connections_for_as_long_as_it_lives() {
        let one: Arc<dyn Names> = Arc::new(One);
        register(Arc::downgrade(&one));
        assert_eq!(named(u64::MAX).name.as_deref(), Some("console"));
        assert_eq!(named(0), NamedInLog::default());
        drop(one);
        assert_eq!(named(u64::MAX), NamedInLog::default());
    }

    #[tokio::test]
    async fn work_is_polled_under_its_id_and_what_follows_is_not() {
        let inside = std::pin::pin!(async { watch::label_here() });
        assert_eq!(under(7, inside).await, 7);
        assert_eq!(watch::label_here(), 0);
    }
}
