//! A plugin that fails where and how its options say; without options it works.
//!
//! What cannot be told by options (failing to start, differing from another copy) is told by the
//! text in [`mode`], which the tests replace in a copy of the file.
#![allow(clippy::panic, reason = "panicking is what this plugin is for")]

mod data;
mod deed;
mod driver;
mod fault;
mod handler;
mod mode;
mod session;

pub use deed::Deed;
pub use driver::{Faulty, FaultyLayer};
pub use fault::{Fault, How, Lie, Place};
pub use handler::FaultyHandler;

jackfield_plugin_api::export_plugin! {
    drivers: [Faulty, FaultyLayer],
    handlers: [FaultyHandler],
}
