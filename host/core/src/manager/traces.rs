//! Sends spans to a collector by OTLP over HTTP (opentelemetry.io/docs/specs/otlp), on a driver of the host: its TLS,
//! proxies and logins are options of that driver. Nothing waits for it: what comes meanwhile is in the queue of
//! [`Traces`](crate::traces::Traces), and what has no room there is lost and counted.

use super::Manager;
use super::core::Core;
use super::parts::Parts;
use crate::config::model::TracesConfig;
use crate::config::{KeyPath, Loaded, Reference};
use crate::secret::{Resolver, SecretRef};
use crate::traces::{Sampling, Span, encoded, rejected};
use bytes::Bytes;
use jackfield_plugin_api::{
    Body, Envelope, Error, ErrorKind, Exchange, HeaderBlock, Result, Role, Session,
};
use jackfield_timers::{sleep, timeout};
use serde_json::Map;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Spans in one request at most.
const BATCH: usize = 512;

/// How long a span waits for others of its batch.
const LINGER: Duration = Duration::from_secs(1);

/// The pause before a batch is sent again: each is twice as long as the one before, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// The longest answer that is read.
const MOST_ANSWER: usize = 64 << 10;

/// Statuses by which a collector says that it may take the same batch later (OTLP, "Retryable Response Codes").
const LATER: [u16; 4] = [429, 502, 503, 504];

