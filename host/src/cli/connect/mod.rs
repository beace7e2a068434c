//! `jackfield connect`: standard input and output, or a terminal, as one end of a session.

mod by_host;
mod bytes;
mod escape;
mod lines;
mod output;
mod terminal;

use super::admin::{self, AdminArgs, HostSearch, none_at};
use super::call::{close, status_code};
use super::client::{AddedOptions, Client, TargetArgs, has_operation};
use super::failure::{Failure, Outcome, one_line};
use super::output::complain;
use super::runtime::{SignalInfo, Signals, block_on, start_client_log};
use crate::config::{Config, Loaded, Reference, Timespan};
use crate::connection::Caller;
use crate::relay::messages_of;
use by_host::HostStream;
use escape::Escape;
use futures_util::{FutureExt, StreamExt};
use jackfield_plugin_api::{
    Error, ErrorKind, Event, Facets, Info, Messages, Result, Session, Stream,
};
use lines::Form;
use output::{Sent, Shown, Sink};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use terminal::RawMode;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConnectArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// Only watch what passes on an exclusive path of a device, as a running host sees it
    #[arg(long)]
    observe: bool,
    /// Send what is read as binary messages instead of line by line, where the session has messages
    #[arg(long)]
    binary: bool,
    /// How long the peer may be silent after the end of standard input before a session is closed that
    /// cannot end one direction alone: messages, a serial line, a terminal, telnet
    #[arg(long, value_name = "TIME", default_value = "1s")]
    linger: String,
    /// Leave the terminal in its own mode, line by line, even if the far side is a terminal too
    #[arg(long)]
    no_raw: bool,
}

const EXAMPLES: &str = "\
Bytes are passed on as they are; the end of standard input ends our direction, and the peer's end
ends the command. Where the session has messages and no stream, each line is sent as a text message, and
each text message is shown as a line.

When standard input is a terminal and so is the far side, the terminal is in raw mode, its size
follows, and ~. at the beginning of a line ends the connection.

Where a host runs (see --admin) and TO is connections.NAME or devices.NAME.PATH, it opens the session: an
exclusive path is waited for in turn, and ~. leaves. With --config, --plugins, --set or options of one's
own, and for a URI, this command connects by itself.

The exit code is the remote exit status where there is one.

Examples:
  jackfield connect tcp://127.0.0.1:7001
  jackfield connect ws://127.0.0.1:8080/echo
  echo hello | jackfield connect wss://host/path -o tls.ca_file=ca.pem
  jackfield connect ssh://lab@10.0.0.7 -o key_file=~/.ssh/id_ed25519
  jackfield connect devices.core1.console
  jackfield connect devices.core1.console --observe
  tar c dir | jackfield connect ssh://lab@10.0.0.7 -o exec='tar x'";

/// How long the far side may take to tell its exit status, or to end politely.
const PATIENCE: Duration = Duration::from_secs(2);

/// The two directions of a stream. They are kept until the exit status has been told: what runs at
/// a stream that is dropped cannot report the end of its far side.
type Halves = (ReadHalf<Stream>, WriteHalf<Stream>);

/// How a connection came to its end.
enum ConnectEnd {
    Shown(Shown),
    Quit,
    Signal(SignalInfo),
}

pub(super) fn connect(args: &ConnectArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let linger: Timespan =
        args.linger.parse().map_err(|error| Failure::config(format!("--linger: {error}")))?;
    if let Some(stream) = by_host(args)? {
        return block_on(&Config::default(), stream.run(args.no_raw, linger.0));
    }
    let (to, loaded) = args.target.load()?;
    block_on(&loaded.config, run(args, &to, &loaded, linger.0))
}

/// The way by a running host, if one is there and can be asked; `None`: this command connects by itself.
fn by_host(args: &ConnectArgs) -> Outcome<Option<HostStream>> {
    let is_wanted = args.admin.is_named() || args.observe;
    let usual = "a running host is asked for connections.NAME or devices.NAME.PATH, without options and without a \
                 configuration";
    let Some(to) = args.target.named()? else {
        return if is_wanted { Err(Failure::config(usual)) } else { Ok(None) };
    };
    let to: Reference = to.parse().map_err(Failure::config)?;
    let found = admin::ask(args.admin.find())?;
    match found {
        HostSearch::Host(link) => match HostStream::new(link, &to, args.observe) {
            None if is_wanted => Err(Failure::config(usual)),
            stream => Ok(stream),
        },
        HostSearch::Nowhere(places) if is_wanted => Err(none_at(&places)),
        HostSearch::Nowhere(_) => Ok(None),
    }
}

