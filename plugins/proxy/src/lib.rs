#![doc = include_str!("../README.md")]

mod driver;
mod header;
mod options;
#[cfg(test)]
mod tests;

pub use driver::ProxyDriver;
pub use options::{ProxyOptions, Version};

jackfield_plugin_api::export_plugin! { drivers: [ProxyDriver], handlers: [] }
