#![doc = include_str!("../README.md")]

mod driver;
mod io;
mod line;
mod listener;
mod options;
mod place;
mod session;
#[cfg(test)]
mod tests;

pub use driver::SerialDriver;
pub use options::{Flow, Parity, SerialOptions};

jackfield_plugin_api::export_plugin! { drivers: [SerialDriver], handlers: [] }