async fn run(args: &ConnectArgs, to: &Reference, loaded: &Loaded, linger: Duration) -> Outcome {
    let mut signals = Signals::of_command()?;
    // Secrets may be asked for, and Control-C ends that too.
    let client = tokio::select! {
        client = args.target.resolve(to, loaded, extras()) => client?,
        ended = signals.next() => return Ok(ExitCode::from(ended.code)),
    };
    let caller = Caller::new("this process", "");
    let session = tokio::select! {
        session = client.to.open(&caller) => session?,
        ended = signals.next() => return Ok(ExitCode::from(ended.code)),
    };
    tell(&session.info());
    let form = Form { binary: args.binary, max: loaded.config.host.limits.relay.max_message };
    let (news, mut heard) = watch::channel(None);
    let mut halves = session.take_stream().map(tokio::io::split);
    let end = tokio::select! {
        end = talk(args, &client, &session, halves.as_mut(), form, linger) => end,
        ended = signals.next() => Ok(ConnectEnd::Signal(ended)),
        () = listen(&session, &news) => return Err(Failure::run("events never end")),
    };
    let code = match end {
        Ok(ConnectEnd::Signal(ended)) => ExitCode::from(ended.code),
        Ok(ConnectEnd::Quit | ConnectEnd::Shown(Shown::NoReader)) => ExitCode::SUCCESS,
        Ok(ConnectEnd::Shown(Shown::All)) => exit_code(&client, &session, &news, &mut heard).await,
        // The output of a program that a signal has ended is cut off: the signal says why.
        Err(error) => exit_told(&session, &news, &heard).ok_or(error)?.shown(),
    };
    drop(halves);
    close(&session).await;
    drop(session);
    client.close().await;
    Ok(code)
}

/// What a driver that has a terminal is told of ours.
fn extras() -> AddedOptions {
    let mut extras = AddedOptions::new();
    if !terminal::is_terminal() {
        return extras;
    }
    if let Some((columns, rows)) = terminal::size() {
        extras.push(("columns", Value::from(columns)));
        extras.push(("rows", Value::from(rows)));
    }
    if let Ok(term) = std::env::var("TERM") {
        extras.push(("term", Value::from(term)));
    }
    extras
}

fn tell(info: &Info) {
    let peer = info.peer.as_deref().unwrap_or("-");
    let identity = info.identity.as_deref().unwrap_or("-");
    tracing::info!(peer, encrypted = info.encrypted, identity, "connected");
}

async fn talk(
    args: &ConnectArgs,
    client: &Client,
    session: &Session,
    halves: Option<&mut Halves>,
    form: Form,
    linger: Duration,
) -> Result<ConnectEnd> {
    // As routes choose: what of a session is a stream carries what passes.
    let Some(halves) = halves else {
        let datagrams = || session.take_datagrams().map(messages_of);
        if let Some(messages) = session.take_messages().or_else(datagrams) {
            return talk_messages(messages, form, linger).await;
        }
        let facets: Vec<&str> = session.facets().names().collect();
        let text = "this session has no bytes, messages or datagrams to connect to";
        return Err(Error::new(ErrorKind::Unsupported, text).with("facets", facets.join(" ")));
    };
    let raw = if args.no_raw { None } else { raw_mode(client, session).await? };
    let escape = raw.is_some().then(Escape::new);
    tokio::select! {
        end = talk_bytes(halves, escape, linger) => end,
        end = follow_size(session, raw.is_some()) => end,
    }
}

/// Raw mode if both ends are terminals: the far side is one if it takes a size.
async fn raw_mode(client: &Client, session: &Session) -> Result<Option<RawMode>> {
    if !terminal::is_terminal() || !has_operation(client.to.driver().as_ref(), "resize") {
        return Ok(None);
    }
    let Some(size) = terminal::size_params() else { return Ok(None) };
    if session.call("resize", &size).await.is_err() {
        return Ok(None);
    }
    Ok(Some(RawMode::enter()?))
}

async fn follow_size(session: &Session, raw: bool) -> Result<ConnectEnd> {
    let mut changed = signal(SignalKind::window_change())?;
    loop {
        changed.recv().await;
        if let Some(size) = terminal::size_params().filter(|_| raw)
            && let Err(error) = session.call("resize", &size).await
        {
            tracing::debug!(%error, "resize");
        }
    }
}

