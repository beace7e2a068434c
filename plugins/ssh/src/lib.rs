#![doc = include_str!("../README.md")]

mod algorithms;
mod answers;
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
mod greeting;
mod host_certificate;
mod inbox;
mod key_file;
mod known_hosts;
mod lifeline;
mod options;
mod own;
mod pattern;
mod received;
mod session;
mod setup;
mod sftp;
mod signer;
#[cfg(test)]
mod tests;
mod trust;

pub use driver::SshDriver;
pub use endpoint::Endpoint;
pub use options::{AlgorithmOptions, Answer, HostKeys, SshOptions, Stderr};

jackfield_plugin_api::export_plugin! { drivers: [SshDriver], handlers: [] }
