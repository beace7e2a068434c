//! [`Line`]: a serial line and what can be set on it.

use crate::options::{Flow, Parity, SerialOptions};
use crate::place;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// An open line. Dropping it restores what was set before, and lets others in.
pub(crate) struct Line {
    port: Mutex<Box<dyn SerialPort>>,
    /// The same line by another descriptor, which carries the bytes.
    own: OwnedFd,
    before: Termios,
    path: String,
}

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
    /// Opens and sets a line. Blocks only as long as the device's driver does.
    ///
    /// # Errors
    /// As [`place::open`], and what the device does not take.
    pub(crate) fn open(path: &str, options: &SerialOptions) -> Result<Line> {
        let own = place::open(path)?;
        let before = tcgetattr(&own).map_err(io::Error::from)?;
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
        let line = Line { port: Mutex::new(port), own, before, path: path.to_owned() };
        if let Some(rts) = options.rts {
            line.set_lines(None, Some(rts))?;
        }
        // What came before it was ours is of no use, and may be in another speed.
        line.port().clear(ClearBuffer::Input).map_err(|error| explain(&error, path))?;
        Ok(line)
    }

    fn port(&self) -> MutexGuard<'_, Box<dyn SerialPort>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ok<T>(&self, result: tokio_serial::Result<T>) -> Result<T> {
        result.map_err(|error| explain(&error, &self.path))
    }

    /// A descriptor for the bytes.
    ///
    /// # Errors
    /// The host has no more descriptors.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        Ok(self.own.try_clone()?)
    }

    /// Changes settings.
    ///
    /// # Errors
    /// What the device does not take; what stands before it is set.
    pub(crate) fn set(&self, settings: &Settings) -> Result<()> {
        let mut port = self.port();
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
        let port = self.port();
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
        let mut port = self.port();
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
        let mut port = self.port();
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
        let port = self.port();
        self.ok(if on { port.set_break() } else { port.clear_break() })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A line that is gone has nothing to restore.
        let _ = tcsetattr(&self.own, OptionalActions::Now, &self.before);
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
