//! Tickets: what lets somebody attach to one stream, once and soon. A page of a browser cannot send the fields that say
//! who asks, so the ticket says it.

use super::StreamMode;
use crate::admin::problem::ApiProblem;
use crate::admin::roles::AdminPeer;
use crate::lock::IgnorePoison;
use hyper::StatusCode;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Tickets that are not used yet.
const MOST: usize = 1024;

/// How long a ticket may be used.
pub(super) const LASTS: Duration = Duration::from_secs(30);

/// What a ticket is for.
#[derive(Clone, Debug)]
pub(in crate::admin) struct StreamTicket {
    /// `connections.NAME` or `devices.NAME.PATH`.
    pub(super) to: String,
    pub(super) mode: StreamMode,
    pub(in crate::admin) peer: AdminPeer,
    /// The stream that it goes on with.
    pub(super) stream: Option<u64>,
    until: Instant,
}

impl StreamTicket {
    /// For `peer`, from now on.
    pub(super) fn new(peer: &AdminPeer, to: String, mode: StreamMode, stream: Option<u64>) -> Self {
        StreamTicket { to, mode, peer: peer.clone(), stream, until: Instant::now() + LASTS }
    }
}

/// The tickets that may be used, by what is said to use them.
#[derive(Debug, Default)]
pub(in crate::admin) struct StreamTickets(Mutex<HashMap<String, StreamTicket>>);

impl StreamTickets {
    /// Keeps one; answers what is said to use it.
    ///
    /// # Errors
    /// 503 while there are too many.
    pub(super) fn put(&self, ticket: StreamTicket) -> Result<String, ApiProblem> {
        let mut all = self.0.lock().ignore_poison();
        let now = Instant::now();
        all.retain(|_, ticket| ticket.until > now);
        if all.len() >= MOST {
            let text = format!("{MOST} tickets are not used yet; try again in a moment");
            return Err(ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "limit", text));
        }
        let mut secret = [0; 24];
        let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret));
        drawn.map_err(|error| {
            let text = format!("/dev/urandom: {error}");
            ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "other", text)
        })?;
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        all.insert(text.clone(), ticket);
        Ok(text)
    }

    /// Who has a ticket, which may still be used.
    pub(in crate::admin) fn holder(&self, text: &str) -> Option<AdminPeer> {
        let all = self.0.lock().ignore_poison();
        let ticket = all.get(text).filter(|ticket| ticket.until > Instant::now());
        ticket.map(|ticket| ticket.peer.clone())
    }

    /// Uses a ticket, for `to`.
    ///
    /// # Errors
    /// 403 for one that is not known, was used, is over or is for something else.
    pub(super) fn take(&self, text: &str, to: &str) -> Result<StreamTicket, ApiProblem> {
        let ticket = self.0.lock().ignore_poison().remove(text);
        let ticket = ticket.filter(|ticket| ticket.until > Instant::now() && ticket.to == to);
        ticket.ok_or_else(|| {
            let text =
                format!("expected a ticket for {to} that is not used and not older than {LASTS:?}");
            ApiProblem::forbidden(text)
        })
    }
}
