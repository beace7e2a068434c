#![doc = include_str!("../README.md")]

mod driver;
#[doc(hidden)]
pub mod framing;
mod hello;
mod json;
mod operations;
mod options;
mod parameters;
mod reply;
mod request;
mod session;
#[cfg(test)]
mod tests;
#[doc(hidden)]
pub mod xml;

pub use driver::NetconfDriver;
pub use options::{Form, NetconfOptions};

jackfield_plugin_api::export_plugin! { drivers: [NetconfDriver], handlers: [] }
