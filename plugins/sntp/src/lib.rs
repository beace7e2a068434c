#![doc = include_str!("../README.md")]

mod best;
mod buckets;
mod driver;
mod exchange;
mod kisses;
mod operations;
mod options;
pub mod packet;
mod server;
mod session;
mod stamp;

#[cfg(test)]
mod tests;

pub use driver::SntpDriver;
pub use options::{Family, Leap, ServerOptions, SntpOptions};
pub use server::SntpServer;
pub use stamp::Stamp;

jackfield_plugin_api::export_plugin! { drivers: [SntpDriver], handlers: [SntpServer] }
