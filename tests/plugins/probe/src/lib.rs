//! A plugin that uses every service of the host: what it measures, tells, reads and says of itself is what a
//! test asks it for by an operation.
#![allow(clippy::panic, reason = "one of its interceptors panics when it is told to")]

mod audit;
mod driver;
mod events;
mod session;
mod state;
mod thread;

pub use audit::{Audit, AuditOptions, Outer};
pub use driver::{Options, Probe, Reset};
pub use events::{Events, EventsOptions};

jackfield_plugin_api::export_plugin! {
    drivers: [Probe],
    handlers: [Events],
    interceptors: [Audit, Outer],
    readme: include_str!("../README.md"),
}
