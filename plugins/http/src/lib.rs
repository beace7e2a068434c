#![doc = include_str!("../README.md")]

mod body;
mod call;
mod carrier;
mod client;
mod decode;
mod driver;
mod endpoint;
mod failure;
mod head;
mod options;
mod redirect;
mod rt;
mod server;
mod serving;
mod session;
mod upgrade;

#[cfg(test)]
mod tests;

pub use driver::HttpDriver;
pub use endpoint::HttpEndpoint;
pub use options::{HttpOptions, Version};

jackfield_plugin_api::export_plugin! { drivers: [HttpDriver], handlers: [] }
