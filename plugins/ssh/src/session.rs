//! The sessions: [`Main`], a whole connection with the stream its options ask for, and [`Sub`], one
//! more channel of it.

use crate::channel::{Channel, ChannelIo, Want};
use crate::client::{exit_facts, signal_of};
use crate::connection::Connection;
use crate::exec::{self, Done, Exec};
use crate::options::Stderr;
use crate::own::{Own, Shared};
use crate::setup::{Setup, Start, check_command, resize};
use crate::sftp::{self, Shelf};
use jackfield_plugin_api::{
    Address, Control, Error, ErrorKind, Event, Facets, Info, Operation, Result, Session, Stream,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = CALLS.union(Facets::STREAM);

const CALLS: Facets = Facets::CALL
    .union(Facets::OPEN_STREAM)
    .union(Facets::DIAL)
    .union(Facets::PING)
    .union(Facets::EVENTS)
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN);

/// Parameters of `resize`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Width in characters; at least 1.
    #[schemars(range(min = 1))]
    columns: u32,
    /// Height in characters; at least 1.
    #[schemars(range(min = 1))]
    rows: u32,
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

/// Parameters of opening one more stream: exactly one of the first five.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Open {
    exec: Option<String>,
    shell: Option<ShellParams>,
    subsystem: Option<String>,
    sftp_get: Option<sftp::Get>,
    sftp_put: Option<sftp::Put>,
    pty: Option<bool>,
    #[serde(default)]
    stderr: Stderr,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShellParams {
    term: Option<String>,
    columns: Option<u32>,
    rows: Option<u32>,
}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = vec![
        Operation::new::<Exec, Done>("exec", "Runs a command and gives its output and exit status"),
        Operation::new::<Resize, Nothing>("resize", "Sets the size of the stream's terminal"),
        Operation::new::<Signal, Nothing>("signal", "Sends a signal to what runs on the stream"),
    ];
    all.extend(sftp::operations());
    all
}

/// A whole connection.
pub(crate) struct Main {
    connection: Arc<Connection>,
    own: Arc<Shared>,
    shelf: Shelf,
}

/// The session of a new connection.
pub(crate) fn main(connection: Arc<Connection>) -> Session {
    let own = Arc::new(Shared::new(Setup::own(&connection.options)));
    let stream = Stream::new(Own::new(Arc::clone(&connection), Arc::clone(&own)));
    let shelf = Shelf::new(connection.options.sftp_transfers);
    Session::builder(Main { connection, own, shelf }).facets(CALLS).stream(stream).build()
}

impl Control for Main {
    fn info(&self) -> Info {
        let facts = exit_facts(&self.own.exit());
        facts.into_iter().fold(self.connection.info(), |info, (name, value)| info.with(name, value))
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "exec" => {
                let done =
                    exec::run(&self.connection, jackfield_plugin_api::params(params)?).await?;
                serde_json::to_value(done)
                    .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
            }
            "resize" => {
                let Resize { columns, rows } = jackfield_plugin_api::params(params)?;
                self.own.resize(columns, rows).await.map(|()| json!({}))
            }
            "signal" => {
                let params = jackfield_plugin_api::params(params)?;
                let idle = || Error::new(ErrorKind::NotFound, "no command runs on the stream");
                let channel = self.own.channel().ok_or_else(idle)?;
                signal(&channel, params).await
            }
            operation if operation.starts_with("sftp_") => {
                sftp::run(&self.shelf.ready(&self.connection).await?, operation, params).await
            }
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        let options = &self.connection.options;
        let (setup, stderr) = match params {
            Value::Null => (Setup::own(options), options.stderr),
            params => match wanted(jackfield_plugin_api::params(params)?, &self.connection)? {
                Wanted::Runs(setup, stderr) => (setup, stderr),
                Wanted::Get(get) => {
                    let ready = self.shelf.ready(&self.connection).await?;
                    return sftp::get_session(&ready, get, self.connection.info()).await;
                }
                Wanted::Put(put) => {
                    let ready = self.shelf.ready(&self.connection).await?;
                    return sftp::put_session(&ready, put, self.connection.info()).await;
                }
            },
        };
        let pty = setup.terminal.is_some();
        let channel = Arc::new(setup.run(&self.connection).await?);
        let bytes = if pty { ChannelIo::new } else { ChannelIo::of_program };
        let io = bytes(Arc::clone(&channel), stderr);
        Ok(sub(channel, io, pty, self.connection.info()))
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        let (want, name) = match address.port {
            Some(port) if !address.host.is_empty() => {
                (Want::Tcp(address.host.clone(), port), address.authority())
            }
            _ if !address.path.is_empty() => {
                (Want::Unix(address.path.clone()), address.path.clone())
            }
            _ => {
                let message = "an address to dial needs host and port, or a path";
                return Err(Error::new(ErrorKind::Config, message));
            }
        };
        let channel = Channel::open(&self.connection, want).await;
        let channel = Arc::new(channel.map_err(|error| error.with("address", &name))?);
        let through = self.connection.info().peer.unwrap_or_default();
        // The bytes are only encrypted as far as the server, so nothing is claimed of the rest.
        let info = Info::new().peer(name).with("through", through);
        let io = ChannelIo::new(Arc::clone(&channel), Stderr::Discard);
        Ok(sub(channel, io, false, info))
    }

