#![doc = include_str!("../README.md")]

#[cfg(test)]
mod boundary_tests;
mod com_port;
mod driver;
mod engine;
mod information;
mod line;
mod negotiation;
mod options;
#[cfg(test)]
mod order_tests;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod wakers;
mod wire;

pub use driver::TelnetDriver;
pub use options::{Flow, Parity, TelnetOptions};

jackfield_plugin_api::export_plugin! { drivers: [TelnetDriver], handlers: [] }
