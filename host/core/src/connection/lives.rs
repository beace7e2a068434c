//! [`Lives`]: the connections that live now, accepted and dialled, at most so many.

use super::command::ConnectionCommand;
use super::handler::ForAllConnections;
use super::info::ConnectionInfo;
use super::live::Live;
use super::peers::PeerCounts;
use super::state::State;
use crate::events::{Bus, BusLimits, EventKind};
use crate::lock::IgnorePoison;
use crate::traces::Traces;
use crate::work;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::sleep_until;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// One of so many places is never of the peer that has all others.
const SHARE_OF_OTHERS: usize = 10;

/// How many are listed under one lock.
const AT_ONCE: usize = 128;

/// All connections of a host that live, by id: what its listeners have accepted, and what its named
/// connections have opened. They share one limit.
#[derive(Debug)]
pub struct Lives {
    max: AtomicUsize,
    /// How long one more may wait for room, in milliseconds.
    patience: AtomicU64,
    /// Told when one has left.
    left: Notify,
    /// Told when an accepted one has left.
    accepted_left: Notify,
    total: AtomicU64,
    accepted_total: AtomicU64,
    table: Mutex<LivesTable>,
    /// How many each peer has of those that were accepted.
    peers: Arc<PeerCounts>,
    /// What happens to all of them.
    host: OnceLock<Bus>,
    /// What a program does for all of them.
    for_all: OnceLock<ForAllConnections>,
    /// Where spans of those that were accepted go.
    traces: Traces,
}

#[derive(Debug, Default)]
struct LivesTable {
    by_id: BTreeMap<u64, Weak<Live>>,
    /// How many of them were accepted.
    accepted: usize,
    most: usize,
}

/// How many there are and were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LivesCount {
    /// Lives now; one whose `close` has returned is never among them.
    pub now: usize,
    /// The most there were at one time.
    pub most: usize,
    /// How many of them were accepted.
    pub accepted: usize,
    /// All there have been.
    pub total: u64,
    /// How many of these were accepted.
    pub accepted_total: u64,
    /// The most there may be at one time.
    pub max: usize,
}

impl LivesCount {
    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.total.saturating_sub(self.now as u64)
    }
}

impl Lives {
    /// A table for at most `max` lives at once, of which nine tenths may be of one peer.
    pub fn new(max: usize) -> Arc<Self> {
        Self::waiting(max, Duration::ZERO, None)
    }

    /// As [`Lives::new`], but where there is no room one more waits for it at most for `patience`, instead
    /// of being refused at once; with at most `max_per_peer` accepted ones of one address.
    pub fn waiting(max: usize, patience: Duration, max_per_peer: Option<usize>) -> Arc<Self> {
        let lives = Arc::new(Lives {
            max: max.into(),
            patience: millis(patience).into(),
            left: Notify::new(),
            accepted_left: Notify::new(),
            total: AtomicU64::new(0),
            accepted_total: AtomicU64::new(0),
            table: Mutex::default(),
            peers: PeerCounts::new(per_peer(max, max_per_peer)),
            host: OnceLock::new(),
            for_all: OnceLock::new(),
            traces: Traces::default(),
        });
        let weak: Weak<Self> = Arc::downgrade(&lives);
        work::register(weak);
        lives
    }

    /// Puts other limits in force; what lives goes on, and waits that have begun keep their time.
    pub fn set_limits(&self, max: usize, patience: Duration, max_per_peer: Option<usize>) {
        self.max.store(max, Ordering::Relaxed);
        self.patience.store(millis(patience), Ordering::Relaxed);
        self.peers.set_max(per_peer(max, max_per_peer));
        // Who waits for room may have it now.
        self.left.notify_waiters();
    }

    /// From now on tells the bus `host` what happens to each, while it has subscribers; called once.
    pub fn tell(&self, host: Bus) {
        // A second host has its own table.
        let _ = self.host.set(host);
    }

    /// What is done for all connections that begin from now on; called once.
    pub fn do_for_all(&self, for_all: ForAllConnections) {
        // A second host has its own table.
        let _ = self.for_all.set(for_all);
    }

    pub(crate) fn for_all(&self) -> Option<&ForAllConnections> {
        self.for_all.get()
    }

