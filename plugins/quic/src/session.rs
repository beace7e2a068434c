//! The sessions: [`Main`], a whole connection, and [`Sub`], one more stream of it.

use crate::datagrams::LinkDatagrams;
use crate::mux::{Halves, Mux, Wanted};
use crate::own::Own;
use crate::stream::{Shared, StreamIo};
use jackfield_plugin_api::{
    Address, Control, Datagrams, Error, ErrorKind, Event, Facets, Info, NoParams, Operation,
    Result, Session, Stream, close_code,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = CALLS.union(Facets::STREAM).union(Facets::DATAGRAMS);

const CALLS: Facets = Facets::CALL
    .union(Facets::OPEN_STREAM)
    .union(Facets::ACCEPT_STREAM)
    .union(Facets::DIAL)
    .union(Facets::PING)
    .union(Facets::EVENTS)
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN);

/// Parameters of `migrate`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Migrate {
    /// Where to, `IP` or `IP:PORT`; without it: another port of the same address.
    bind: Option<String>,
}

/// What `migrate` gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[allow(dead_code, reason = "describes an answer")]
struct Migrated {
    /// The new local address.
    local: String,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
struct Nothing {}

/// Parameters of opening one more stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Open {
    /// Only we write on it.
    uni: bool,
    /// Streams of a higher number are sent first; 0 for all that do not say.
    priority: i32,
}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Migrate, Migrated>(
            "migrate",
            "Moves a client's connection, and those that share its socket, to another local address",
        ),
        Operation::new::<Nothing, Nothing>("update_keys", "Updates the keys of the connection"),
    ]
}

fn parse<T: DeserializeOwned + Default>(params: Value) -> Result<T> {
    match params {
        Value::Null => Ok(T::default()),
        params => serde_json::from_value(params)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string())),
    }
}

/// A whole connection.
struct Main {
    mux: Arc<dyn Mux>,
    /// Bytes of all streams that the peer may send before they are read.
    window: u32,
    /// The end was told.
    told: AtomicBool,
}

/// The session of a connection, or of a session on one.
pub(crate) fn of(mux: Arc<dyn Mux>, window: u32) -> Session {
    let stream = Stream::new(Own::new(Arc::clone(&mux)));
    let datagrams = Datagrams::new(LinkDatagrams::new(Arc::clone(&mux)));
    Session::builder(Main { mux, window, told: AtomicBool::new(false) })
        .facets(CALLS)
        .stream(stream)
        .datagrams(datagrams)
        .build()
}

impl Main {
    async fn open(&self, open: &Open) -> Result<Session> {
        self.mux.link().may_open()?;
        let halves = self.mux.open(open.uni).await?;
        if let Some(send) = &halves.0 {
            // It was opened just now.
            let _ = send.set_priority(open.priority);
        }
        sub(&self.mux, halves, true, self.window)
    }
}

impl Control for Main {
    fn info(&self) -> Info {
        self.mux.info()
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "migrate" => {
                let Migrate { bind } = parse(params)?;
                let local = self.mux.link().migrate(bind.as_deref())?;
                Ok(json!({ "local": local.to_string() }))
            }
            "update_keys" => {
                let NoParams {} = jackfield_plugin_api::params(params)?;
                self.mux.link().connection.force_key_update();
                Ok(json!({}))
            }
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        self.open(&parse(params)?).await
    }

    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.mux.link().may_open()?;
        match self.mux.accept(Wanted::Any).await? {
            Some(halves) => sub(&self.mux, halves, false, self.window).map(Some),
            None => Ok(None),
        }
    }

    /// Where the stream leads is the server's business: QUIC has no address for it.
    async fn dial(&self, _address: Address) -> Result<Session> {
        self.open(&Open::default()).await
    }

    async fn ping(&self) -> Result<Duration> {
        self.mux.link().ping(self.window).await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        if self.told.load(Ordering::Acquire) {
            return Ok(None);
        }
        let event = self.mux.end().await;
        Ok((!self.told.swap(true, Ordering::AcqRel)).then_some(event))
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.mux.close(own(code), reason).await
    }

    async fn drain(&self) -> Result<()> {
        self.mux.link().drain().await;
        Ok(())
    }
}

/// QUIC leaves codes to the application, all but 0, which everybody takes for a normal end. What has failed
/// is no such.
fn own(code: u64) -> u64 {
    match code {
        close_code::GOING_AWAY => 0,
        close_code::FAILED => 1,
        other => other,
    }
}

/// One more stream, and the window of its connection.
struct Sub(Arc<Shared>, u32);

fn sub(mux: &Arc<dyn Mux>, halves: Halves, ours: bool, window: u32) -> Result<Session> {
    let shared = Shared::new(mux, halves);
    let mut stream = StreamIo::new(Arc::clone(&shared));
    if ours {
        stream.announce()?;
    }
    Ok(Session::builder(Sub(shared, window))
        .facets(Facets::CLOSE_CODE)
        .stream(Stream::new(stream))
        .build())
}

impl Control for Sub {
    fn info(&self) -> Info {
        let (id, ours, kind) = self.0.facts();
        self.0
            .mux()
            .info()
            .with("stream_id", id)
            .with("stream_kind", kind)
            .with("opened_by", if ours { "us" } else { "peer" })
    }

    /// Gives the stream up: the peer sees the code where it reads and where it writes. A stream has
    /// no room for a reason. Done when the peer knows: from then on the stream does not count among those
    /// that it lets us have.
    async fn close(&self, code: u64, _reason: String) -> Result<()> {
        let was_over = self.0.is_over();
        self.0.close(own(code))?;
        if !was_over {
            // Where the connection is lost, so is the stream.
            let _ = self.0.mux().link().ping(self.1).await;
        }
        Ok(())
    }
}
