//! A session: a server that is asked now and then.

use crate::best;
use crate::exchange::{self, Sample};
use crate::kisses::{self, Kisses};
use crate::operations::Ask;
use crate::options::SntpOptions;
use jackfield_plugin_api::sync::Semaphore;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, EventQueue, Facets, Host, Info, Level, Result, Session,
    params,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What sessions of this driver have.
pub(crate) const FACETS: Facets = Facets::CALL.union(Facets::PING).union(Facets::EVENTS);

/// Options, checked.
#[derive(Debug)]
pub struct SntpEndpoint {
    pub(crate) options: SntpOptions,
    timeout: Duration,
    sample_interval: Duration,
    rate_wait: Duration,
    deny_wait: Duration,
}

impl SntpEndpoint {
    pub(crate) fn new(options: SntpOptions) -> Result<Self> {
        let seconds = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| Error::option(name, "expected seconds, such as 5 or 0.5"))
        };
        Ok(SntpEndpoint {
            timeout: seconds("timeout", options.timeout)?,
            sample_interval: seconds("sample_interval", options.sample_interval)?,
            rate_wait: seconds("rate_wait", options.rate_wait)?,
            deny_wait: seconds("deny_wait", options.deny_wait)?,
            options,
        })
    }
}

struct Asking {
    host: Host,
    endpoint: Arc<SntpEndpoint>,
    kisses: Arc<Kisses>,
    addresses: Vec<SocketAddr>,
    /// How many may still ask; closed with the session.
    turns: Semaphore,
    events: EventQueue,
}

/// A session with a server of these addresses, of which there is at least one. It has sent nothing yet.
pub(crate) fn session(
    host: Host,
    endpoint: &Arc<SntpEndpoint>,
    kisses: &Arc<Kisses>,
    addresses: Vec<SocketAddr>,
) -> Session {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let asking = Asking {
        host,
        endpoint: Arc::clone(endpoint),
        kisses: Arc::clone(kisses),
        addresses,
        turns: Semaphore::new(count(endpoint.options.max_requests)),
        events: EventQueue::new(count(endpoint.options.events)),
    };
    Session::builder(asking).facets(FACETS).build()
}

impl Control for Asking {
    fn info(&self) -> Info {
        let peer = self.addresses.first().map(SocketAddr::to_string).unwrap_or_default();
        Info::new().peer(peer)
    }

    async fn call(&self, operation: String, given: Value) -> Result<Value> {
        match operation.as_str() {
            "time" => self.time(params(given)?).await,
            _ => Err(Error::unsupported(&format!("operation {operation:?}; there is \"time\""))),
        }
    }

    async fn ping(&self) -> Result<Duration> {
        let begun = self.host.now();
        self.ask().await?;
        Ok(self.host.now().saturating_sub(begun))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.events.next().await)
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.turns.close();
        self.events.end();
        Ok(())
    }
}

impl Asking {
    async fn time(&self, Ask { samples }: Ask) -> Result<Value> {
        let wanted = samples.unwrap_or(self.endpoint.options.samples);
        if !(1..=16).contains(&wanted) {
            let text = format!("samples = {wanted}: expected 1 to 16");
            return Err(Error::new(ErrorKind::Config, text));
        }
        let mut samples = Vec::new();
        for number in 0..wanted {
            if number > 0 {
                self.host.timer(self.endpoint.sample_interval).await;
            }
            match self.ask().await.and_then(|sample| sample.check().map(|()| sample)) {
                Ok(sample) => samples.push(sample),
                // A lost packet costs one sample; what the server says against us ends the call.
                Err(error) if error.kind() == ErrorKind::TimedOut && number + 1 < wanted => {}
                Err(error) if error.kind() == ErrorKind::TimedOut && !samples.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let time = best::time(&samples)?;
        let told = json!({ "time": time.time, "unix_ms": time.unix_ms, "offset": time.offset,
            "delay": time.delay, "server": time.server });
        self.events.tell("time", told);
        serde_json::to_value(&time).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    /// One answer, with as many attempts as the options say. A kiss is an error.
    async fn ask(&self) -> Result<Sample> {
        let closed = |_| Error::new(ErrorKind::Closed, "the session was closed");
        let _turn = self.turns.acquire().await.map_err(closed)?;
        let options = &self.endpoint.options;
        let mut last = Error::new(ErrorKind::NotFound, "the server has no address");
        for (_, server) in (0..options.attempts).zip(self.addresses.iter().cycle()) {
            // The deadline of one attempt, whatever comes meanwhile.
            let asked = async {
                self.kisses.check(*server, self.host.now())?;
                exchange::ask(&self.host, *server, options.version).await
            };
            match self.host.timeout(self.endpoint.timeout, "the answer of the server", asked).await
            {
                Ok(sample) => return self.heard(sample),
                Err(error) => last = error,
            }
        }
        let context = last.context().any(|(key, _)| key == "server");
        Err(if context { last } else { last.with("server", self.addresses[0]) })
    }

    /// Passes an answer on, unless it is a kiss that asks for silence.
    fn heard(&self, sample: Sample) -> Result<Sample> {
        let Some(name) = sample.answer.kiss() else {
            self.kisses.forget(sample.server);
            return Ok(sample);
        };
        let first = match name.as_str() {
            "RATE" => self.endpoint.rate_wait,
            "DENY" | "RSTR" => self.endpoint.deny_wait,
            // The server says why its clock is not synchronised.
            _ => return Ok(sample),
        };
        let wait = self.kisses.told(sample.server, &name, first, self.host.now());
        let text = match name.as_str() {
            "RATE" => "the server has had too many requests, and asks for fewer",
            _ => "the server does not serve this client",
        };
        let line = format!("{}: {text} ({name}); it is left alone for {wait:?}", sample.server);
        self.host.log(Level::Info, "sntp", &line);
        let server = sample.server.to_string();
        let told = json!({ "kiss": name, "server": server, "seconds": wait.as_secs_f64() });
        self.events.tell("kiss", told);
        Err(kisses::error(text, sample.server, &name).with("seconds_left", wait.as_secs_f64()))
    }
}