    /// Where spans of sessions and requests go.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(super) fn host(&self) -> Option<&Bus> {
        self.host.get()
    }

    /// How many accepted ones each peer has.
    pub fn peers(&self) -> &Arc<PeerCounts> {
        &self.peers
    }

    /// The limits of the events of each life and name: those of the host's, or the defaults.
    pub(super) fn bus_limits(&self) -> BusLimits {
        self.host().map_or_else(BusLimits::default, Bus::limits)
    }

    /// Whether one more waits for room.
    pub(super) fn waits(&self) -> bool {
        self.patience.load(Ordering::Relaxed) > 0
    }

    /// Enters a life as soon as there is room. Whoever leaves lets one in; the life ends its wait by
    /// itself when no handle is left or it is told to end.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there is none in time.
    pub(super) async fn enter_later(
        &self,
        live: &Weak<Live>,
        commands: &mut watch::Receiver<ConnectionCommand>,
    ) -> Result<()> {
        let end = Instant::now() + Duration::from_millis(self.patience.load(Ordering::Relaxed));
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            let Some(strong) = live.upgrade() else { return Ok(()) };
            let Err(refused) = self.enter(&strong) else { return Ok(()) };
            drop(strong);
            tokio::select! {
                () = left => {}
                _ = commands.changed() => return Ok(()),
                () = sleep_until(end) => return Err(refused),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LivesTable> {
        self.table.lock().ignore_poison()
    }

    /// Enters a life.
    pub(super) fn enter(&self, live: &Arc<Live>) -> Result<()> {
        let mut table = self.lock();
        let max = self.max.load(Ordering::Relaxed);
        if table.by_id.len() >= max {
            let text = format!("{max} connections are open, which is the limit");
            return Err(Error::new(ErrorKind::Limit, text).with("key", "host.max_connections"));
        }
        table.by_id.insert(live.id, Arc::downgrade(live));
        table.most = table.most.max(table.by_id.len());
        self.total.fetch_add(1, Ordering::Relaxed);
        if live.is_accepted() {
            table.accepted += 1;
            self.accepted_total.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn leave(&self, live: &Live) {
        {
            let mut table = self.lock();
            if table.by_id.remove(&live.id).is_none() {
                return;
            }
            table.accepted -= usize::from(live.is_accepted());
        }
        self.left.notify_one();
        if live.is_accepted() {
            self.accepted_left.notify_waiters();
        }
    }

    /// The life of that id, if it has not ended.
    pub fn get(&self, id: u64) -> Option<Arc<Live>> {
        self.lock().by_id.get(&id).and_then(Weak::upgrade)
    }

    /// All that live, by id.
    pub fn all(&self) -> Vec<Arc<Live>> {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            // What is opened and ends meanwhile waits for a few of many, not for all of them.
            let part: Vec<(u64, Weak<Live>)> = {
                let table = self.lock();
                let part = table.by_id.range(from..).take(AT_ONCE);
                part.map(|(id, live)| (*id, Weak::clone(live))).collect()
            };
            let last = part.last().map(|(id, _)| *id);
            let is_last = part.len() < AT_ONCE;
            all.extend(part.into_iter().filter_map(|(_, live)| live.upgrade()));
            match last.and_then(|last| last.checked_add(1)).filter(|_| !is_last) {
                Some(next) => from = next,
                None => return all,
            }
        }
    }

    /// Those that were accepted, by id, as others read them.
    pub fn accepted(&self) -> Vec<ConnectionInfo> {
        self.all().iter().filter(|live| live.is_accepted()).map(|live| live.info()).collect()
    }

    /// The oldest of those that use `to` at this moment, as a route or a definition names it, but for `but`.
    pub(super) fn user_of(&self, to: &str, but: u64) -> Option<Arc<Live>> {
        // The options in a URI make it no other line.
        let line = |to: &str| to.split('?').next().unwrap_or_default().to_owned();
        let wanted = line(to);
        let uses = |live: &Arc<Live>| {
            let to = match &live.spec.inbound {
                Some(inbound) => line(&inbound.to) == wanted,
                None => {
                    line(live.spec.target.stack().display()) == wanted || live.name.as_ref() == to
                }
            };
            to && live.id != but && live.state() == State::Connected
        };
        self.all().into_iter().find(uses)
    }

    /// Completes when `count` connections have been accepted and none of them lives. Cancel safe.
    pub async fn served(&self, count: u64) {
        loop {
            // Enabled before the look, so that none that leaves in between is missed.
            let mut left = std::pin::pin!(self.accepted_left.notified());
            left.as_mut().enable();
            let now = self.count();
            if now.accepted_total >= count && now.accepted == 0 {
                return;
            }
            left.await;
        }
    }

    /// How many there are and were.
    pub fn count(&self) -> LivesCount {
        let table = self.lock();
        LivesCount {
            now: table.by_id.len(),
            most: table.most,
            accepted: table.accepted,
            total: self.total.load(Ordering::Relaxed),
            accepted_total: self.accepted_total.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

/// The most of one peer.
fn per_peer(max: usize, own: Option<usize>) -> usize {
    own.unwrap_or(max - max / SHARE_OF_OTHERS)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl work::Names for Lives {
    fn named(&self, id: u64) -> Option<work::NamedInLog> {
        let live = self.get(id)?;
        Some(match live.listener() {
            Some(listener) => work::NamedInLog {
                name: None,
                listener: Some(listener.to_string()),
                peer: live.peer().map(ToString::to_string),
            },
            None => work::NamedInLog {
                name: Some(live.name.to_string()),
                ..work::NamedInLog::default()
            },
        })
    }

    fn opening(&self, id: u64, step: work::OpeningStep) {
        if let Some(live) = self.get(id) {
            live.note_opening(step);
        }
    }

    fn resolved(&self, id: u64, host: &str, addresses: &[SocketAddr]) {
        if let Some(live) = self.get(id) {
            let (host, addresses) = (host.to_owned(), addresses.to_vec());
            live.tell(EventKind::Resolved { host, addresses });
        }
    }
}
