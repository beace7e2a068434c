#![doc = include_str!("../README.md")]

mod answer;
mod cache;
mod data;
mod driver;
mod https;
mod operations;
mod options;
mod question;
mod session;
mod streams;
mod udp;
mod way;

#[cfg(test)]
mod tests;

pub use driver::DnsDriver;
pub use options::{DnsOptions, Family, Over};

jackfield_plugin_api::export_plugin! { drivers: [DnsDriver], handlers: [] }
