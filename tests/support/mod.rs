//! What the tests stand on: processes, ports, certificates and peers.
//!
//! Every program a test starts is owned by a value of that test and ends, by its process id, when
//! the value is dropped. Readiness is always an observed event (a line in the peer's log, a
//! successful command), never a pause.

pub(crate) mod certs;
pub(crate) mod host;
pub(crate) mod jackfield;
pub(crate) mod need;
pub(crate) mod network;
pub(crate) mod peers;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod terminal;
