//! The session of a line.

use crate::io::{LineIo, Written};
use crate::line::{Line, Modem, Settings};
use crate::options::SerialOptions;
use jackfield_plugin_api::FdStream;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Host, Info, NoParams, Operation, Result, Session,
    Stream,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = Facets::STREAM.union(CALLS);

const CALLS: Facets = Facets::CALL.union(Facets::EVENTS);

/// How much longer than they should the bytes of a line may take.
const SLACK: Duration = Duration::from_secs(1);

/// How long a change of a line waits at most for what was written before it.
const MAX_DRAIN: Duration = Duration::from_secs(45);

/// Parameters of `set_lines`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Lines {
    /// Data terminal ready.
    dtr: Option<bool>,
    /// Request to send.
    rts: Option<bool>,
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

/// Parameters of `set_break`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BreakState {
    /// Begins it, or ends it. It ends with the session, too.
    on: bool,
}

/// Parameters of `purge`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Purge {
    /// What has come and was not read.
    input: bool,
    /// What was written and is not sent.
    output: bool,
}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Settings, Settings>("set", "Changes settings and gives all of them"),
        Operation::new::<Lines, NoParams>("set_lines", "Sets the modem lines DTR and RTS"),
        Operation::new::<NoParams, Modem>("lines", "Gives the modem lines CTS, DSR, CD and RI"),
        Operation::new::<Break, NoParams>("break", "Sends a break"),
        Operation::new::<BreakState, NoParams>("set_break", "Begins or ends a break"),
        Operation::new::<Purge, NoParams>("purge", "Throws away what waits in the line's queues"),
    ]
}

fn value(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

/// A line that was opened with these options as a session.
///
/// # Errors
/// What the system says.
pub(crate) fn over(
    host: Host,
    path: String,
    line: Line,
    options: &SerialOptions,
) -> Result<Session> {
    let io = FdStream::new(&host, line.descriptor()?)?;
    let poll = Duration::from_millis(u64::from(options.modem_poll));
    Ok(of(host, path, line, io, poll))
}

/// A line as a session.
pub(crate) fn of(host: Host, path: String, line: Line, io: FdStream, poll: Duration) -> Session {
    let line = Arc::new(line);
    let written = Arc::new(Written::default());
    let stream = Stream::new(LineIo::new(io, host, Arc::clone(&line), Arc::clone(&written)));
    let control = Serial { host, path, line, written, poll, seen: Mutex::new(None) };
    Session::builder(control).facets(CALLS).stream(stream).build()
}

struct Serial {
    host: Host,
    path: String,
    line: Arc<Line>,
    written: Arc<Written>,
    poll: Duration,
    /// The modem lines that were told last.
    seen: Mutex<Option<Modem>>,
}

impl Serial {
    /// What has changed since the last look. The first one only looks.
    fn news(&self) -> Result<Option<Event>> {
        let now = self.line.modem()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.replace(now);
        if before.is_none_or(|before| before == now) {
            return Ok(None);
        }
        Ok(Some(Event::new("modem", value(&now)?)))
    }

    /// Waits until what was written is on the line, as far as that can be told: what changes how characters are
    /// sent must not change those. A line that takes nothing is waited for as long as it would need, at most
    /// [`MAX_DRAIN`].
    async fn drain(&self) {
        let begun = self.host.now();
        let limit = self.line.unsent().1.saturating_add(SLACK).min(MAX_DRAIN);
        loop {
            let (count, time) = self.line.unsent();
            let left = limit.saturating_sub(self.host.now().saturating_sub(begun));
            if count == 0 || left.is_zero() {
                break;
            }
            let pause = time.clamp(Duration::from_millis(1), Duration::from_millis(100));
            self.host.timer(pause.min(left)).await;
        }
        // What the chip holds is not told.
        if let Some(last) = self.written.last() {
            let time = self.line.chip_time().min(SLACK);
            let passed = self.host.now().saturating_sub(last);
            self.host.timer(time.saturating_sub(passed)).await;
        }
    }

    async fn send_break(&self, length: Duration) -> Result<()> {
        /// Ends the break even if its caller is gone.
        struct Ending<'a>(&'a Line);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                // A line that is gone has no break.
                let _ = self.0.set_break(false);
            }
        }
        self.drain().await;
        self.line.set_break(true)?;
        let _ending = Ending(&self.line);
        self.host.timer(length).await;
        Ok(())
    }
}

impl Control for Serial {
    fn info(&self) -> Info {
        let info = Info::new().peer(self.path.clone());
        let Ok(Value::Object(settings)) = value(&self.line.settings()) else { return info };
        settings
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .fold(info, |info, (name, value)| info.with(&name, value))
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "set" => {
                let settings: Settings = jackfield_plugin_api::params(params)?;
                if settings != Settings::default() {
                    self.drain().await;
                }
                self.line.set(&settings)?;
                value(&self.line.settings())
            }
            "set_lines" => {
                let Lines { dtr, rts } = jackfield_plugin_api::params(params)?;
                self.line.set_lines(dtr, rts)?;
                Ok(json!({}))
            }
            "lines" => {
                let NoParams {} = jackfield_plugin_api::params(params)?;
                value(&self.line.modem()?)
            }
            "break" => {
                let Break { milliseconds } = jackfield_plugin_api::params(params)?;
                self.send_break(Duration::from_millis(u64::from(milliseconds))).await?;
                Ok(json!({}))
            }
            "set_break" => {
                let BreakState { on } = jackfield_plugin_api::params(params)?;
                if on {
                    self.drain().await;
                }
                self.line.set_break(on)?;
                Ok(json!({}))
            }
            "purge" => {
                let Purge { input, output } = jackfield_plugin_api::params(params)?;
                self.line.purge(input, output)?;
                if output {
                    self.written.discard();
                }
                Ok(json!({}))
            }
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        if self.poll.is_zero() {
            return Ok(None);
        }
        let mut timer = self.host.timer(self.poll);
        loop {
            match self.news() {
                Ok(None) => {}
                // A line without modem lines, or one that is gone: nothing more will change.
                Err(_) => return Ok(None),
                event => return event,
            }
            (&mut timer).await;
            timer.reset(self.poll);
        }
    }
}
