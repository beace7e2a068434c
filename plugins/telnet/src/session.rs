//! The session: its operations, its facts, its events.

use crate::com_port::{Said, Setting, Topic};
use crate::engine::Engine;
use crate::line::{BreakState, LineState, Lines, Modem, Purge, Settings};
use crate::negotiation::{BINARY, COM_PORT, End, Negotiation};
use crate::options::TelnetOptions;
use crate::stream::{Shared, TelnetIo};
use crate::wire;
use bytes::BytesMut;
use futures_util::future::{Either, select};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Host, Info, Operation, Result, Role, Session, Stream,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = CALLS.union(Facets::STREAM).union(Facets::PING);

const CALLS: Facets = Facets::CALL.union(Facets::EVENTS);

/// How long a peer may take to have what was sent before the end.
const CLOSE: Duration = Duration::from_secs(1);

/// Parameters of `resize`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Width in characters; at least 1.
    #[schemars(range(min = 1))]
    columns: u16,
    /// Height in characters; at least 1.
    #[schemars(range(min = 1))]
    rows: u16,
}

/// Parameters of `command`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Command {
    /// Such as `interrupt`, `break`, `are_you_there` or `end_of_record`.
    name: String,
}

/// Parameters of `break`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Break {
    /// How long, 1 to 10000.
    #[schemars(range(min = 1, max = 10000))]
    milliseconds: u32,
}

impl Default for Break {
    fn default() -> Self {
        Break { milliseconds: 250 }
    }
}

/// Parameters of `answer`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// That of the event `call`.
    id: u64,
    /// What the operation gave; nothing if it failed.
    #[serde(default)]
    result: Option<Value>,
}

/// Parameters of `told`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Told {
    /// The name of the event.
    name: String,
    /// What belongs to it.
    #[serde(default)]
    data: Value,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Resize, Nothing>("resize", "Tells a server the size of the terminal"),
        Operation::new::<Command, Nothing>("command", "Sends a command such as interrupt"),
        Operation::new::<Settings, Settings>("set", "Sets the line behind a server (RFC 2217)"),
        Operation::new::<Lines, Nothing>("set_lines", "Sets DTR and RTS of that line"),
        Operation::new::<Nothing, Modem>("lines", "Gives the modem lines, as last received"),
        Operation::new::<Break, Nothing>("break", "Sends a break on that line"),
        Operation::new::<BreakState, Nothing>("set_break", "Begins or ends a break on that line"),
        Operation::new::<Purge, Nothing>("purge", "Throws away what waits in that line's queues"),
        Operation::new::<Answer, Nothing>("answer", "For routes: the result of an event `call`"),
        Operation::new::<Told, Nothing>("told", "For routes: an event of the other session"),
    ]
}

fn parse<T: DeserializeOwned>(params: Value) -> Result<T> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_json::from_value(params).map_err(|error| Error::new(ErrorKind::Config, error.to_string()))
}

