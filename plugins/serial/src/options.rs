//! [`SerialOptions`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `serial`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SerialOptions {
    /// Bits per second; at least 1.
    #[schemars(range(min = 1))]
    pub baud: u32,
    /// Bits of a character, 5 to 8.
    #[schemars(range(min = 5, max = 8))]
    pub data_bits: u8,
    /// The bit that makes a character's ones even or odd in number.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub stop_bits: u8,
    /// How the two ends stop each other.
    pub flow: Flow,
    /// State of DTR after opening; without it what the system does, mostly on.
    pub dtr: Option<bool>,
    /// State of RTS after opening; without it what the system does, mostly on.
    pub rts: Option<bool>,
    /// Whether closing the line lowers DTR and RTS. Without: a board that resets when DTR falls or rises, as of
    /// Arduino and ESP, goes on when the line is opened again. It stays set afterwards; not given: as it is.
    pub hupcl: Option<bool>,
    /// Keep other processes from opening the line (`TIOCEXCL` and `flock`).
    pub exclusive: bool,
    /// Milliseconds between two looks at the modem lines while events are awaited; 0: never.
    pub modem_poll: u32,
}

/// The parity bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// There is none.
    #[default]
    None,
    /// An odd number of ones.
    Odd,
    /// An even number of ones.
    Even,
}

/// Flow control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// There is none.
    #[default]
    None,
    /// XON and XOFF among the bytes.
    Software,
    /// RTS and CTS.
    Hardware,
}

impl Default for SerialOptions {
    fn default() -> Self {
        SerialOptions {
            baud: 115_200,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: 1,
            flow: Flow::None,
            dtr: None,
            rts: None,
            hupcl: None,
            exclusive: true,
            modem_poll: 100,
        }
    }
}
