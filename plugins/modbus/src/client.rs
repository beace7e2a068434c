//! [`Link`]: one connection to devices, which its calls, its messages and its task share; and its session.

use crate::delivery::{Asker, refused};
use crate::endpoint::{Line, ModbusEndpoint};
use crate::engine::{Engine, Job};
use crate::facet::Facet;
use crate::pdu::{BROADCAST, exception_of, function, is_read};
use crate::{operations, pdu, running};
use bytes::Bytes;
use jackfield_plugin_api::sync::{Notify, oneshot};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, EventQueue, Facets, Host, Info, Messages, Op, Result,
    Session, Stream,
};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What sessions of clients take beside messages.
pub(crate) const CALLS: Facets =
    Facets::CALL.union(Facets::PING).union(Facets::EVENTS).union(Facets::DRAIN);

/// One connection to devices.
pub(crate) struct Link {
    pub(crate) host: Host,
    pub(crate) endpoint: Arc<ModbusEndpoint>,
    pub(crate) line: Line,
    pub(crate) below: Info,
    pub(crate) news: EventQueue,
    engine: Mutex<Engine>,
    /// There is something to be done.
    pub(crate) work: Notify,
    /// Something was answered, or all has ended.
    pub(crate) changed: Notify,
}

impl Link {
    /// What there is of it; the lock is never held across an await.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and gives the answer, exceptions among them. Dropped before its turn, the request is not sent; later its
    /// answer is nobody's.
    ///
    /// # Errors
    /// There is no answer, or no room to wait for one.
    pub(crate) async fn ask(
        &self,
        unit: u8,
        pdu: Bytes,
        timeout: Option<Duration>,
    ) -> Result<Bytes> {
        if unit == BROADCAST && self.endpoint.framing.is_serial() && is_read(&pdu) {
            let text = "unit: 0 are all units of the line, and none of them answers";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let (asker, answered) = oneshot::channel();
        {
            let mut engine = self.engine();
            engine.open()?;
            if !engine.has_room() {
                let text = "as many requests wait for the line as `max_queue` allows";
                return Err(Error::new(ErrorKind::Limit, text));
            }
            let asker = Asker::Call(asker);
            engine.add(Job { unit, pdu, priority: 0, timeout, asker });
        }
        self.work.notify_one();
        let gone = || Error::new(ErrorKind::Closed, "the connection has ended");
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks, and gives an answer that is no exception.
    ///
    /// # Errors
    /// As [`Link::ask`], or the exception.
    pub(crate) async fn answer(
        &self,
        unit: u8,
        pdu: Bytes,
        timeout: Option<Duration>,
    ) -> Result<Bytes> {
        let answer = self.ask(unit, pdu, timeout).await?;
        match exception_of(&answer) {
            Some(code) => Err(refused(code).with("unit", unit)),
            None => Ok(answer),
        }
    }

    /// Waits until the engine says so.
    async fn until(&self, ready: impl Fn(&Engine) -> bool) {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            if ready(&self.engine()) {
                return;
            }
            changed.await;
        }
    }
}

/// A connection and its task, which ends when the last owner of this is gone.
pub(crate) struct Held {
    pub(crate) link: Arc<Link>,
    _task: Op<()>,
}

/// The session of a client over a carrier.
pub(crate) fn session(
    host: Host,
    endpoint: &Arc<ModbusEndpoint>,
    (carrier, below): (Stream, Info),
) -> Session {
    let line = endpoint.line(&below);
    let link = Arc::new(Link {
        host,
        line,
        below,
        news: EventQueue::new(endpoint.events),
        engine: Mutex::new(Engine::new(Arc::clone(endpoint), line)),
        endpoint: Arc::clone(endpoint),
        work: Notify::new(),
        changed: Notify::new(),
    });
    let task = host.spawn(running::run(Arc::clone(&link), carrier));
    let held = Arc::new(Held { link, _task: task });
    let messages = Messages::new(Facet::new(Arc::clone(&held)));
    Session::builder(Client(held)).facets(CALLS).messages(messages).build()
}

/// The control of a client's session.
struct Client(Arc<Held>);

impl Control for Client {
    fn info(&self) -> Info {
        let link = &self.0.link;
        let engine = link.engine();
        let (queued, in_flight) = engine.waiting();
        let counts = engine.counts;
        Info::new()
            .with("role", "client")
            .with("framing", link.endpoint.framing.as_str())
            .with("queued", queued)
            .with("in_flight", in_flight)
            .with("requests", counts.requests)
            .with("answers", counts.answers)
            .with("exceptions", counts.exceptions)
            .with("retries", counts.retries)
            .with("timeouts", counts.timeouts)
            .with("late_answers", counts.late)
            .with("wrong_answers", counts.strange)
            .with("noise_bytes", counts.noise)
            .over(&link.below)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        operations::call(&self.0.link, &operation, params).await
    }

    async fn ping(&self) -> Result<Duration> {
        let link = &self.0.link;
        let begun = link.host.now();
        let request = match link.endpoint.ping_register {
            Some(address) => pdu::read(function::READ_HOLDING_REGISTERS, address, 1)
                .map_err(|text| Error::option("ping_register", text))?,
            None => pdu::loopback(&[0x4a, 0x46]),
        };
        // An exception is an answer, too.
        link.ask(link.endpoint.unit, request, None).await?;
        Ok(link.host.now().saturating_sub(begun))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.0.link.news.next().await)
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        close(&self.0.link);
        self.0.link.until(|engine| engine.end.is_some()).await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        let idle = |engine: &Engine| engine.waiting() == (0, 0) || engine.end.is_some();
        self.0.link.until(idle).await;
        Ok(())
    }
}

/// Ends the session once what was sent is answered.
pub(crate) fn close(link: &Link) {
    link.engine().close(link.host.now());
    link.work.notify_one();
}
