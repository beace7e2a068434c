#![doc = include_str!("../README.md")]

mod asked;
mod broker;
mod client;
mod conversation;
mod decode;
mod decode_greeting;
mod driver;
mod encode;
mod encode_greeting;
mod endpoint;
mod engine;
mod facet;
mod grants;
mod incoming;
mod link;
mod map;
mod metadata;
mod mover;
mod operations;
mod options;
mod outgoing;
mod packet;
mod packets;
mod plain;
mod reason;
mod server;
mod session;
mod topic;
mod users;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use broker::check_journal;
pub use broker::{BrokerOptions, MqttBroker, Permission};
pub use driver::MqttDriver;
pub use endpoint::MqttEndpoint;
pub use options::{CallEntry, Direction, Filters, MapEntry, MqttOptions, MqttVersion, WillOptions};

jackfield_plugin_api::export_plugin! { drivers: [MqttDriver], handlers: [MqttBroker] }
