//! [`Machinery`]: what a connection needs once it is used, made at the first use.

use super::calls::CallCounter;
use super::command::ConnectionCommand;
use super::counted::CountedStream;
use super::data::Data;
use super::handler::HandlerSlot;
use super::live::Live;
use super::outbox::Outbox;
use super::record::History;
use super::state::State;
use crate::dialogue::Dialogue;
use crate::events::{Bus, Subscription};
use arc_swap::ArcSwapOption;
use jackfield_plugin_api::Session;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::watch;

/// What a connection needs once it is used: its events, queues, data and counters. A [`Live`]
/// has it from the first use on; one that is only relayed never does, which keeps it small.
#[derive(Debug)]
pub struct Machinery {
    /// What happens to it, from when this was first used; ends with its one `closed`.
    pub events: Bus,
    pub(super) session: ArcSwapOption<Session>,
    pub(super) command: watch::Sender<ConnectionCommand>,
    pub(super) changed: watch::Sender<State>,
    pub(super) handler: Arc<watch::Sender<HandlerSlot>>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) calls: CallCounter,
    /// With the session of that number, once it has begun.
    pub(super) dialogue: tokio::sync::Mutex<Option<(u64, Dialogue<CountedStream>)>>,
    pub(super) reconnects: AtomicU32,
    pub(super) idle_notices: AtomicU32,
    pub(super) errors: AtomicU64,
    /// Counts sessions, so that a late complaint about an old one does no harm.
    pub(super) generation: AtomicU64,
    pub(super) round_trip_nanos: AtomicU64,
    pub(super) healthy: AtomicBool,
    pub(super) data: Data,
    pub(super) record: Mutex<History>,
    pub(super) to_handler: OnceLock<Subscription>,
}

impl Machinery {
    fn of(live: &Live) -> Box<Self> {
        let spec = &live.spec;
        let policy = &spec.policy;
        let handler = match &spec.inbound {
            // What one listener accepts shares a definition, but not a handler.
            Some(_) => {
                // What is received belongs to its route or to code of the program.
                let default = live.default_handler().cloned();
                let slot = HandlerSlot { default, ..HandlerSlot::default() };
                Arc::new(watch::channel(slot).0)
            }
            None => Arc::clone(&spec.handler),
        };
        let events = Bus::default();
        if let Some(lives) = &spec.lives {
            events.set_limits(lives.bus_limits());
        }
        Box::new(Machinery {
            events,
            session: ArcSwapOption::empty(),
            command: watch::channel(ConnectionCommand::Run).0,
            changed: watch::channel(live.state.get()).0,
            handler,
            outbox: Arc::new(Outbox::new(policy)),
            calls: CallCounter::default(),
            dialogue: tokio::sync::Mutex::default(),
            reconnects: AtomicU32::new(0),
            idle_notices: AtomicU32::new(0),
            errors: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            round_trip_nanos: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            data: Data::default(),
            record: Mutex::default(),
            to_handler: OnceLock::new(),
        })
    }
}

impl Live {
    /// The machinery, made now if this is its first use.
    fn machinery(&self) -> &Machinery {
        if let Some(machinery) = self.machinery.get() {
            return machinery;
        }
        let machinery = self.machinery.get_or_init(|| Machinery::of(self));
        // A step at this moment either sees what was made, or is seen here. See `Live::stepped`.
        fence(Ordering::SeqCst);
        let state = self.state.get();
        machinery.changed.send_if_modified(|told| std::mem::replace(told, state) != state);
        if state.is_final() {
            self.seal(machinery, "it has ended");
        }
        machinery
    }
}

impl Deref for Live {
    type Target = Machinery;

    fn deref(&self) -> &Machinery {
        self.machinery()
    }
}
