#![doc = include_str!("../README.md")]

mod client;
mod datagrams;
mod driver;
mod endpoint;
mod failure;
mod link;
mod listener;
mod options;
mod own;
mod runtime;
mod session;
mod sockets;
mod stream;
mod transport;

#[cfg(test)]
mod tests;

pub use driver::QuicDriver;
pub use endpoint::QuicEndpoint;
pub use jackfield_certificates::ClientAuth;
pub use options::{Congestion, QuicOptions};

jackfield_plugin_api::export_plugin! { drivers: [QuicDriver], handlers: [] }
