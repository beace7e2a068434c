#![doc = include_str!("../README.md")]

mod handler;

pub use handler::{Echo, EchoOptions};

jackfield_plugin_api::export_plugin! { drivers: [], handlers: [Echo] }
