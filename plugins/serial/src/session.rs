//! The session of a line.

use crate::line::{Line, Modem, Settings};
use jackfield_plugin_api::FdStream;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Host, Info, NoParams, Operation, Result, Session,
    Stream,
};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = Facets::STREAM.union(CALLS);

const CALLS: Facets = Facets::CALL.union(Facets::EVENTS);

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

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Settings, Settings>("set", "Changes settings and tells all of them"),
        Operation::new::<Lines, NoParams>("set_lines", "Sets the modem lines DTR and RTS"),
        Operation::new::<NoParams, Modem>("lines", "Tells the modem lines CTS, DSR, CD and RI"),
        Operation::new::<Break, NoParams>("break", "Sends a break"),
    ]
}

fn value(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

/// A line as a session.
pub(crate) fn of(host: Host, path: String, line: Line, io: FdStream, poll: Duration) -> Session {
    let line = Arc::new(line);
    let stream = Stream::new(LineIo { io, _line: Arc::clone(&line) });
    let control = Serial { host, path, line, poll, seen: Mutex::new(None) };
    Session::builder(control).facets(CALLS).stream(stream).build()
}

struct Serial {
    host: Host,
    path: String,
    line: Arc<Line>,
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

    async fn send_break(&self, length: Duration) -> Result<()> {
        /// Ends the break even if nobody waits for that any longer.
        struct Ending<'a>(&'a Line);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                // A line that is gone has no break.
                let _ = self.0.set_break(false);
            }
        }
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
                self.line.set(&jackfield_plugin_api::params(params)?)?;
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

/// What the kernel says of a line that is not there any more, as its end.
fn unplugged(error: io::Error) -> io::Error {
    let gone = [Errno::IO, Errno::NXIO, Errno::NODEV].map(Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|code| gone.contains(&code)) {
        return Error::new(ErrorKind::Closed, "the line is gone").into_io();
    }
    error
}

/// The bytes of a line, which is restored when they and the session are gone.
struct LineIo {
    io: FdStream,
    _line: Arc<Line>,
}

impl AsyncRead for LineIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for LineIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes).map_err(unplugged)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
