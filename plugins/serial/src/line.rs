//! [`Line`]: a serial line and what can be set on it.

use crate::listener::Use;
use crate::options::{Flow, Parity, SerialOptions};
use crate::place;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use rustix::termios::{ControlModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tokio_serial::{ClearBuffer, DataBits, FlowControl, SerialPort, StopBits};

/// How a line is set; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Bits per second.
    #[schemars(range(min = 1))]
    pub(crate) baud: Option<u32>,
    /// Bits of a character, 5 to 8.
    #[schemars(range(min = 5, max = 8))]
    pub(crate) data_bits: Option<u8>,
    /// The parity bit.
    pub(crate) parity: Option<Parity>,
    /// Stop bits, 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub(crate) stop_bits: Option<u8>,
    /// Flow control.
    pub(crate) flow: Option<Flow>,
}

/// The modem lines that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Modem {
    /// Clear to send.
    pub(crate) cts: bool,
    /// Data set ready.
    pub(crate) dsr: bool,
    /// Carrier.
    pub(crate) cd: bool,
    /// Ring.
    pub(crate) ri: bool,
}

/// An open line. Dropping it sends what was written, restores what was set before, and lets others in: at once
/// where nothing waits to be sent, else in the background within [`LAST_DRAIN`].
pub(crate) struct Line {
    /// There until it is dropped.
    open: Option<Open>,
    path: String,
    /// Of a listener's line: dropped with it.
    used: Option<Use>,
}

struct Open {
    port: Mutex<Box<dyn SerialPort>>,
    /// The same line by another descriptor, which carries the bytes.
    own: OwnedFd,
    before: Termios,
}

/// How long a line that was let go of may take to send what was written.
const LAST_DRAIN: Duration = Duration::from_secs(10);

/// How many bytes a chip may hold beside the system's queue.
const CHIP: u32 = 64;

fn data_bits(number: u8) -> DataBits {
    match number {
        5 => DataBits::Five,
        6 => DataBits::Six,
        7 => DataBits::Seven,
        _ => DataBits::Eight,
    }
}

fn stop_bits(number: u8) -> StopBits {
    if number == 2 { StopBits::Two } else { StopBits::One }
}

fn parity(parity: Parity) -> tokio_serial::Parity {
    match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Odd => tokio_serial::Parity::Odd,
        Parity::Even => tokio_serial::Parity::Even,
    }
}

fn flow(flow: Flow) -> FlowControl {
    match flow {
        Flow::None => FlowControl::None,
        Flow::Software => FlowControl::Software,
        Flow::Hardware => FlowControl::Hardware,
    }
}

impl Line {
    /// Keeps what says that it is in use, until it is dropped.
    pub(crate) fn keep(&mut self, used: Use) {
        self.used = Some(used);
    }

    /// Opens and sets a line. Blocks only as long as the device's driver does.
    ///
    /// # Errors
    /// As [`place::open`], and what the device does not take.
    pub(crate) fn open(path: &str, options: &SerialOptions) -> Result<Line> {
        let own = place::open(path)?;
        let mut before = tcgetattr(&own).map_err(io::Error::from)?;
        let mut builder = tokio_serial::new(path, options.baud)
            .data_bits(data_bits(options.data_bits))
            .parity(parity(options.parity))
            .stop_bits(stop_bits(options.stop_bits))
            .flow_control(flow(options.flow))
            .exclusive(options.exclusive);
        if let Some(dtr) = options.dtr {
            builder = builder.dtr_on_open(dtr);
        }
        let port = builder.open().map_err(|error| {
            let error = explain(&error, path);
            if error.kind() != ErrorKind::InUse {
                // It may have been set in part. A line that is gone has nothing to restore.
                let _ = tcsetattr(&own, OptionalActions::Now, &before);
            }
            error
        })?;
        if let Some(hupcl) = options.hupcl {
            // It is what closing does, so that it must outlive what is restored.
            before.control_modes.set(ControlModes::HUPCL, hupcl);
            let mut now = tcgetattr(&own).map_err(io::Error::from)?;
            now.control_modes.set(ControlModes::HUPCL, hupcl);
            tcsetattr(&own, OptionalActions::Now, &now).map_err(io::Error::from)?;
        }
        let open = Open { port: Mutex::new(port), own, before };
        let line = Line { open: Some(open), path: path.to_owned(), used: None };
        if let Some(rts) = options.rts {
            line.set_lines(None, Some(rts))?;
        }
        // What came before it was ours is of no use, and may be in another speed.
        line.purge(true, false)?;
        Ok(line)
    }

    fn open_line(&self) -> Result<&Open> {
        let closed = || Error::new(ErrorKind::Closed, "the line is closed");
        self.open.as_ref().ok_or_else(closed)
    }

