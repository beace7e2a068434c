//! The ten bytes in front of every message (SEMI E37 §8), and the length in front of them.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// Bytes of a header.
pub const HEADER: usize = 10;
/// Bytes of the length in front of it.
pub const LENGTH: usize = 4;
/// The session id of control messages that concern the connection as a whole (E37 §8.2.1).
pub const ALL_SESSIONS: u16 = 0xffff;

const WAIT_BIT: u8 = 0x80;

/// What a message is (E37 §8.2.6.4): the session type of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A message of SECS-II.
    Data = 0,
    /// Asks to select a session.
    SelectReq = 1,
    /// Its answer, with a status in the third byte.
    SelectRsp = 2,
    /// Asks to deselect.
    DeselectReq = 3,
    /// Its answer, likewise.
    DeselectRsp = 4,
    /// Asks whether the connection works.
    LinktestReq = 5,
    /// Its answer.
    LinktestRsp = 6,
    /// Says that a message was not understood.
    RejectReq = 7,
    /// Ends the session at once.
    SeparateReq = 9,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Data,
        Kind::SelectReq,
        Kind::SelectRsp,
        Kind::DeselectReq,
        Kind::DeselectRsp,
        Kind::LinktestReq,
        Kind::LinktestRsp,
        Kind::RejectReq,
        Kind::SeparateReq,
    ];

    /// That of a number; `None` if E37 has no such.
    pub fn of(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// As E37 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::SelectReq => "Select.req",
            Kind::SelectRsp => "Select.rsp",
            Kind::DeselectReq => "Deselect.req",
            Kind::DeselectRsp => "Deselect.rsp",
            Kind::LinktestReq => "Linktest.req",
            Kind::LinktestRsp => "Linktest.rsp",
            Kind::RejectReq => "Reject.req",
            Kind::SeparateReq => "Separate.req",
        }
    }
}

/// A header. Each combination of bytes is one; what is wrong with it is for its reader to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The session, which is the device of SECS-II; [`ALL_SESSIONS`] in most control messages.
    pub session: u16,
    /// Of data: the stream, with the W bit on top. Of a Reject: the type that was not understood.
    pub byte2: u8,
    /// Of data: the function. Of an answer: its status. Of a Reject: the reason.
    pub byte3: u8,
    /// The presentation: 0 is SECS-II.
    pub presentation: u8,
    /// The session type: see [`Kind`].
    pub kind: u8,
    /// The transaction.
    pub system: u32,
}

impl Header {
    /// Of a control message.
    pub fn control(kind: Kind, session: u16, status: u8, system: u32) -> Self {
        let kind = kind as u8;
        Header { session, byte2: 0, byte3: status, presentation: 0, kind, system }
    }

    /// Of a message of SECS-II. A stream is below 128; what is above is left out.
    pub fn data(session: u16, stream: u8, function: u8, wait: bool, system: u32) -> Self {
        let byte2 = stream & !WAIT_BIT | if wait { WAIT_BIT } else { 0 };
        Header { session, byte2, byte3: function, presentation: 0, kind: 0, system }
    }

    /// Of a Reject for a message that had this header (E37 §8.3.20).
    pub fn reject(self, reason: u8) -> Self {
        let byte2 = if reason == reason::PRESENTATION { self.presentation } else { self.kind };
        let kind = Kind::RejectReq as u8;
        Header { byte2, byte3: reason, presentation: 0, kind, ..self }
    }

    /// Of an answer of SECS-II with that function, to the same transaction.
    pub fn answer(self, function: u8) -> Self {
        Header::data(self.session, self.stream(), function, false, self.system)
    }

    /// The stream of data.
    pub fn stream(self) -> u8 {
        self.byte2 & !WAIT_BIT
    }
    /// The function of data.
    pub fn function(self) -> u8 {
        self.byte3
    }
    /// Whether data asks for an answer.
    pub fn waits(self) -> bool {
        self.byte2 & WAIT_BIT != 0
    }
    /// Whether data begins a transaction: its function is odd (E5 §6.3).
    pub fn is_primary(self) -> bool {
        self.byte3 % 2 == 1
    }
    /// Stream and function in one number, which is the `id` of a message.
    pub fn id(self) -> u64 {
        u64::from(self.stream()) << 8 | u64::from(self.function())
    }

