#![doc = include_str!("../README.md")]

mod driver;
mod options;

pub use driver::TcpDriver;
pub use options::TcpOptions;

jackfield_plugin_api::export_plugin! { drivers: [TcpDriver], handlers: [] }
