//! [`Kisses`]: servers that have asked to be left alone, and for how long (RFC 5905 §7.4).

use jackfield_plugin_api::{Error, ErrorKind};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest that `RATE` makes us wait.
const LONGEST: Duration = Duration::from_secs(3600);
/// Servers that are remembered.
const REMEMBERED: usize = 1024;

/// Of all sessions of the driver, so that another session does not ask again too soon.
#[derive(Debug, Default)]
pub(crate) struct Kisses {
    servers: Mutex<HashMap<SocketAddr, Kissed>>,
}

#[derive(Clone, Debug)]
struct Kissed {
    name: String,
    until: Duration,
    wait: Duration,
}

impl Kisses {
    fn servers(&self) -> MutexGuard<'_, HashMap<SocketAddr, Kissed>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is said to a call that may not ask `server` now.
    pub(crate) fn check(&self, server: SocketAddr, now: Duration) -> Result<(), Error> {
        let servers = self.servers();
        let Some(kissed) = servers.get(&server) else { return Ok(()) };
        let left = kissed.until.saturating_sub(now);
        if left.is_zero() {
            return Ok(());
        }
        let text =
            "the server has asked to be left alone, and is not asked before that time is over";
        Err(error(text, server, &kissed.name).with("seconds_left", left.as_secs_f64().ceil()))
    }

    /// `server` has said `name`; tells for how long it is left alone.
    pub(crate) fn told(
        &self,
        server: SocketAddr,
        name: &str,
        first: Duration,
        now: Duration,
    ) -> Duration {
        let mut servers = self.servers();
        let before = servers.get(&server).map(|kissed| kissed.wait);
        let wait = match before {
            Some(before) if name == "RATE" => (before * 2).min(LONGEST.max(first)),
            _ => first,
        };
        if servers.len() >= REMEMBERED && before.is_none() {
            // The one whose time is over first, or was over longest ago.
            let oldest = servers.iter().min_by_key(|(_, kissed)| kissed.until);
            if let Some(oldest) = oldest.map(|(server, _)| *server) {
                servers.remove(&oldest);
            }
        }
        servers.insert(server, Kissed { name: name.to_owned(), until: now + wait, wait });
        wait
    }

    /// `server` answers again.
    pub(crate) fn forget(&self, server: SocketAddr) {
        self.servers().remove(&server);
    }
}

/// An error that names a kiss.
pub(crate) fn error(text: &str, server: SocketAddr, name: &str) -> Error {
    Error::new(ErrorKind::Refused, text).with("kiss", name).with("server", server)
}
