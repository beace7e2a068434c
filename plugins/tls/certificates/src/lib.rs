//! Certificates, keys and trust, as options of drivers name them: files are read and checked once,
//! what is wrong with them is said by option and file, and what is wrong with a peer's certificate is
//! said for people.
//!
//! A driver that speaks TLS keeps its own options and lends them as [`Credentials`]; the same option
//! has then the same name and meaning everywhere.

mod certificate;
mod credentials;
mod files;
mod pinned;
mod refusal;
mod refusals;
mod trust;
mod verifier;

pub use certificate::{Described, fingerprint, with_facts};
pub use credentials::{ClientAuth, Credentials, server_name};
pub use refusal::{alert, explain, reason};
pub use refusals::Refusals;
