//! [`Engine`]: one end of a Telnet connection as a pure machine: bytes in, data and bytes out, and what
//! happened. It does no input or output and knows no clock but the time that it is given.

mod com;
mod held;

use crate::com_port::{self, Said, Setting, Topic};
use crate::information::{self, Environment, IS, SEND};
use crate::line::{Modem, Settings};
use crate::negotiation::{
    self, BINARY, CHARSET, COM_PORT, ECHO, END_OF_RECORD, End, NEW_ENVIRON, Negotiation,
    SUPPRESS_GO_AHEAD, TERMINAL_TYPE, TIMING_MARK, WINDOW_SIZE,
};
use crate::options::TelnetOptions;
use crate::wire::{self, AYT, BRK, DO, Decoder, Encoder, IAC, Piece, WILL, WONT};
use bytes::BytesMut;
use held::Held;
use jackfield_plugin_api::{Error, ErrorKind, Event, Result, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long commands are counted before the count begins again.
const SPAN: Duration = Duration::from_secs(10);

/// Questions of a client about its line that wait for an answer, at most.
const MAX_ASKS: usize = 64;

/// What the peer has told of itself.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) terminal: Option<String>,
    pub(crate) window: Option<(u16, u16)>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) charset: Option<String>,
}

/// The line behind a server, as a client knows it; or which questions about it a server has open.
#[derive(Debug, Default)]
pub(crate) struct Com {
    pub(crate) settings: Settings,
    pub(crate) modem: Option<Modem>,
    pub(crate) signature: Option<String>,
    /// How often each thing was answered.
    pub(crate) answers: BTreeMap<Topic, u64>,
    /// The peer has asked us to send nothing.
    pub(crate) suspended: bool,
    mask: Option<u8>,
    /// States of the line that a client wants to hear of.
    line_mask: u8,
    asks: BTreeMap<u64, Setting>,
    next: u64,
}

/// One end of a Telnet connection.
#[derive(Debug)]
pub(crate) struct Engine {
    options: Arc<TelnetOptions>,
    role: Role,
    pub(crate) negotiation: Negotiation,
    decoder: Decoder,
    encoder: Encoder,
    window: (u16, u16),
    environment: BTreeMap<String, String>,
    pub(crate) peer: Peer,
    pub(crate) com: Com,
    /// Timing marks of ours that came back.
    pub(crate) marks: u64,
    /// What happened and was not fetched.
    pub(crate) events: Vec<Event>,
    /// Where data stops until an operation was done.
    pub(crate) held: Held,
    counted: u32,
    since: Duration,
}

impl Engine {
    /// An end in that role. `user` is a client's, for servers that ask.
    pub(crate) fn new(options: &Arc<TelnetOptions>, role: Role, user: Option<&str>) -> Self {
        let mut local = vec![BINARY, SUPPRESS_GO_AHEAD, END_OF_RECORD];
        let mut remote = local.clone();
        if !options.charsets.is_empty() {
            local.push(CHARSET);
            remote.push(CHARSET);
        }
        let com_port = options.wants_com_port().then_some(COM_PORT);
        match role {
            Role::Client => {
                local.extend([TERMINAL_TYPE, WINDOW_SIZE, NEW_ENVIRON]);
                local.extend(com_port);
                remote.push(ECHO);
            }
            Role::Server => {
                remote.extend([TERMINAL_TYPE, WINDOW_SIZE, NEW_ENVIRON]);
                remote.extend(com_port);
                local.extend(options.echo.then_some(ECHO));
            }
        }
        let mut environment = options.env.clone();
        if let Some(user) = user {
            environment.entry("USER".to_owned()).or_insert_with(|| user.to_owned());
        }
        Engine {
            role,
            negotiation: Negotiation::new(&local, &remote),
            decoder: Decoder::new(options.max_subnegotiation as usize),
            encoder: Encoder::new(options.line_ends),
            window: (options.columns, options.rows),
            environment,
            peer: Peer::default(),
            com: Com::default(),
            marks: 0,
            events: Vec::new(),
            held: Held::default(),
            counted: 0,
            since: Duration::ZERO,
            options: Arc::clone(options),
        }
    }

    pub(crate) fn is_server(&self) -> bool {
        self.role == Role::Server
    }

