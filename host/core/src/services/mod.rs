//! Host services: the one reactor's timers, tasks and sockets, given to plugins.
//!
//! Everything a plugin does through here runs on the host's runtime and is counted there, also when it
//! is polled on a thread of the plugin's own. Sockets that are given out come home as themselves: see
//! [`kernel`].

mod blocking;
mod common;
mod host_names;
pub mod kernel;
mod listening;
mod log;
mod news;
mod rate;
mod secrets;
mod sockets;
#[cfg(test)]
mod tests;
mod unix;
mod watch;

pub use common::{Common, PluginRates};
pub use host_names::{HostAddress, HostNames, NameLookup};
pub use listening::handed_over;
pub use log::PLUGIN_LINES;
pub use secrets::PluginSecrets;
pub(crate) use sockets::{HostListener, connect_tcp};
pub use unix::SocketFile;

use crate::handover;
use crate::metrics::PluginMetrics;
use bytes::Bytes;
use jackfield_plugin_api::inside::inside;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::services::{FdIo, Level, PanicReport, Services, Socket, TimerIo};
use jackfield_plugin_api::{Datagrams, Error, ErrorKind, Listener, Result, Session};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

/// Opens a stack on behalf of a plugin; the layer above sets it once it can.
pub type Opener = Arc<dyn Fn(String, String) -> Op<Session> + Send + Sync>;

/// Hears of each panic of a plugin.
pub type OnPanic = Box<dyn Fn(&PanicReport) + Send + Sync>;

/// The services of one host, for one plugin.
pub struct PluginServices {
    plugin: String,
    runtime: Handle,
    started: Instant,
    log: log::PluginLog,
    blocking: blocking::Blocking,
    common: Arc<Common>,
    metrics: PluginMetrics,
    news: news::PluginNews,
    on_panic: OnPanic,
}

impl PluginServices {
    /// Services for `plugin` on the current runtime; `common` is what it shares with other plugins of the same host.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(plugin: &str, common: Arc<Common>, on_panic: OnPanic) -> Self {
        PluginServices {
            plugin: plugin.to_owned(),
            runtime: Handle::current(),
            started: Instant::now(),
            log: log::PluginLog::new(plugin, common.log_rate()),
            blocking: blocking::Blocking::default(),
            metrics: common.metrics().of(plugin),
            news: news::PluginNews::new(plugin, common.events().clone(), common.event_rate()),
            common,
            on_panic,
        }
    }
}

/// A task's handle that stops the task when it is dropped.
struct Task<T>(tokio::task::JoinHandle<Result<T>>);

impl<T> Future for Task<T> {
    type Output = Result<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(result) => result,
            Err(error) if error.is_panic() => {
                Err(Error::new(ErrorKind::Panicked, "a task panicked"))
            }
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the task was stopped")),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct HostTimer(Pin<Box<Sleep>>);

impl TimerIo for HostTimer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
    fn reset(&mut self, after: Duration) {
        self.0.as_mut().reset(Instant::now() + after);
    }
}

impl Services for PluginServices {
    fn log(&self, level: Level, target: &str, message: &str) {
        self.log.line(level, target, message);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn spawn(&self, task: Op<()>) -> Op<()> {
        Op::new(Task(self.runtime.spawn(task)))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        self.blocking.run(&self.runtime, work)
    }

    fn timer(&self, after: Duration) -> Box<dyn TimerIo> {
        let _entered = self.runtime.enter();
        Box::new(HostTimer(Box::pin(jackfield_timers::sleep(after))))
    }

    fn connect(&self, socket: Socket) -> Op<Session> {
        inside(&self.runtime, sockets::connect(socket, Arc::clone(&self.common)))
    }

    fn listen(&self, socket: Socket) -> Op<Listener> {
        // Asked for here: what is polled later may be polled elsewhere.
        let (wanted, common) = (handover::wanted(), Arc::clone(&self.common));
        inside(&self.runtime, sockets::listen(socket, wanted, common))
    }

    fn bind_datagrams(&self, socket: Socket) -> Op<Datagrams> {
        inside(&self.runtime, sockets::bind_datagrams(socket, Arc::clone(&self.common)))
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> Result<Box<dyn FdIo>> {
        let _entered = self.runtime.enter();
        watch::watch(fd, self.common.handover())
    }

    fn resolve(&self, host: &str, port: u16) -> Op<Bytes> {
        let (host, common) = (host.to_owned(), Arc::clone(&self.common));
        inside(&self.runtime, async move {
            let addresses = common.host_names().resolve(&host, port, 0).await?;
            Ok(Bytes::from(serde_json::to_vec(&addresses).unwrap_or_default()))
        })
    }

    fn secret(&self, name: &str) -> Op<Bytes> {
        // Those of now: a change of the configuration may have given others.
        let secrets = self.common.secrets(&self.plugin);
        let (plugin, name) = (self.plugin.clone(), name.to_owned());
        let reading = async move { secrets.read(&plugin, &name).await };
        // On the host's runtime, from whichever thread it is asked.
        Op::new(Task(self.runtime.spawn(reading)))
    }

    fn metric(&self, kind: &str, name: &str, labels: &str, value: f64) {
        self.metrics.record(kind, name, labels, value);
    }

    fn event(&self, event: &str) {
        self.news.tell(event);
    }

    fn open(&self, uri: &str, options: &str) -> Op<Session> {
        match self.common.opener() {
            Some(opener) => inside(&self.runtime, opener(uri.to_owned(), options.to_owned())),
            None => Op::ready(Err(Error::unsupported("opening stacks while the host starts"))),
        }
    }

    fn stopping(&self) -> Op<()> {
        let mut stopping = self.common.stopping();
        Op::new(async move {
            // A sender that is gone says the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
            Ok(())
        })
    }

    fn panicked(&self, report: &PanicReport) {
        (self.on_panic)(report);
    }

    fn received(&self, prefix: &str) -> Option<(String, OwnedFd)> {
        self.common.handover().take_of_plugin(&self.plugin, prefix)
    }

    fn offer(&self, name: &str, fd: BorrowedFd<'_>) -> Op<()> {
        match self.common.handover().offer_of_plugin(&self.plugin, name, fd) {
            Ok(offer) => Op::new(async move {
                offer.begun().await;
                Ok(())
            }),
            Err(error) => Op::ready(Err(Error::from(error).with("offer", name))),
        }
    }
}