async fn talk_bytes(
    (read, write): &mut Halves,
    escape: Option<Escape>,
    linger: Duration,
) -> Result<ConnectEnd> {
    let (tell, untold) = watch::channel(false);
    let send = async {
        match bytes::send(write, escape).await {
            Ok(Sent::Quit) => ConnectEnd::Quit,
            Ok(sent) => {
                tell.send_replace(sent == Sent::Untold);
                std::future::pending().await
            }
            Err(error) => {
                // The peer may well have ended on purpose: what it sent says how it went.
                tracing::debug!(%error, "sending has ended");
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        shown = bytes::show(read, Sink::new(), untold, linger) => shown.map(ConnectEnd::Shown),
        end = send => Ok(end),
    }
}

async fn talk_messages(messages: Messages, form: Form, linger: Duration) -> Result<ConnectEnd> {
    let (mut outgoing, mut incoming) = messages.split();
    let (sent, all_sent) = watch::channel(false);
    let send = async {
        let result = lines::send(&mut outgoing, form).await;
        sent.send_replace(true);
        match result {
            Err(error) if error.kind() == ErrorKind::Limit => Err(error),
            Err(error) => {
                tracing::debug!(%error, "sending has ended");
                std::future::pending().await
            }
            Ok(_) => std::future::pending().await,
        }
    };
    let shown = tokio::select! {
        shown = lines::show(&mut incoming, Sink::new(), form, all_sent, linger) => shown,
        failed = send => failed,
    };
    lines::close(&mut outgoing, PATIENCE).await;
    shown.map(ConnectEnd::Shown)
}

/// Keeps the exit status that an event tells, and shows error output that comes beside the stream.
async fn listen(session: &Session, news: &watch::Sender<Option<Info>>) {
    while session.facets().contains(Facets::EVENTS) {
        match session.next_event().await {
            Ok(Some(event)) => take(event, news),
            Ok(None) | Err(_) => break,
        }
    }
    std::future::pending::<()>().await;
}

fn take(event: Event, news: &watch::Sender<Option<Info>>) {
    let Value::Object(facts) = event.data else { return };
    if let ("stderr", Some(Value::String(text))) = (event.name.as_str(), facts.get("text")) {
        use std::io::Write;
        // When standard error is closed, the line is dropped.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
    let mut info = Info::new();
    info.facts = facts;
    if status(&info).is_some() {
        news.send_replace(Some(info));
    }
}

/// The remote exit status: what has been told, or is told soon where something ran.
async fn exit_code(
    client: &Client,
    session: &Session,
    news: &watch::Sender<Option<Info>>,
    heard: &mut watch::Receiver<Option<Info>>,
) -> ExitCode {
    let mut told = exit_told(session, news, heard);
    // What takes signals has an exit status.
    if told.is_none() && has_operation(client.to.driver().as_ref(), "signal") {
        let mut heard = heard.clone();
        tokio::select! {
            () = listen(session, news) => {}
            _ = heard.wait_for(Option::is_some) => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
        told = exit_told(session, news, &heard);
    }
    told.map_or(ExitCode::SUCCESS, |status| status.shown())
}

/// The remote exit status, where it has been told, beside the bytes before their end or since.
fn exit_told(
    session: &Session,
    news: &watch::Sender<Option<Info>>,
    heard: &watch::Receiver<Option<Info>>,
) -> Option<Status> {
    while let Some(Ok(Some(event))) = session.next_event().now_or_never() {
        take(event, news);
    }
    status(&session.info()).or_else(|| heard.borrow().as_ref().and_then(status))
}

enum Status {
    Code(u64),
    Signal(String),
}

impl Status {
    /// As the exit code of this process; a signal is named.
    fn shown(&self) -> ExitCode {
        if let Status::Signal(name) = self {
            complain(&one_line(&format!("ended by signal {name}")));
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Status::Code(code) => status_code(*code),
            Status::Signal(_) => u8::MAX,
        }
    }
}

fn status(info: &Info) -> Option<Status> {
    let code = info.facts.get("exit_status").and_then(Value::as_u64).map(Status::Code);
    let signal = || info.facts.get("exit_signal").and_then(Value::as_str);
    code.or_else(|| signal().map(|name| Status::Signal(name.to_owned())))
}
