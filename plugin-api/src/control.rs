//! [`Control`]: what a driver implements for all facets of a session that are calls.

use crate::error::{Error, Result};
use crate::info::{Event, Info, SocketEnds};
use crate::request::Address;
use crate::session::Session;
use serde_json::Value;
use std::time::Duration;

/// Codes for [`Control::close`] that say why in no protocol's own numbers, which fit into 62 bits. A driver
/// sends what its protocol has for it, or ends the session as after a failure where it has nothing.
pub mod close_code {
    /// All is well.
    pub const NORMAL: u64 = 0;
    /// This side goes away, or ends a session in which nothing happens: 1001 of WebSocket (RFC 6455 §7.4.1).
    pub const GOING_AWAY: u64 = 1 << 63;
    /// What the session led to has failed, so that what came over it may not be whole: 1011 of WebSocket.
    pub const FAILED: u64 = GOING_AWAY | 1;
}

/// The part of a session that is called rather than polled. All methods have defaults; a driver
/// writes those of the facets that it gives to [`SessionBuilder::facets`](crate::SessionBuilder::facets).
///
/// Calls may run at the same time, and dropping one cancels it, at any await: by a deadline, or because
/// its caller is gone. Where requests and replies share one wire, the reply of a dropped call must not
/// become that of the next one: use a [`Wire`](crate::Wire), numbers or a task of the session
/// ([`cookbook`](crate::cookbook)).
///
/// # Around another session
///
/// A control that stands around a session names it in [`Control::inner`]. Each method that it does not write
/// then goes to that session, methods of later versions too.
///
/// ```
/// use jackfield_plugin_api::{Control, Session};
///
/// /// Counts as in use for as long as the session lives.
/// struct Counted<G> {
///     session: Session,
///     _guard: G,
/// }
///
/// impl<G: Send + Sync + 'static> Control for Counted<G> {
///     fn inner(&self) -> Option<&Session> {
///         Some(&self.session)
///     }
/// }
///
/// fn counted<G: Send + Sync + 'static>(session: Session, guard: G) -> Session {
///     let facets = session.facets();
///     let counted = Counted { session, _guard: guard };
///     Session::builder(counted).facets(facets).inner_data().build()
/// }
/// ```
pub trait Control: Send + Sync + 'static {
    /// The session that this one stands around, which is asked wherever a method has no code of its own.
    /// Default: none.
    fn inner(&self) -> Option<&Session> {
        None
    }
    /// Addresses, negotiated parameters, peer identity, as they are now. Must not block.
    fn info(&self) -> Info {
        self.inner().map(Session::info).unwrap_or_default()
    }
    /// Runs a named operation; [`params`](crate::params()) reads `params` as a type and refuses what the type
    /// does not know.
    fn call(&self, operation: String, params: Value) -> impl Future<Output = Result<Value>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.call(&operation, &params).await,
                None => Err(Error::unsupported(&format!("operation {operation:?}"))),
            }
        }
    }
    /// Opens one more stream of a multiplexed session, as a session of its own. `params` of null ask
    /// for the stream that the options describe; what else they may say is in the driver's README.
    fn open_stream(&self, params: Value) -> impl Future<Output = Result<Session>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.open_stream(&params).await,
                None => Err(Error::unsupported("opening streams")),
            }
        }
    }
    /// The next stream that the peer opens; `None` when there will be no more.
    fn accept_stream(&self) -> impl Future<Output = Result<Option<Session>>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.accept_stream().await,
                None => Err(Error::unsupported("accepting streams")),
            }
        }
    }
    /// Connects onward from the peer, giving a session with the stream facet.
    fn dial(&self, address: Address) -> impl Future<Output = Result<Session>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.dial(&address).await,
                None => Err(Error::unsupported("dialling onward")),
            }
        }
    }
    /// One round trip of the protocol's own.
    fn ping(&self) -> impl Future<Output = Result<Duration>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.ping().await,
                None => Err(Error::unsupported("ping")),
            }
        }
    }
    /// The next thing that happened beside the data; `None` when there will be no more. A driver
    /// bounds what it keeps for a reader that does not come.
    fn next_event(&self) -> impl Future<Output = Result<Option<Event>>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.next_event().await,
                None => Ok(None),
            }
        }
    }
    /// Ends the session politely, with the protocol's own code where it has one (0: normal), or with one of
    /// [`close_code`], which say why in no protocol's numbers. A code that the protocol does not have is an
    /// error of kind [`ErrorKind::Config`](crate::ErrorKind::Config), and nothing has happened. Completes when
    /// what was handed over before has left, and the goodbye too: the session is dropped as soon as it
    /// completes, and when its deadline (`call_timeout`) passes. A protocol whose goodbye ends the other's
    /// reading at once, as QUIC's does, says so in its README.
    fn close(&self, code: u64, reason: String) -> impl Future<Output = Result<()>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.close(code, &reason).await,
                None => Ok(()),
            }
        }
    }
    /// Makes the session as new before a pool lends it to another user: leaves a transaction, goes back
    /// to the first directory, drops subscriptions. A failure ends the session instead.
    fn reset(&self) -> impl Future<Output = Result<()>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.reset().await,
                None => Ok(()),
            }
        }
    }
    /// Takes no new work and completes when the running work has ended.
    fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        async move {
            match self.inner() {
                Some(inner) => inner.drain().await,
                None => Ok(()),
            }
        }
    }
}

/// For a session that has nothing to say but where its ends are.
impl Control for SocketEnds {
    fn info(&self) -> Info {
        (*self).into()
    }
}

/// For a session that has nothing to say but its info.
impl Control for Info {
    fn info(&self) -> Info {
        self.clone()
    }
}
