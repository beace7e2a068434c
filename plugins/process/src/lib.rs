#![doc = include_str!("../README.md")]

mod driver;
mod ending;
mod kid;
mod options;
mod output;
mod session;
mod signals;
mod spawn;
#[cfg(test)]
mod tests;

pub use driver::ProcessDriver;
pub use options::{ProcessOptions, Stderr};

jackfield_plugin_api::export_plugin! { drivers: [ProcessDriver], handlers: [] }
