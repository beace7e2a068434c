#![doc = include_str!("../README.md")]

pub mod ascii;
mod client;
mod delivery;
mod driver;
mod endpoint;
mod engine;
mod expect;
mod facet;
pub mod frame;
mod gateway;
mod identification;
mod memory;
mod operations;
mod options;
mod parameters;
pub mod pdu;
mod requests;
pub mod rtu;
mod running;
mod server;
mod server_facet;
mod server_running;
mod units;
pub mod values;

#[cfg(test)]
mod tests;

pub use driver::{ModbusAsciiDriver, ModbusDriver, ModbusRtuDriver};
pub use endpoint::ModbusEndpoint;
pub use gateway::{GatewayOptions, LineOptions, MasterOptions, ModbusGateway};
pub use memory::{IdentityOptions, MemoryOptions, ModbusMemory};
pub use options::{ModbusOptions, UnitOptions};
pub use units::Units;

jackfield_plugin_api::export_plugin! {
    drivers: [ModbusDriver, ModbusRtuDriver, ModbusAsciiDriver],
    handlers: [ModbusMemory, ModbusGateway]
}