    fn port(&self) -> Result<MutexGuard<'_, Box<dyn SerialPort>>> {
        Ok(self.open_line()?.port())
    }

    fn ok<T>(&self, result: tokio_serial::Result<T>) -> Result<T> {
        result.map_err(|error| explain(&error, &self.path))
    }

    /// A descriptor for the bytes.
    ///
    /// # Errors
    /// The host has no more descriptors.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        Ok(self.open_line()?.own.try_clone()?)
    }

    /// Changes settings.
    ///
    /// # Errors
    /// What the device does not take; what stands before it is set.
    pub(crate) fn set(&self, settings: &Settings) -> Result<()> {
        let mut port = self.port()?;
        if let Some(baud) = settings.baud {
            self.ok(port.set_baud_rate(baud))?;
        }
        if let Some(number) = settings.data_bits {
            self.ok(port.set_data_bits(data_bits(number)))?;
        }
        if let Some(wanted) = settings.parity {
            self.ok(port.set_parity(parity(wanted)))?;
        }
        if let Some(number) = settings.stop_bits {
            self.ok(port.set_stop_bits(stop_bits(number)))?;
        }
        if let Some(wanted) = settings.flow {
            self.ok(port.set_flow_control(flow(wanted)))?;
        }
        Ok(())
    }

    /// How it is set, as far as the device tells.
    pub(crate) fn settings(&self) -> Settings {
        let Ok(port) = self.port() else { return Settings::default() };
        Settings {
            baud: port.baud_rate().ok(),
            data_bits: port.data_bits().ok().map(u8::from),
            parity: port.parity().ok().map(|parity| match parity {
                tokio_serial::Parity::Odd => Parity::Odd,
                tokio_serial::Parity::Even => Parity::Even,
                _ => Parity::None,
            }),
            stop_bits: port.stop_bits().ok().map(u8::from),
            flow: port.flow_control().ok().map(|flow| match flow {
                FlowControl::Software => Flow::Software,
                FlowControl::Hardware => Flow::Hardware,
                _ => Flow::None,
            }),
        }
    }

    /// Sets the modem lines that go out.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there are none.
    pub(crate) fn set_lines(&self, dtr: Option<bool>, rts: Option<bool>) -> Result<()> {
        let mut port = self.port()?;
        if let Some(dtr) = dtr {
            self.ok(port.write_data_terminal_ready(dtr))?;
        }
        if let Some(rts) = rts {
            self.ok(port.write_request_to_send(rts))?;
        }
        Ok(())
    }

    /// The modem lines that come in.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there are none.
    pub(crate) fn modem(&self) -> Result<Modem> {
        let mut port = self.port()?;
        Ok(Modem {
            cts: self.ok(port.read_clear_to_send())?,
            dsr: self.ok(port.read_data_set_ready())?,
            cd: self.ok(port.read_carrier_detect())?,
            ri: self.ok(port.read_ring_indicator())?,
        })
    }

    /// Begins or ends a break.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) fn set_break(&self, on: bool) -> Result<()> {
        let port = self.port()?;
        self.ok(if on { port.set_break() } else { port.clear_break() })
    }
}

impl Line {
    /// Throws away what has come and was not read, or what was written and is not sent, or both.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) fn purge(&self, input: bool, output: bool) -> Result<()> {
        let buffers = match (input, output) {
            (true, true) => ClearBuffer::All,
            (true, false) => ClearBuffer::Input,
            (false, true) => ClearBuffer::Output,
            (false, false) => return Ok(()),
        };
        self.ok(self.port()?.clear(buffers))
    }

    /// How many bytes the system has not sent, and how long they and those in the chip take at the present rate. A
    /// device that does not tell has none.
    pub(crate) fn unsent(&self) -> (u32, Duration) {
        self.open.as_ref().map_or((0, Duration::ZERO), Open::unsent)
    }

    /// How long the bytes take that a chip may hold.
    pub(crate) fn chip_time(&self) -> Duration {
        self.open.as_ref().map_or(Duration::ZERO, |open| open.time_of(CHIP))
    }
}

impl Open {
    fn port(&self) -> MutexGuard<'_, Box<dyn SerialPort>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsent(&self) -> (u32, Duration) {
        let count = self.port().bytes_to_write().unwrap_or(0);
        (count, self.time_of(count.saturating_add(CHIP)))
    }

    fn time_of(&self, bytes: u32) -> Duration {
        // A start bit, at most eight of data, parity, two stop bits.
        let bits = u64::from(bytes).saturating_mul(12).saturating_mul(1000);
        let baud = self.port().baud_rate().unwrap_or(0).max(1);
        Duration::from_millis(bits / u64::from(baud))
    }

    /// Waits until all was sent, for [`LAST_DRAIN`] at most.
    #[allow(clippy::disallowed_methods, reason = "it has a thread of its own")]
    fn drain(&self) {
        let begun = Instant::now();
        loop {
            let (count, time) = self.unsent();
            let left = LAST_DRAIN.saturating_sub(begun.elapsed());
            if count == 0 || left.is_zero() {
                return;
            }
            sleep(time.min(left).clamp(Duration::from_millis(1), Duration::from_millis(100)));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.unsent().0 == 0 {
            return;
        }
        let draining = thread::Builder::new().name("serial drain".to_owned());
        // Without a thread it is restored at once, as it is dropped with the closure.
        let _ = draining.spawn(move || open.drain());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let empty = self.unsent().0 == 0;
        // The chip may still have some; a line that takes nothing is not waited for.
        let when = if empty { OptionalActions::Drain } else { OptionalActions::Now };
        // A line that is gone has nothing to restore, and no break to end.
        let _ = self.port().clear_break();
        let _ = tcsetattr(&self.own, when, &self.before);
    }
}

fn explain(error: &tokio_serial::Error, path: &str) -> Error {
    use tokio_serial::ErrorKind as Serial;
    let text = error.to_string();
    let kind = match error.kind() {
        // Where the device has no modem lines, the system calls it no typewriter.
        _ if text.contains("ENOTTY") || text.contains("typewriter") || text.contains("ioctl") => {
            ErrorKind::Unsupported
        }
        Serial::NoDevice => return place::busy(path).with("reason", text),
        Serial::InvalidInput => ErrorKind::Config,
        Serial::Io(kind) => Error::from(io::Error::from(kind)).kind(),
        Serial::Unknown => ErrorKind::Io,
    };
    Error::new(kind, text).with("device", path)
}
