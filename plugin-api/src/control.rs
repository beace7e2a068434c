//! [`Control`]: what a driver implements for all facets of a session that are calls.

use crate::error::{Error, Result};
use crate::info::{Event, Info};
use crate::request::Address;
use crate::session::Session;
use serde_json::Value;
use std::time::Duration;

/// The part of a session that is called rather than polled. All methods have defaults; a driver
/// writes those of the facets that it gives to [`SessionBuilder::facets`](crate::SessionBuilder::facets).
///
/// Calls may run at the same time, and dropping one cancels it, at any await: by a deadline, or because
/// nobody waits any more. Where requests and replies share one wire, the reply of a dropped call must not
/// become that of the next one: use a [`Wire`](crate::Wire), numbers or a task of the session
/// ([`cookbook`](crate::cookbook)).
pub trait Control: Send + Sync + 'static {
    /// Addresses, negotiated parameters, peer identity, as they are now. Must not block.
    fn info(&self) -> Info {
        Info::default()
    }
    /// Runs a named operation; [`params`](crate::params()) reads `params` as a type and refuses what the type
    /// does not know.
    fn call(&self, operation: String, params: Value) -> impl Future<Output = Result<Value>> + Send {
        let _ = params;
        async move { Err(Error::unsupported(&format!("operation {operation:?}"))) }
    }
    /// Opens one more stream of a multiplexed session, as a session of its own. `params` of null ask
    /// for the stream that the options describe; what else they may say is in the driver's README.
    fn open_stream(&self, params: Value) -> impl Future<Output = Result<Session>> + Send {
        let _ = params;
        async { Err(Error::unsupported("opening streams")) }
    }
    /// The next stream that the peer opens; `None` when there will be no more.
    fn accept_stream(&self) -> impl Future<Output = Result<Option<Session>>> + Send {
        async { Err(Error::unsupported("accepting streams")) }
    }
    /// Connects onward from the peer, giving a session with the stream facet.
    fn dial(&self, address: Address) -> impl Future<Output = Result<Session>> + Send {
        let _ = address;
        async { Err(Error::unsupported("dialling onward")) }
    }
    /// One round trip of the protocol's own.
    fn ping(&self) -> impl Future<Output = Result<Duration>> + Send {
        async { Err(Error::unsupported("ping")) }
    }
    /// The next thing that happened beside the data; `None` when there will be no more. A driver
    /// bounds what it keeps for a reader that does not come.
    fn next_event(&self) -> impl Future<Output = Result<Option<Event>>> + Send {
        async { Ok(None) }
    }
    /// Ends the session politely, with the protocol's own code where it has one (0: normal). Completes when
    /// what was handed over before has left, and the goodbye too: the session is dropped as soon as it
    /// completes, and when its deadline (`call_timeout`) passes. A protocol whose goodbye ends the other's
    /// reading at once, as QUIC's does, says so in its README.
    fn close(&self, code: u64, reason: String) -> impl Future<Output = Result<()>> + Send {
        let _ = (code, reason);
        async { Ok(()) }
    }
    /// Makes the session as new before a pool lends it to somebody else: leaves a transaction, goes back
    /// to the first directory, drops subscriptions. A failure ends the session instead.
    fn reset(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
    /// Takes no new work and completes when the running work has ended.
    fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// For a session that has nothing to say but its info.
impl Control for Info {
    fn info(&self) -> Info {
        self.clone()
    }
}
