#![doc = include_str!("../README.md")]

mod certificate;
mod driver;
mod endpoint;
mod files;
mod options;
mod refusal;
mod session;
mod verifier;

#[cfg(test)]
mod tests;

pub use driver::TlsDriver;
pub use endpoint::TlsEndpoint;
pub use options::{ClientAuth, MinVersion, TlsOptions};

jackfield_plugin_api::export_plugin! { drivers: [TlsDriver], handlers: [] }
