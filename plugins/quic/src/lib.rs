#![doc = include_str!("../README.md")]

mod agreed;
mod client;
mod datagrams;
mod driver;
mod endpoint;
mod failure;
mod flow;
mod handing;
mod link;
mod listener;
mod mux;
mod options;
mod own;
mod room;
mod runtime;
mod session;
mod sockets;
mod stream;
mod transport;
mod webtransport;

#[cfg(test)]
mod tests;

pub use driver::QuicDriver;
pub use endpoint::QuicEndpoint;
pub use jackfield_certificates::ClientAuth;
pub use options::{Congestion, QuicOptions};
pub use webtransport::WebTransportDriver;

jackfield_plugin_api::export_plugin! { drivers: [QuicDriver, WebTransportDriver], handlers: [] }
