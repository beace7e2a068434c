//! The session of a master that a listener has accepted.

use crate::endpoint::{Line, ModbusEndpoint};
use crate::pdu::exception;
use crate::requests::{FAILED, Requests};
use crate::server_facet::ServerFacet;
use crate::server_running;
use jackfield_plugin_api::sync::Notify;
use jackfield_plugin_api::{Control, Facets, Host, Info, Messages, Op, Result, Session, Stream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One master's connection.
pub(crate) struct Master {
    pub(crate) host: Host,
    pub(crate) endpoint: Arc<ModbusEndpoint>,
    pub(crate) line: Line,
    below: Info,
    requests: Mutex<Requests>,
    /// Something is to be sent, or there is room again.
    pub(crate) work: Notify,
    /// Something was sent, or all has ended.
    pub(crate) changed: Notify,
}

impl Master {
    /// What there is of it; the lock is never held across an await.
    pub(crate) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and its task, which ends when the last owner of this is gone.
pub(crate) struct Serving {
    pub(crate) master: Arc<Master>,
    _task: Op<()>,
}

/// The session of a master over a carrier.
pub(crate) fn session(
    host: Host,
    endpoint: &Arc<ModbusEndpoint>,
    (carrier, below): (Stream, Info),
) -> Session {
    let requests = Requests::new(endpoint.framing, endpoint.max_pending);
    let master = Arc::new(Master {
        host,
        line: endpoint.line(&below),
        below,
        requests: Mutex::new(requests),
        endpoint: Arc::clone(endpoint),
        work: Notify::new(),
        changed: Notify::new(),
    });
    let task = host.spawn(server_running::run(Arc::clone(&master), carrier));
    let serving = Arc::new(Serving { master, _task: task });
    let messages = Messages::new(ServerFacet::new(Arc::clone(&serving)));
    Session::builder(Server(serving)).facets(Facets::DRAIN).messages(messages).build()
}

/// The control of a master's session.
struct Server(Arc<Serving>);

impl Server {
    async fn until(&self, ready: impl Fn(&Requests) -> bool) {
        let master = &self.0.master;
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = master.changed.notified();
            if ready(&master.requests()) {
                return;
            }
            changed.await;
        }
    }
}

impl Control for Server {
    fn info(&self) -> Info {
        let master = &self.0.master;
        let requests = master.requests();
        let served = requests.served;
        Info::new()
            .with("role", "server")
            .with("framing", master.endpoint.framing.as_str())
            .with("pending", requests.pending())
            .with("requests", served.requests)
            .with("answers", served.answers)
            .with("dropped_answers", served.dropped)
            .with("noise_bytes", served.noise)
            .over(&master.below)
    }

    async fn close(&self, code: u64, _reason: String) -> Result<()> {
        let exception = if code == 0 { exception::NO_PATH } else { FAILED };
        close(&self.0.master, exception);
        self.until(|requests| requests.end.is_some()).await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.until(|requests| requests.end.is_some() || requests.pending() == 0).await;
        Ok(())
    }
}

/// Refuses what is not answered, and ends.
pub(crate) fn close(master: &Master, exception: u8) {
    master.requests().close(exception);
    master.work.notify_one();
}
