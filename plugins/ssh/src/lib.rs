#![doc = include_str!("../README.md")]

mod auth;
mod channel;
mod channels;
mod client;
mod connection;
mod credentials;
mod driver;
mod endpoint;
mod exec;
mod failure;
mod inbox;
mod known_hosts;
mod lifeline;
mod options;
mod own;
mod session;
mod setup;
mod signer;
#[cfg(test)]
mod tests;
mod trust;

pub use driver::SshDriver;
pub use endpoint::Endpoint;
pub use options::{HostKeys, SshOptions, Stderr};

jackfield_plugin_api::export_plugin! { drivers: [SshDriver], handlers: [] }
