//! Certificates, keys and trust, as options of drivers name them: files are read and checked when they are
//! configured and when they have changed, what is wrong with them is said by option and file, and what is wrong with a peer's certificate is
//! said for people.
//!
//! A driver that speaks TLS keeps its own options and lends them as [`Credentials`]; the same option
//! has then the same name and meaning everywhere.

mod certificate;
mod credentials;
mod exact;
mod files;
mod refusal;
mod refusals;
mod reloading;
mod sni;
mod trust;
mod verifier;

pub use certificate::{Described, fingerprint, with_facts};
pub use credentials::{CertificateFiles, ClientAuth, Credentials, Texts, server_name};
pub use refusal::{alert, explain, reason};
pub use refusals::Refusals;
pub use reloading::Reloading;
