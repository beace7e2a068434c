#![doc = include_str!("../README.md")]

mod answering;
mod body;
mod call;
mod carrier;
mod client;
mod content;
mod cookies;
mod decode;
mod driver;
mod endpoint;
mod failure;
mod files;
mod folder;
mod head;
mod interim;
mod linger;
mod options;
mod pace;
mod partial;
mod redirect;
mod reply;
mod resets;
mod restconf;
mod rt;
mod sender;
mod server;
mod serving;
mod session;
mod siblings;
mod sse;
mod sse_reader;
mod upgrade;
mod users;

#[cfg(test)]
mod tests;

pub use driver::HttpDriver;
pub use endpoint::HttpEndpoint;
pub use files::{Files, FilesOptions};
pub use options::{HeaderCase, HttpOptions, Version};
pub use reply::{Reply, ReplyOptions};
pub use restconf::{Form, RestconfDriver, RestconfEndpoint, RestconfOptions};
pub use siblings::Compressed;

jackfield_plugin_api::export_plugin! { drivers: [HttpDriver, RestconfDriver], handlers: [Reply, Files] }