/// What sends spans, until it is dropped or has sent all.
#[derive(Debug)]
pub(super) struct TraceExport {
    config: TracesConfig,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for TraceExport {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manager {
    /// Has spans sent as `loaded` says from now on. What has waited for another collector is sent there, as far as that
    /// takes it at once.
    pub(super) fn take_over_traces(&self, loaded: &Loaded) {
        let config = &loaded.config.traces;
        let mut held = self.held();
        if held.traces.as_ref().is_some_and(|running| running.config == *config) {
            return;
        }
        let before = held.traces.take();
        let traces = self.core.named.lives.traces();
        if let Some(to) = config.collector() {
            let sampling = Sampling { ratio: config.sample, propagate: config.propagate };
            let spans = traces.open(sampling, config.queue as usize);
            let (stopping, stopped) = watch::channel(false);
            let exporter = Exporter::new(Arc::downgrade(&self.core), to, loaded, stopped);
            let task = tokio::spawn(exporter.run(spans));
            held.traces = Some(TraceExport { config: config.clone(), stopping, task });
        } else {
            traces.close();
        }
        if let Some(before) = before {
            drop(tokio::spawn(async move { before.finish(PAUSES[1]).await }));
        }
    }

    /// Notes a mistake where spans are to be sent to a URI that no driver takes.
    pub(super) async fn check_collector(&self, parts: &mut Parts<'_>) {
        let config = &parts.loaded.config;
        // With a plugin that is to come it is no mistake.
        if let Some(Reference::Uri(uri)) = config.traces.collector()
            && !config.reload.plugins.wait
            && let Err(error) = self.stack(&uri, &Map::new(), Role::Client).await
        {
            parts.fault(&KeyPath::from_iter(["traces", "endpoint"]), error);
        }
    }

    /// Sends what is left, for at most `limit`. From then on there are no spans.
    pub(super) async fn finish_traces(&self, export: Option<TraceExport>, limit: Duration) {
        self.core.named.lives.traces().close();
        if let Some(export) = export {
            export.finish(limit).await;
        }
    }
}

impl TraceExport {
    async fn finish(mut self, limit: Duration) {
        self.stopping.send_replace(true);
        if timeout(limit, &mut self.task).await.is_err() {
            tracing::warn!("traces were not sent in time");
        }
    }
}

/// Why a batch was not taken.
enum Untaken {
    /// It may be taken later.
    Yet(Error),
    /// It never will be.
    Ever(Error),
}

impl From<Error> for Untaken {
    fn from(error: Error) -> Self {
        Untaken::Yet(error)
    }
}

struct Exporter {
    core: Weak<Core>,
    to: Reference,
    path: String,
    config: TracesConfig,
    /// Each with the folder that its reference is meant from.
    headers: Vec<(String, SecretRef, PathBuf)>,
    stopped: watch::Receiver<bool>,
    /// To the collector, between two batches, with the fields of a request.
    session: Option<(Session, Exchange, HeaderBlock)>,
    is_failing: bool,
}

impl Exporter {
    fn new(
        core: Weak<Core>,
        to: Reference,
        loaded: &Loaded,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let config = loaded.config.traces.clone();
        let base = match &to {
            Reference::Uri(uri) => uri.path.trim_end_matches('/'),
            _ => "",
        };
        let path = format!("{base}/v1/traces");
        let headers = config.headers.iter().map(|(name, source)| {
            let key = KeyPath::from_iter(["traces", "headers", name]);
            (name.to_lowercase(), source.0.clone(), loaded.sources.base_dir(&key))
        });
        let headers = headers.collect();
        Exporter { core, to, path, config, headers, stopped, session: None, is_failing: false }
    }

    /// Sends batches until there are no more spans and none can come.
    async fn run(mut self, mut spans: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH);
        while gather(&mut spans, &mut batch).await {
            let count = batch.len() as u64;
            let body = encoded(std::mem::take(&mut batch), &self.config.service_name);
            let lost = self.deliver(&body).await.unwrap_or(count);
            if let Some(core) = self.core.upgrade().filter(|_| lost > 0) {
                core.named.lives.traces().lose(lost);
            }
        }
    }

    /// Sends a batch until it is taken, or refused for good, or there is no more time for that. Answers how many spans
    /// of it are lost, `None` for all.
    async fn deliver(&mut self, body: &Bytes) -> Option<u64> {
        let [mut pause, most] = PAUSES;
        loop {
            match self.send(body).await {
                Ok(lost) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("traces are taken again");
                    }
                    return Some(lost);
                }
                Err(Untaken::Ever(error)) => {
                    self.tell(&error);
                    return None;
                }
                Err(Untaken::Yet(error)) => self.tell(&error),
            }
            // Others that send to the same collector do not all come back at once.
            let pausing = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            if *self.stopped.borrow() {
                return None;
            }
            tokio::select! {
                () = pausing => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => {}
            }
            pause = most.min(pause * 2);
        }
    }

    /// Once, until it goes again.
    fn tell(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let to = self.to.to_string();
            tracing::warn!(to, %error, "traces are not taken, and lost once the queue is full");
        }
    }

    /// Sends a batch once, or twice where the session was from before and has ended meanwhile.
    async fn send(&mut self, body: &Bytes) -> std::result::Result<u64, Untaken> {
        let limit = self.config.timeout.0;
        let sending = async {
            if self.session.is_some()
                && let Ok(answered) = self.ask(body).await
            {
                return answered;
            }
            self.ask(body).await?
        };
        timeout(limit, sending).await.unwrap_or_else(|_| {
            let text = format!("the collector has not answered within {limit:?}");
            Err(Error::new(ErrorKind::TimedOut, text).into())
        })
    }

    /// Asks the collector. What it answers comes inside; the session is kept after an answer that was read whole.
    async fn ask(&mut self, body: &Bytes) -> Result<std::result::Result<u64, Untaken>> {
        // Not kept by what is dropped halfway.
        let (session, exchange, head) = match self.session.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let answer = exchange.send(Envelope::new(head.clone(), Body::full(body.clone()))).await?;
        let status = answer.status();
        let content = answer.body.whole(MOST_ANSWER).await?;
        let refused = || Error::new(ErrorKind::Refused, format!("the collector answers {status}"));
        Ok(match status {
            200..300 => {
                self.session = Some((session, exchange, head));
                let (lost, why) = rejected(&content).unwrap_or_default();
                if lost > 0 {
                    tracing::debug!(lost, why, "the collector has left spans out");
                }
                Ok(lost)
            }
            status if LATER.contains(&status) => Err(Untaken::Yet(refused())),
            _ => Err(Untaken::Ever(refused())),
        })
    }

    /// A session to the collector, and the fields of requests on it.
    async fn open(&self) -> Result<(Session, Exchange, HeaderBlock)> {
        let gone = || Error::new(ErrorKind::Cancelled, "the host is stopping");
        let mut fields = vec![
            (":method".to_owned(), "POST".to_owned()),
            (":path".to_owned(), self.path.clone()),
            ("content-type".to_owned(), "application/x-protobuf".to_owned()),
            ("user-agent".to_owned(), format!("jackfield/{}", env!("CARGO_PKG_VERSION"))),
        ];
        for (name, reference, base) in &self.headers {
            let resolver = Resolver { base: base.clone(), ..Resolver::default() };
            let secret = resolver.resolve(reference).await.map_err(|error| {
                Error::new(ErrorKind::Config, format!("traces.headers.{name}: {error}"))
            })?;
            fields.push((name.clone(), secret.expose().to_owned()));
        }
        let head = HeaderBlock::new(fields)?;
        let manager = Manager { core: self.core.upgrade().ok_or_else(gone)? };
        let session = manager.open(&self.config.endpoint, &Map::new()).await?;
        drop(manager);
        let exchange = session.take_exchange().ok_or_else(|| {
            Error::unsupported("sending traces over a driver that sends no requests")
        })?;
        Ok((session, exchange, head))
    }
}

/// Waits for spans, and for others a moment. Answers whether there is one.
async fn gather(spans: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) -> bool {
    if spans.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let others = async {
        while batch.len() < BATCH && spans.recv_many(batch, BATCH - batch.len()).await > 0 {}
    };
    // Receiving is cancel safe: what has come is in the batch.
    drop(timeout(LINGER, others).await);
    true
}
