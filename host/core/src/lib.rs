//! The host as a library, which the crate `jackfield` gives on under the same paths, with the admin API and the
//! commands beside it. Its first page is the map of the modules here.

pub mod reload;

pub mod manager;

pub mod config;

pub mod listener;

pub mod calls;
pub mod route;
pub mod upstream;

pub mod device;

pub mod probe;

pub mod connection;
pub use jackfield_pool as pool;
pub use jackfield_relay as relay;
pub mod stack;

pub mod driver;

pub mod dialogue;
pub mod services;

pub mod addr;
pub mod deadline;
pub mod events;
pub mod handover;
pub mod metrics;
pub use jackfield_lock as lock;
pub use jackfield_text::{files, nearest, networks, units};
pub use jackfield_timers as timers;
pub mod parallel;
pub(crate) mod phase;
pub mod secret;
pub mod session;
pub mod shutdown;
pub mod traces;
pub mod work;
