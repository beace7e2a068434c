#![doc = include_str!("../README.md")]

mod driver;
mod options;
mod protocol;
#[cfg(test)]
mod tests;

pub use driver::Socks5Driver;
pub use options::{Resolve, Socks5Options};

jackfield_plugin_api::export_plugin! { drivers: [Socks5Driver], handlers: [] }
