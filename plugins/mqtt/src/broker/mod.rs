//! [`MqttBroker`]: a broker inside the host, for sessions of `mqtt` listeners.

mod hub;
mod options;
mod outbox;
mod permissions;
mod retained;
mod serving;
mod state;
mod tree;

pub use options::{BrokerOptions, Permission};

use crate::server::conversation_of;
use hub::{Counts, Hub};
use jackfield_plugin_api::{Error, Facets, Handler, HandlerInfo, Host, Level, Op, Result, Session};
use serde_json::json;
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

/// How often what is over is ended, wills that wait are looked at and counts are told.
const SWEEP: Duration = Duration::from_secs(1);

/// How often it is looked whether the last client has gone when the host stops.
const LEAVE: Duration = Duration::from_millis(20);

/// The `mqtt_broker` handler.
pub struct MqttBroker {
    host: Host,
    running: Arc<Running>,
    options: BrokerOptions,
    /// Whether the options hold: they do from the first client on, because a configuration that is only looked at
    /// changes nothing.
    hold: AtomicBool,
}

/// A hub, and what looks after it.
struct Running {
    hub: Arc<Hub>,
    /// Runs while this is held.
    _sweeping: Op<()>,
}

/// Brokers by their state directories: one whose options are changed goes on with its clients.
static RUNNING: LazyLock<Mutex<HashMap<PathBuf, Weak<Running>>>> = LazyLock::new(Mutex::default);

impl Running {
    fn start(host: Host, options: BrokerOptions) -> Arc<Self> {
        let hub = Arc::new(Hub::new(host, options));
        let sweeping = host.spawn(sweep(host, Arc::downgrade(&hub)));
        Arc::new(Running { hub, _sweeping: sweeping })
    }

    /// The broker of a state directory.
    fn of(folder: PathBuf, host: Host, options: BrokerOptions) -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = running.get(&folder).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| !known.hub.has_left()) {
            return known;
        }
        running.retain(|_, known| known.strong_count() > 0);
        let started = Running::start(host, options);
        running.insert(folder, Arc::downgrade(&started));
        started
    }
}

impl Handler for MqttBroker {
    const INFO: HandlerInfo = HandlerInfo::new(
        "mqtt_broker",
        "A broker of MQTT 3.1.1 and 5.0 for the clients of mqtt listeners",
        Facets::MESSAGES,
    );
    type Options = BrokerOptions;

    fn new(host: Host, options: BrokerOptions) -> Result<Self> {
        permissions::check(&options.permissions)?;
        let folder = PathBuf::from(&options.state_dir);
        let running = match folder.as_os_str().is_empty() {
            true => Running::start(host, options.clone()),
            false => Running::of(folder, host, options.clone()),
        };
        Ok(MqttBroker { host, running, options, hold: AtomicBool::new(false) })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let conversation = conversation_of(&session.info()).ok_or_else(|| {
            Error::unsupported(
                "a session of another driver than mqtt: expected listen = \"mqtt://…\"",
            )
        })?;
        if !self.hold.swap(true, Ordering::AcqRel) {
            self.running.hub.change(&self.options);
        }
        let permissions = &self.options.permissions;
        serving::serve(self.host, &self.running.hub, permissions, &conversation).await
    }
}

/// Takes up a journal as a broker that starts does, for the fuzzer; returns how much of it is whole.
#[doc(hidden)]
pub fn check_journal(host: Host, bytes: &[u8]) -> usize {
    Hub::new(host, BrokerOptions::default()).read_bytes(bytes)
}

/// Looks after what has its time, until the broker is gone.
async fn sweep(host: Host, hub: Weak<Hub>) {
    let mut timer = host.timer(SWEEP);
    let mut told = [usize::MAX; 4];
    let mut unreadable = false;
    let mut stopping = pin!(host.stopping());
    loop {
        let stops = poll_fn(|cx| match stopping.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| false),
        });
        if stops.await {
            return leave(host, &hub).await;
        }
        let Some(hub) = hub.upgrade() else { return };
        // What is over while no client comes ends too, and what is wrong with the folder is told at the start.
        if let Err(error) = hub.open().await
            && !std::mem::replace(&mut unreadable, true)
        {
            let text = format!("the broker cannot use its state directory: {error}");
            host.log(Level::Error, "mqtt", &text);
        }
        tell(host, &hub.sweep(host.now()), &mut told);
        if hub.wants_rewriting() {
            let hub = Arc::clone(&hub);
            // It says itself what is wrong.
            let _ = host.blocking(move || hub.rewrite()).await;
        }
        drop(hub);
        timer.reset(SWEEP);
    }
}

/// Leaves the state directory when the last client has gone: a host that takes over waits for it.
async fn leave(host: Host, hub: &Weak<Hub>) {
    let mut timer = host.timer(LEAVE);
    while hub.upgrade().is_some_and(|hub| !hub.leave_state()) {
        (&mut timer).await;
        timer.reset(LEAVE);
    }
}

/// Tells the host how many there are, and what was dropped.
fn tell(host: Host, counts: &Counts, told: &mut [usize; 4]) {
    let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let now = [counts.clients, counts.sessions, counts.subscriptions, counts.retained];
    let names = ["clients", "sessions", "subscriptions", "retained"];
    for ((name, count), told) in names.iter().zip(now).zip(told) {
        if count != *told {
            *told = count;
            let name = format!("mqtt_broker_{name}");
            host.metric("gauge", &name, &json!({}), number(count as u64));
        }
    }
    if counts.dropped > 0 {
        host.metric("counter", "mqtt_broker_dropped", &json!({}), number(counts.dropped));
        let text = format!(
            "messages were dropped: queues or retained messages are full [count={}]",
            counts.dropped
        );
        host.log(Level::Warn, "mqtt", &text);
    }
    if counts.refused > 0 {
        host.metric("counter", "mqtt_broker_refused", &json!({}), number(counts.refused));
        let text = format!(
            "messages and subscriptions were refused: nobody has permitted them [count={}]",
            counts.refused
        );
        host.log(Level::Warn, "mqtt", &text);
    }
}
