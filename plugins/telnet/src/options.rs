//! [`TelnetOptions`].

use crate::line::Settings;
use jackfield_plugin_api::{Error, Result, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of `telnet`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelnetOptions {
    /// Type of the terminal that a server is told of when it asks.
    pub term: String,
    /// Width of that terminal in characters; at least 1.
    #[schemars(range(min = 1))]
    pub columns: u16,
    /// Height of that terminal in characters; at least 1.
    #[schemars(range(min = 1))]
    pub rows: u16,
    /// Environment variables for a server that asks; a user in the URI is `USER`.
    pub env: BTreeMap<String, String>,
    /// Character sets to agree to, the best first. What is agreed stands in `info`; bytes stay as they are.
    pub charsets: Vec<String>,
    /// Ask for eight bits as they are in both directions; when asked, it is agreed to in any case.
    pub binary: bool,
    /// Send a line feed by itself as CR LF, the end of a line, where eight bits were not agreed on.
    pub line_ends: bool,
    /// Of a listener: tell clients that the far end echoes what they send.
    pub echo: bool,
    /// Of a listener: ask clients for their terminal's type and size, and for their environment.
    pub terminal: bool,
    /// Control of a serial line (RFC 2217): asked for when connecting, served when listening.
    pub com_port: bool,
    /// Bits per second that a server's line is set to; implies `com_port`, as do those below.
    #[schemars(range(min = 1))]
    pub baud: Option<u32>,
    /// Bits of a character, 5 to 8.
    #[schemars(range(min = 5, max = 8))]
    pub data_bits: Option<u8>,
    /// The parity bit.
    pub parity: Option<Parity>,
    /// Stop bits, 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub stop_bits: Option<u8>,
    /// How the two ends of the line stop each other.
    pub flow: Option<Flow>,
    /// Make round trips by timing marks (RFC 860), also to keep a connection alive. Not every server answers.
    pub ping: bool,
    /// The most bytes that a peer may say about one option at once; at least 64.
    #[schemars(range(min = 64))]
    pub max_subnegotiation: u32,
    /// The most commands that a peer may send in ten seconds; at least 64.
    #[schemars(range(min = 64))]
    pub max_commands: u32,
    /// Events kept until they are fetched; the oldest are dropped; at least 1.
    #[schemars(range(min = 1))]
    pub events: u32,
}

/// The parity bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// There is none.
    None,
    /// An odd number of ones.
    Odd,
    /// An even number of ones.
    Even,
    /// Always one.
    Mark,
    /// Always zero.
    Space,
}

/// Flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// There is none.
    None,
    /// XON and XOFF among the bytes.
    Software,
    /// RTS and CTS.
    Hardware,
}

impl Default for TelnetOptions {
    fn default() -> Self {
        TelnetOptions {
            term: "xterm-256color".to_owned(),
            columns: 80,
            rows: 24,
            env: BTreeMap::new(),
            charsets: vec!["UTF-8".to_owned()],
            binary: false,
            line_ends: false,
            echo: true,
            terminal: true,
            com_port: false,
            baud: None,
            data_bits: None,
            parity: None,
            stop_bits: None,
            flow: None,
            ping: false,
            max_subnegotiation: 4096,
            max_commands: 1000,
            events: 256,
        }
    }
}

impl TelnetOptions {
    /// How a server's line is to be set; `None` where nothing is said of that.
    pub(crate) fn line(&self) -> Option<Settings> {
        let settings = Settings {
            baud: self.baud,
            data_bits: self.data_bits,
            parity: self.parity,
            stop_bits: self.stop_bits,
            flow: self.flow,
        };
        (settings != Settings::default()).then_some(settings)
    }

    /// Whether a line's control is asked for, or served.
    pub(crate) fn wants_com_port(&self) -> bool {
        self.com_port || self.line().is_some()
    }

    /// Whether they make sense for that role.
    ///
    /// # Errors
    /// The option that does not.
    pub(crate) fn check(&self, role: Role) -> Result<()> {
        if role == Role::Server && self.line().is_some() {
            let text = "is how a client sets a server's line; a listener takes `com_port` only";
            return Err(Error::option("baud", text));
        }
        let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.term.is_empty() || !graphic(&self.term) || self.term.len() > 40 {
            return Err(Error::option("term", "expected 1 to 40 graphic ASCII characters"));
        }
        let charset = |name: &String| !name.is_empty() && graphic(name) && !name.contains(';');
        if !self.charsets.iter().all(charset) {
            return Err(Error::option("charsets", "expected names such as \"UTF-8\""));
        }
        let env: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if env > 16_384 {
            return Err(Error::option("env", "has more than 16384 bytes"));
        }
        Ok(())
    }
}