    /// As people write it: `S1F1 W`.
    pub fn title(self) -> String {
        match Kind::of(self.kind) {
            Some(Kind::Data) => {
                let wait = if self.waits() { " W" } else { "" };
                format!("S{}F{}{wait}", self.stream(), self.function())
            }
            Some(kind) => kind.name().to_owned(),
            None => format!("a message of type {}", self.kind),
        }
    }

    /// As a part of an event or a result.
    pub fn facts(self) -> Value {
        json!({
            "stream": self.stream(), "function": self.function(), "wait": self.waits(),
            "session_id": self.session, "system": self.system,
        })
    }

    /// Its ten bytes.
    pub fn bytes(self) -> [u8; HEADER] {
        let ([a, b], [c, d, e, f]) = (self.session.to_be_bytes(), self.system.to_be_bytes());
        [a, b, self.byte2, self.byte3, self.presentation, self.kind, c, d, e, f]
    }

    /// Of ten bytes.
    pub fn of(bytes: [u8; HEADER]) -> Self {
        let [a, b, byte2, byte3, presentation, kind, c, d, e, f] = bytes;
        let (session, system) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
        Header { session, byte2, byte3, presentation, kind, system }
    }

    /// The whole message, with its length. `None` if the length does not fit into its four bytes.
    pub fn frame(self, body: &[u8]) -> Option<Bytes> {
        let length = u32::try_from(HEADER + body.len()).ok()?;
        let mut frame = BytesMut::with_capacity(LENGTH + HEADER + body.len());
        frame.put_u32(length);
        frame.put_slice(&self.bytes());
        frame.put_slice(body);
        Some(frame.freeze())
    }
}

/// Why a message is rejected (E37 §8.3.20.4).
pub mod reason {
    /// Its session type is unknown.
    pub const KIND: u8 = 1;
    /// Its presentation is unknown.
    pub const PRESENTATION: u8 = 2;
    /// It answers nothing that was asked.
    pub const NOT_OPEN: u8 = 3;
    /// It is data of a session that is not selected.
    pub const NOT_SELECTED: u8 = 4;

    /// In words.
    pub fn words(reason: u8) -> &'static str {
        match reason {
            KIND => "its session type is not supported",
            PRESENTATION => "its presentation type is not supported",
            NOT_OPEN => "no transaction is open for it",
            NOT_SELECTED => "the session is not selected",
            _ => "for a reason of the peer's own",
        }
    }
}

/// What an answer to a Select says (E37 §8.3.4.3; from 4 on E37.2).
pub mod select {
    /// It is selected.
    pub const OK: u8 = 0;
    /// It was selected already.
    pub const ACTIVE: u8 = 1;
    /// The peer is not ready.
    pub const NOT_READY: u8 = 2;
    /// The peer serves somebody else.
    pub const EXHAUSTED: u8 = 3;
    /// There is no such session.
    pub const UNKNOWN: u8 = 4;
    /// The session is in use over another connection.
    pub const IN_USE: u8 = 5;

    /// In words.
    pub fn words(status: u8) -> &'static str {
        match status {
            OK => "selected",
            ACTIVE => "communication is already active",
            NOT_READY => "the peer is not ready",
            EXHAUSTED => "the peer has no connection left",
            UNKNOWN => "there is no such session",
            IN_USE => "the session is in use by another connection",
            6 => "the session is already selected",
            _ => "a reason of the peer's own",
        }
    }
}

/// What an answer to a Deselect says (E37 §8.3.8.3).
pub mod deselect {
    /// It is deselected.
    pub const OK: u8 = 0;
    /// It was not selected.
    pub const NOT_SELECTED: u8 = 1;
    /// Transactions are open.
    pub const BUSY: u8 = 2;

    /// In words.
    pub fn words(status: u8) -> &'static str {
        match status {
            OK => "deselected",
            NOT_SELECTED => "the session is not selected",
            BUSY => "the peer is busy",
            _ => "a reason of the peer's own",
        }
    }
}

/// A length as it stands in front of a message, if it may be: of a header at least, and of `most` bytes of
/// content at most.
///
/// # Errors
/// What is wrong with it, in words.
pub fn length(bytes: [u8; LENGTH], most: usize) -> Result<usize, String> {
    let length = u32::from_be_bytes(bytes);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes < HEADER {
        return Err(format!("a message says it has {length} bytes, and its header alone has 10"));
    }
    if bytes - HEADER > most {
        let text = "a message says its content has";
        return Err(format!("{text} {} bytes; `max_message` is {most}", bytes - HEADER));
    }
    Ok(bytes)
}
