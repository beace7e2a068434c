//! Loading plugins: each kind of bad file has its own reason, code that fails costs its own call,
//! and the host lives on with the good plugins.

mod blocked;
mod fault_table;
mod faults;
mod files;
mod folder;

pub(crate) use folder::{faulty, faulty_folder, faulty_mode, write};
pub(crate) use trials::initialiser;
mod generations;
mod order;
mod panics;
mod threads;
mod trials;