    /// Says what is to be said before anything is heard. A client waits to be asked, unless its options
    /// want something: many a console is no Telnet server.
    pub(crate) fn start(&mut self, out: &mut BytesMut) {
        let options = Arc::clone(&self.options);
        let mut wants = Vec::new();
        // What a line carries is eight bits as they are.
        if options.binary || options.wants_com_port() {
            wants.extend([(End::Local, BINARY), (End::Remote, BINARY)]);
        }
        if self.role == Role::Client {
            if options.wants_com_port() {
                wants.push((End::Local, COM_PORT));
            }
        } else {
            if options.echo {
                wants.push((End::Local, ECHO));
            }
            wants.extend([(End::Local, SUPPRESS_GO_AHEAD), (End::Remote, SUPPRESS_GO_AHEAD)]);
            if options.terminal {
                let asked = [TERMINAL_TYPE, WINDOW_SIZE, NEW_ENVIRON];
                wants.extend(asked.map(|option| (End::Remote, option)));
                wants.extend((!options.charsets.is_empty()).then_some((End::Local, CHARSET)));
            }
        }
        for (end, option) in wants {
            self.want(end, option, true, out);
        }
    }

    /// Asks for an option to be on or off.
    pub(crate) fn want(&mut self, end: End, option: u8, on: bool, out: &mut BytesMut) {
        if let Some(verb) = self.negotiation.want(end, option, on) {
            self.command(&[verb, option], out);
        }
    }

    /// Writes a command.
    pub(crate) fn command(&mut self, command: &[u8], out: &mut BytesMut) {
        self.encoder.settle(out);
        out.extend_from_slice(&[IAC]);
        out.extend_from_slice(command);
    }

    fn subnegotiation(&mut self, option: u8, inside: &[u8], out: &mut BytesMut) {
        self.encoder.settle(out);
        wire::subnegotiation(option, inside, out);
    }

    /// Writes data.
    pub(crate) fn data(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.encoder.data(bytes, out);
    }

    /// No more data is there for now.
    pub(crate) fn settle(&mut self, out: &mut BytesMut) {
        self.encoder.settle(out);
    }

    /// Asks for a sign of having been heard, which counts in `marks`.
    pub(crate) fn mark(&mut self, out: &mut BytesMut) {
        self.command(&[DO, TIMING_MARK], out);
    }

