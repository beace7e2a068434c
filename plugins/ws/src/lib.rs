#![doc = include_str!("../README.md")]

mod client;
mod close;
mod driver;
mod endpoint;
mod failure;
mod frames;
mod head;
mod options;
mod server;
mod session;
mod socket;
mod upgrade;
mod wakers;
mod wire;

#[cfg(test)]
mod tests;

pub use driver::WsDriver;
pub use endpoint::WsEndpoint;
pub use options::WsOptions;

jackfield_plugin_api::export_plugin! { drivers: [WsDriver], handlers: [] }