    async fn ping(&self) -> Result<Duration> {
        self.connection.ping().await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.connection.news.next().await)
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.shelf.release().await;
        self.connection.close(code, &reason).await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.shelf.release().await;
        self.connection.drain().await;
        Ok(())
    }
}

async fn signal(channel: &Channel, params: Signal) -> Result<Value> {
    let signal = signal_of(&params.name);
    channel.send(|half| half.signal(signal)).await.map(|()| json!({}))
}

/// What a stream is.
enum Wanted {
    Runs(Setup, Stderr),
    Get(sftp::Get),
    Put(sftp::Put),
}

fn wanted(open: Open, connection: &Connection) -> Result<Wanted> {
    let options = &connection.options;
    let start = match (open.exec, &open.shell, open.subsystem, open.sftp_get, open.sftp_put) {
        (Some(command), None, None, None, None) => {
            check_command(&command)?;
            Start::Exec(command)
        }
        (None, Some(_), None, None, None) => Start::Shell,
        (None, None, Some(name), None, None) => Start::Subsystem(name),
        (None, None, None, Some(get), None) => return Ok(Wanted::Get(get)),
        (None, None, None, None, Some(put)) => return Ok(Wanted::Put(put)),
        _ => {
            let message = "a stream is exactly one of exec, shell, subsystem, sftp_get, sftp_put";
            return Err(Error::new(ErrorKind::Config, message));
        }
    };
    let mut setup = Setup::of(start, open.pty, options);
    let size = open.shell.unwrap_or_default();
    if let Some(terminal) = &mut setup.terminal {
        terminal.term = size.term.unwrap_or_else(|| terminal.term.clone());
        terminal.columns = size.columns.unwrap_or(terminal.columns);
        terminal.rows = size.rows.unwrap_or(terminal.rows);
    }
    Ok(Wanted::Runs(setup, open.stderr))
}

/// One more channel.
struct Sub {
    channel: Arc<Channel>,
    pty: bool,
    info: Info,
}

fn sub(channel: Arc<Channel>, io: ChannelIo, pty: bool, info: Info) -> Session {
    let stream = Stream::new(io);
    Session::builder(Sub { channel, pty, info }).facets(Facets::CALL).stream(stream).build()
}

impl Control for Sub {
    fn info(&self) -> Info {
        let facts = exit_facts(&self.channel.inbox.exit());
        facts.into_iter().fold(self.info.clone(), |info, (name, value)| info.with(name, value))
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "resize" if self.pty => {
                let Resize { columns, rows } = jackfield_plugin_api::params(params)?;
                resize(&self.channel, columns, rows).await.map(|()| json!({}))
            }
            "resize" => Err(Error::unsupported("resizing without pty")),
            "signal" => signal(&self.channel, jackfield_plugin_api::params(params)?).await,
            _ => Err(Error::unsupported(&format!("operation {operation:?} of a stream"))),
        }
    }

    /// Done when the server has closed the channel too: until then it counts among those that it lets us
    /// have.
    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.channel.close().await;
        Ok(())
    }
}
