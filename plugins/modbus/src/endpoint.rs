//! [`ModbusEndpoint`]: options, once checked.

use crate::frame::{Framing, Pause};
use crate::options::{ModbusOptions, UnitOptions};
use crate::values::Order;
use jackfield_plugin_api::{Error, Info, Result, Role};
use std::collections::HashMap;
use std::time::Duration;

/// Bits of a character on a line: one to begin, eight, parity and one to end.
const CHARACTER: u32 = 11;
/// Above 19200 bits a second the pause does not become shorter (Serial Line 1.02 §2.5.1.1).
const LEAST_GAP: Duration = Duration::from_micros(1750);
/// Where frames come over a network that parts them, a pause says that nothing more comes only after a while.
const NETWORK_GAP: Duration = Duration::from_millis(20);

/// What many connections share.
#[derive(Debug)]
pub struct ModbusEndpoint {
    pub(crate) framing: Framing,
    pub(crate) unit: u8,
    pub(crate) order: Order,
    pub(crate) late: Duration,
    pub(crate) in_flight: usize,
    gap: Option<Duration>,
    pub(crate) turnaround: Duration,
    usual: Timing,
    units: HashMap<u8, Timing>,
    pub(crate) any_unit: bool,
    pub(crate) ping_register: Option<u16>,
    pub(crate) max_queue: usize,
    pub(crate) max_pending: usize,
    pub(crate) frame_timeout: Duration,
    pub(crate) events: usize,
}

/// How one unit is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) timeout: Duration,
    pub(crate) retries: u8,
    pub(crate) pause: Duration,
}

impl ModbusEndpoint {
    pub(crate) fn new(options: &ModbusOptions, framing: Framing, role: Role) -> Result<Self> {
        if role == Role::Server && !options.units.is_empty() {
            return Err(Error::option("units", "is for connecting, and this is a listener"));
        }
        let usual = Timing {
            timeout: seconds("timeout", options.timeout)?,
            retries: options.retries,
            pause: seconds("pause", options.pause)?,
        };
        let one = |(unit, options): (&String, &UnitOptions)| {
            let wrong =
                || Error::option("units", format!("expected a unit from 0 to 255, not {unit:?}"));
            Ok((unit.parse().map_err(|_| wrong())?, usual.but(options)?))
        };
        let size = |name: &str, size: u32| {
            usize::try_from(size)
                .map_err(|_| Error::option(name, "is more than this machine can have"))
        };
        Ok(ModbusEndpoint {
            framing,
            unit: options.unit,
            order: options.order,
            late: seconds("late", options.late)?,
            in_flight: if framing.is_serial() { 1 } else { usize::from(options.in_flight) },
            gap: options.gap.map(|gap| seconds("gap", gap)).transpose()?,
            turnaround: seconds("turnaround", options.turnaround)?,
            units: options.units.iter().map(one).collect::<Result<_>>()?,
            usual,
            any_unit: options.any_unit,
            ping_register: options.ping_register,
            max_queue: size("max_queue", options.max_queue)?,
            max_pending: size("max_pending", options.max_pending)?,
            frame_timeout: seconds("frame_timeout", options.frame_timeout)?,
            events: size("events", options.events)?,
        })
    }

    /// How `unit` is asked.
    pub(crate) fn timing(&self, unit: u8) -> Timing {
        self.units.get(&unit).copied().unwrap_or(self.usual)
    }

    /// The line below, as its facts tell it.
    pub(crate) fn line(&self, below: &Info) -> Line {
        let baud = below.facts.get("baud").and_then(serde_json::Value::as_u64);
        let baud = baud.and_then(|baud| u32::try_from(baud).ok()).filter(|baud| *baud > 0);
        let character = baud.map(|baud| Duration::from_secs(1) * CHARACTER / baud);
        let known = character.map(|character| (character * 7 / 2).max(LEAST_GAP));
        let gap =
            if self.framing.is_serial() { known.unwrap_or(NETWORK_GAP) } else { Duration::ZERO };
        Line {
            character: character.unwrap_or_default(),
            // Over a network nothing is gained by a pause before a request: whoever has the line keeps it.
            rest: if character.is_some() {
                self.gap.unwrap_or(gap)
            } else {
                self.gap.unwrap_or_default()
            },
            gap: self.gap.unwrap_or(gap),
        }
    }
}

/// The times of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// What one character takes; zero where that is not known.
    pub(crate) character: Duration,
    /// The pause before a request.
    pub(crate) rest: Duration,
    /// The pause that ends a frame.
    pub(crate) gap: Duration,
}

impl Line {
    /// What is known between two looks at what has come.
    pub(crate) fn between(self) -> Pause {
        if self.character.is_zero() { Pause::Network } else { Pause::None }
    }
}

impl Timing {
    fn but(self, other: &UnitOptions) -> Result<Self> {
        let time =
            |name, given: Option<f64>, usual| given.map_or(Ok(usual), |it| seconds(name, it));
        Ok(Timing {
            timeout: time("timeout", other.timeout, self.timeout)?,
            retries: other.retries.unwrap_or(self.retries),
            pause: time("pause", other.pause, self.pause)?,
        })
    }
}

/// A time that options or parameters have in seconds.
pub(crate) fn seconds(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::option(name, "expected seconds, such as 5 or 0.5"))
}
