//! The session of a child.

use crate::ending::Running;
use crate::kid::Exit;
use crate::output::{ProgramIo, ProgramOutput};
use crate::signals;
use jackfield_plugin_api::FdStream;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Info, NoParams, Operation, Result, Session, Stream,
};
use rustix::termios::{Winsize, tcsetwinsize};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = CALLS.union(Facets::STREAM);

const CALLS: Facets = Facets::CALL.union(Facets::EVENTS).union(Facets::DRAIN);

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

/// Parameters of `signal`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// Its name, with or without `SIG`: INT, TERM, HUP, …
    name: String,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
struct Nothing {}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Resize, Nothing>("resize", "Sets the size of the terminal"),
        Operation::new::<Signal, Nothing>("signal", "Sends a signal to the process and its group"),
        Operation::new::<Nothing, Exit>(
            "wait",
            "Waits for the end of the process and gives its exit status",
        ),
    ]
}

fn value(exit: &Exit) -> Result<Value> {
    serde_json::to_value(exit).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

/// A child as a session.
pub(crate) fn of(running: Running, program: String, io: FdStream) -> Session {
    let running = Arc::new(running);
    let stream = Stream::new(ProgramIo::new(io, ProgramOutput::new(Arc::clone(&running))));
    let control = Process { running, program, told: AtomicBool::new(false) };
    Session::builder(control).facets(CALLS).stream(stream).build()
}

struct Process {
    running: Arc<Running>,
    program: String,
    /// Whether the end was told as an event.
    told: AtomicBool,
}

impl Control for Process {
    fn info(&self) -> Info {
        let info = Info::new().peer(self.program.clone()).with("pid", self.running.kid.pid());
        let Some(Exit { exit_status, exit_signal }) = self.running.kid.exit() else { return info };
        let info =
            exit_status.into_iter().fold(info, |info, status| info.with("exit_status", status));
        exit_signal.into_iter().fold(info, |info, signal| info.with("exit_signal", signal))
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "resize" => {
                let Resize { columns, rows } = jackfield_plugin_api::params(params)?;
                let none = || Error::unsupported("resizing without pty");
                let terminal = self.running.terminal.as_ref().ok_or_else(none)?;
                let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                tcsetwinsize(terminal, size).map_err(io::Error::from)?;
                Ok(json!({}))
            }
            "signal" => {
                let Signal { name } = jackfield_plugin_api::params(params)?;
                let signal = signals::of_name(&name)?;
                let gone = |_| Error::new(ErrorKind::NotFound, "the process has ended");
                self.running.kid.signal(signal).map_err(gone)?;
                Ok(json!({}))
            }
            "wait" => {
                let NoParams {} = jackfield_plugin_api::params(params)?;
                value(&self.running.kid.exited(&self.running.host).await?)
            }
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        if self.told.load(Ordering::Acquire) {
            return Ok(None);
        }
        let exit = self.running.kid.exited(&self.running.host).await?;
        if self.told.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        Ok(Some(Event::new("exit", value(&exit)?)))
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.running.end().await.map(drop)
    }

    async fn drain(&self) -> Result<()> {
        self.running.kid.exited(&self.running.host).await.map(drop)
    }
}