    /// Sets the size of the terminal, and tells it where it is wanted.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16, out: &mut BytesMut) {
        self.window = (columns, rows);
        self.tell_window(out);
    }

    fn tell_window(&mut self, out: &mut BytesMut) {
        if self.role == Role::Client && self.negotiation.is_on(End::Local, WINDOW_SIZE) {
            let (columns, rows) = self.window;
            self.subnegotiation(WINDOW_SIZE, &information::window(columns, rows), out);
        }
    }

    /// Takes what was received at `now`: data goes to `data`, answers to `out`. Tells whether there was
    /// more than data.
    ///
    /// # Errors
    /// The peer floods us with commands, or says too much of one option.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        now: Duration,
        data: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool> {
        let mut some = false;
        let mut known = data.len();
        while let Some(piece) = self.decoder.next(&mut input, data) {
            some = true;
            self.held.came(data.len() - known);
            known = data.len();
            self.count(now)?;
            match piece {
                Piece::Command(code) => self.commanded(code, out),
                Piece::Negotiation(verb, option) => self.negotiated(verb, option, out),
                Piece::Subnegotiation(option, inside) => {
                    self.told(option, &inside, out);
                    if self.held.discards() {
                        data.clear();
                        known = 0;
                    }
                }
                Piece::TooLong(option) => {
                    let limit = self.options.max_subnegotiation;
                    let text = format!("the peer sent more than {limit} bytes for one option");
                    let error = Error::new(ErrorKind::Limit, text).with("telnet_option", option);
                    return Err(error.with("option", "max_subnegotiation"));
                }
            }
        }
        self.held.came(data.len() - known);
        Ok(some)
    }

    /// Whoever loops, on purpose or not, is stopped here.
    fn count(&mut self, now: Duration) -> Result<()> {
        if now.saturating_sub(self.since) >= SPAN {
            (self.since, self.counted) = (now, 0);
        }
        self.counted += 1;
        if self.counted <= self.options.max_commands {
            return Ok(());
        }
        let limit = self.options.max_commands;
        let text = format!("the peer sends more than {limit} commands in {SPAN:?}");
        Err(Error::new(ErrorKind::Limit, text).with("option", "max_commands"))
    }

    fn tell(&mut self, name: &str, data: Value) {
        self.events.push(Event::new(name, data));
    }

    fn commanded(&mut self, code: u8, out: &mut BytesMut) {
        if code == AYT && self.role == Role::Server {
            self.data(b"\r\n[Yes]\r\n", out);
        }
        if code == BRK && self.role == Role::Server {
            self.ask_in_place("break", &json!({ "milliseconds": com_port::BREAK_MS }));
        }
        if let Some(name) = wire::command_name(code).filter(|name| *name != "nop") {
            self.tell("command", json!({ "name": name }));
        }
    }

    fn negotiated(&mut self, verb: u8, option: u8, out: &mut BytesMut) {
        if option == TIMING_MARK {
            match verb {
                // All that came before has been taken; that is what is asked.
                DO => self.command(&[WILL, TIMING_MARK], out),
                WILL | WONT => self.marks += 1,
                _ => {}
            }
            return;
        }
        let (end, step) = self.negotiation.heard(verb, option);
        if let Some(verb) = step.send {
            self.command(&[verb, option], out);
        }
        if let Some(on) = step.now {
            self.turned(end, option, on, out);
            let data = json!({ "option": negotiation::name(option), "end": end.name(), "on": on });
            self.tell("option", data);
        }
    }

    /// An option is on or off from now on.
    fn turned(&mut self, end: End, option: u8, on: bool, out: &mut BytesMut) {
        match (end, option, on) {
            (End::Local, BINARY, _) => {
                self.encoder.settle(out);
                self.encoder.binary = on;
            }
            (End::Remote, BINARY, _) => self.decoder.binary = on,
            (End::Local, WINDOW_SIZE, true) => self.tell_window(out),
            // Both together are "a character at a time" (RFC 858); some servers wait to be asked.
            (End::Remote, ECHO, true) => self.want(End::Remote, SUPPRESS_GO_AHEAD, true, out),
            (End::Remote, TERMINAL_TYPE | NEW_ENVIRON, true) => {
                self.subnegotiation(option, &[SEND], out);
            }
            (End::Local, CHARSET, true) if self.role == Role::Server => {
                let offer = information::offer(&self.options.charsets);
                self.subnegotiation(CHARSET, &offer, out);
            }
            (End::Local, COM_PORT, true) if self.role == Role::Client => {
                // Without that a server tells none (RFC 2217 §3).
                self.say(&Said::LineMask(com_port::ERRORS), out);
            }
            (_, COM_PORT, false) => self.com.suspended = false,
            _ => {}
        }
    }

    /// What the peer says about an option; what was not agreed on is not heard.
    fn told(&mut self, option: u8, inside: &[u8], out: &mut BytesMut) {
        let local = self.negotiation.is_on(End::Local, option);
        let remote = self.negotiation.is_on(End::Remote, option);
        match option {
            TERMINAL_TYPE if local && inside == [SEND] => {
                let answer = [&[IS], self.options.term.as_bytes()].concat();
                self.subnegotiation(TERMINAL_TYPE, &answer, out);
            }
            TERMINAL_TYPE if remote && inside.first() == Some(&IS) => {
                let name = String::from_utf8_lossy(&inside[1..]).to_lowercase();
                self.tell("terminal", json!({ "type": name }));
                self.peer.terminal = Some(name);
            }
            WINDOW_SIZE if remote => {
                if let Some((columns, rows)) = information::parse_window(inside) {
                    self.peer.window = Some((columns, rows));
                    let size = json!({ "columns": columns, "rows": rows });
                    // Zero: the client does not know it.
                    if columns > 0 && rows > 0 {
                        self.ask("resize", &size);
                    }
                    self.tell("resize", size);
                }
            }
            NEW_ENVIRON if local || remote => self.told_environment(inside, local, out),
            CHARSET if local || remote => {
                if let Some(said) = information::charset(inside, &self.options.charsets) {
                    if let Some(reply) = said.reply {
                        self.subnegotiation(CHARSET, &reply, out);
                    }
                    if let Some(name) = said.agreed {
                        self.tell("charset", json!({ "name": name }));
                        self.peer.charset = Some(name);
                    }
                }
            }
            COM_PORT if local || remote => {
                if let Some(said) = com_port::parse(inside, local) {
                    self.said(said, local, out);
                }
            }
            _ => {}
        }
    }

    fn told_environment(&mut self, inside: &[u8], local: bool, out: &mut BytesMut) {
        match information::parse_environment(inside) {
            Some(Environment::Wanted(names)) if local => {
                let answer = information::environment(&self.environment, &names);
                self.subnegotiation(NEW_ENVIRON, &answer, out);
            }
            Some(Environment::Told(variables)) if !local => {
                let kept = &mut self.peer.environment;
                for (name, value) in variables {
                    match value {
                        Some(value) if kept.len() < information::MAX_VARIABLES => {
                            kept.insert(name, value);
                        }
                        Some(_) => {}
                        None => drop(kept.remove(&name)),
                    }
                }
                let data = json!({ "variables": kept });
                self.tell("environment", data);
            }
            _ => {}
        }
    }
}
