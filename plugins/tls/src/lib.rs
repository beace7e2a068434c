#![doc = include_str!("../README.md")]

mod driver;
mod endpoint;
mod options;
mod plain_http;
mod session;

#[cfg(test)]
mod tests;

pub use driver::TlsDriver;
pub use endpoint::TlsEndpoint;
pub use jackfield_certificates::{CertificateFiles, ClientAuth};
pub use options::{MinVersion, TlsOptions};

jackfield_plugin_api::export_plugin! { drivers: [TlsDriver], handlers: [] }
