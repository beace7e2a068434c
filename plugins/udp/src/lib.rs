#![doc = include_str!("../README.md")]

mod driver;
mod options;
mod sockets;
#[cfg(test)]
mod tests;

pub use driver::UdpDriver;
pub use options::{Family, UdpOptions};

jackfield_plugin_api::export_plugin! { drivers: [UdpDriver], handlers: [] }
