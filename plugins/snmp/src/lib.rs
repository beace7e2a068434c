#![doc = include_str!("../README.md")]

pub mod ber;
mod driver;
mod endpoint;
mod incoming;
mod json;
mod link;
mod listener;
pub mod message;
pub mod mib;
mod notification;
pub mod oid;
mod operations;
mod options;
pub mod pdu;
mod receiver;
mod request;
mod rows;
mod session;
mod status;
mod usm;
pub mod value;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

pub use driver::SnmpDriver;
pub use endpoint::SnmpEndpoint;
pub use options::{Community, SnmpOptions, Transport, UserOptions, Version};
pub use usm::cipher::PrivacyProtocol;
pub use usm::hash::AuthProtocol;

jackfield_plugin_api::export_plugin! { drivers: [SnmpDriver], handlers: [] }