fn value(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

/// Begins a session over a carrier, and sets the line behind the peer if the options say how.
///
/// # Errors
/// The peer refuses to have its line set, or ends the session.
pub(crate) async fn begin(
    (carrier, below): (Stream, Info),
    options: &Arc<TelnetOptions>,
    role: Role,
    user: Option<&str>,
    host: Host,
) -> Result<Session> {
    let engine = Engine::new(options, role, user);
    let shared = Shared::new(carrier, engine, options.events as usize, host);
    shared.send(Engine::start).await?;
    if options.binary || role == Role::Client && options.wants_com_port() {
        // What would be sent before the answer could be read either way.
        let settled = |negotiation: &Negotiation| {
            let ends = [End::Local, End::Remote];
            ends.iter().all(|end| negotiation.settled(*end, BINARY).is_some()).then_some(Ok(()))
        };
        shared.until(true, |core| settled(&core.engine.negotiation)).await?;
    }
    let control = Telnet {
        shared: Arc::clone(&shared),
        below,
        role,
        host,
        ping: options.ping,
        reads_ahead: role == Role::Server && options.wants_com_port(),
        calls: tokio::sync::Mutex::default(),
    };
    if let Some(settings) = options.line() {
        control.set(&settings).await?;
    }
    let mut facets = CALLS;
    facets.set(Facets::PING, options.ping);
    Ok(Session::builder(control).facets(facets).stream(Stream::new(TelnetIo(shared))).build())
}

struct Telnet {
    shared: Arc<Shared>,
    below: Info,
    role: Role,
    host: Host,
    ping: bool,
    /// Whether input is read even without a reader: a command in it may discard it.
    reads_ahead: bool,
    /// Answers have no number: one question at a time.
    calls: tokio::sync::Mutex<()>,
}

impl Telnet {
    /// Waits until the peer has agreed to set its line.
    async fn com_port(&self) -> Result<()> {
        if self.role == Role::Server {
            return Err(Error::unsupported("setting a line of a client"));
        }
        let refused = || {
            let text = "the peer refuses to have its line set (RFC 2217), or `com_port` is off";
            Error::new(ErrorKind::Unsupported, text)
        };
        let agreed = |engine: &Engine| {
            let settled = engine.negotiation.settled(End::Local, COM_PORT);
            settled.map(|on| if on { Ok(()) } else { Err(refused()) })
        };
        self.shared.until(true, |core| agreed(&core.engine)).await
    }

    /// Asks for each setting, and waits for each to be answered.
    async fn ask(&self, settings: &[Setting]) -> Result<()> {
        self.com_port().await?;
        let _one = self.calls.lock().await;
        for setting in settings {
            let count = |engine: &Engine| engine.com.answers.get(&setting.topic).copied();
            let before = count(&self.shared.core().engine);
            self.shared.send(|engine, out| engine.say(&Said::Setting(*setting), out)).await?;
            let answered = |engine: &Engine| (count(engine) != before).then_some(Ok(()));
            self.shared.until(true, |core| answered(&core.engine)).await?;
        }
        Ok(())
    }

    /// The route tells what its line has told, which clients hear of as far as RFC 2217 has words for it.
    async fn told(&self, name: &str, data: Value) -> Result<Value> {
        match name {
            "modem" => {
                let modem: Modem = parse(data)?;
                self.send(|engine, out| engine.modem_is(modem, out)).await
            }
            "line" => {
                let state: LineState = parse(data)?;
                self.send(|engine, out| engine.line_is(state, out)).await
            }
            _ => Ok(json!({})),
        }
    }

    async fn set(&self, settings: &Settings) -> Result<Value> {
        let mut asks = settings.asks();
        if asks.is_empty() {
            let topics =
                [Topic::Baud, Topic::DataBits, Topic::Parity, Topic::StopBits, Topic::Flow];
            asks = topics.map(|topic| Setting { topic, value: 0 }).to_vec();
        }
        self.ask(&asks).await?;
        value(&self.shared.core().engine.com.settings)
    }

    async fn send_break(&self, length: Duration) -> Result<()> {
        self.ask(&[Setting { topic: Topic::Break, value: 5 }]).await?;
        self.host.timer(length).await;
        self.ask(&[Setting { topic: Topic::Break, value: 6 }]).await
    }

    async fn send(&self, work: impl FnOnce(&mut Engine, &mut BytesMut)) -> Result<Value> {
        self.shared.send(work).await.map(|()| json!({}))
    }
}

impl Control for Telnet {
    fn info(&self) -> Info {
        let core = self.shared.core();
        let Engine { negotiation, peer, com, .. } = &core.engine;
        let role = if self.role == Role::Client { "client" } else { "server" };
        let mut info = Info::default()
            .with("role", role)
            .with("local_options", negotiation.names(End::Local))
            .with("remote_options", negotiation.names(End::Remote));
        for (name, fact) in [
            ("terminal", peer.terminal.clone()),
            ("charset", peer.charset.clone()),
            ("com_port_signature", com.signature.clone()),
        ] {
            if let Some(fact) = fact {
                info = info.with(name, fact);
            }
        }
        if let Some((columns, rows)) = peer.window {
            info = info.with("columns", columns).with("rows", rows);
        }
        if !peer.environment.is_empty() {
            info = info.with("environment", json!(peer.environment));
        }
        if let Ok(Value::Object(settings)) = value(&com.settings) {
            for (name, fact) in settings.into_iter().filter(|(_, fact)| !fact.is_null()) {
                info = info.with(&name, fact);
            }
        }
        info.over(&self.below)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "resize" => {
                let Resize { columns, rows } = parse(params)?;
                self.send(|engine, out| engine.resize(columns, rows, out)).await
            }
            "command" => {
                let Command { name } = parse(params)?;
                let code = wire::command_code(&name).ok_or_else(|| {
                    let known = wire::command_names().join(" ");
                    let text = format!("there is no command {name:?}; known: {known}");
                    Error::new(ErrorKind::Config, text)
                })?;
                self.send(|engine, out| engine.command(&[code], out)).await
            }
            "set" => self.set(&parse(params)?).await,
            "set_lines" => {
                let Lines { dtr, rts } = parse(params)?;
                let level = |on: bool, first: u32| if on { first } else { first + 1 };
                let dtr = dtr.map(|on| Setting { topic: Topic::Dtr, value: level(on, 8) });
                let rts = rts.map(|on| Setting { topic: Topic::Rts, value: level(on, 11) });
                let asks: Vec<Setting> = dtr.into_iter().chain(rts).collect();
                self.ask(&asks).await.map(|()| json!({}))
            }
            "lines" => {
                let Nothing {} = parse(params)?;
                let modem = self.shared.core().engine.com.modem;
                value(&modem.ok_or_else(|| Error::unsupported("modem lines"))?)
            }
            "break" => {
                let Break { milliseconds } = parse(params)?;
                let length = Duration::from_millis(u64::from(milliseconds));
                self.send_break(length).await.map(|()| json!({}))
            }
            "set_break" => {
                let BreakState { on } = parse(params)?;
                let value = if on { 5 } else { 6 };
                self.ask(&[Setting { topic: Topic::Break, value }]).await.map(|()| json!({}))
            }
            "purge" => {
                let purge: Purge = parse(params)?;
                self.ask(purge.ask().as_slice()).await.map(|()| json!({}))
            }
            "answer" => {
                let Answer { id, result } = parse(params)?;
                let sent = self.send(|engine, out| engine.answered(id, result.as_ref(), out)).await;
                self.shared.go_on();
                sent
            }
            "told" => {
                let Told { name, data } = parse(params)?;
                self.told(&name, data).await
            }
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn ping(&self) -> Result<Duration> {
        if !self.ping {
            return Err(Error::unsupported("ping without the option `ping`"));
        }
        let begun = self.host.now();
        let before = self.shared.core().engine.marks;
        self.shared.send(Engine::mark).await?;
        let marks = |engine: &Engine| (engine.marks != before).then_some(Ok(()));
        self.shared.until(true, |core| marks(&core.engine)).await?;
        Ok(self.host.now().saturating_sub(begun))
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        let closed = self.host.timeout(CLOSE, "sending the last data", self.shared.close()).await;
        if closed.is_err() {
            // A peer that takes nothing is not waited for.
            self.shared.abandon();
        }
        Ok(())
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        self.shared.heed();
        if !self.reads_ahead {
            return Ok(self.shared.news.next().await);
        }
        let news = pin!(self.shared.news.next());
        match select(news, pin!(self.shared.read_ahead())).await {
            Either::Left((event, _)) => Ok(event),
            Either::Right(((), news)) => Ok(news.await),
        }
    }
}
