#![doc = include_str!("../README.md")]

mod communication;
mod driver;
mod endpoint;
mod facet;
mod handlers;
pub mod header;
mod incoming;
pub mod item;
pub mod json;
mod link;
mod operations;
mod options;
mod outgoing;
mod peers;
mod running;
pub mod secs1;
mod session;
pub mod sml;
mod state;
mod stream9;
mod transactions;
mod users;
mod values;

#[cfg(test)]
mod tests;

pub use driver::HsmsDriver;
pub use endpoint::SecsEndpoint;
pub use handlers::{Answer, Handlers, Received};
pub use options::{HsmsOptions, Mode, PeerOptions};
pub use secs1::{Secs1Driver, Secs1Options};

jackfield_plugin_api::export_plugin! { drivers: [HsmsDriver, Secs1Driver], handlers: [] }
