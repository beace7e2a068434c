#![doc = include_str!("../README.md")]

mod datagram;
mod driver;
mod options;
mod place;
#[cfg(test)]
mod tests;

pub use driver::{UnixDriver, UnixgramDriver};
pub use options::{UnixOptions, UnixgramOptions};

jackfield_plugin_api::export_plugin! { drivers: [UnixDriver, UnixgramDriver], handlers: [] }
