//! Secrets: strings that are never printed, and references to where they are kept.
//!
//! An option whose schema says `"x-secret": true` takes a reference in place of a text:
//! `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = ["PROGRAM", "ARGUMENT"] }` or
//! `{ prompt = "TEXT" }`. Elsewhere such a table is an ordinary value, if the schema takes tables there. References stay as they
//! are until the moment their value is needed, so a changed secret is picked up by the next
//! session.

mod prompt;
mod reference;
mod resolve;
mod schema;

pub use jackfield_plugin_api::Secret;
pub use reference::SecretRef;
pub use resolve::{ResolvedOptions, Resolver, SecretError};
pub use schema::{SecretFinding, SecretProblem, check, placeholders, programs};
