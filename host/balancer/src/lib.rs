//! Which of several targets serves next, and what happens when it does not.
//!
//! ```text
//! open ─▶ attempt ─▶ balancer ─▶ rotation ─▶ strategy
//!            │           ▲
//!            ▼           │ how it went
//!          target ───────┘◀── checker
//! ```
//!
//! Targets are of any kind: [`Balancer`] is generic over them. [`Attempts`] opens a session at one after the
//! other ([`Opens`]), [`check`] probes each at an interval ([`Probe`]). The strategies are in
//! [`strategy::STRATEGIES`]; how targets fail and recover is told in [`health`].

mod attempt;
mod balancer;
mod checker;
mod error;
pub mod health;
mod load;
mod options;
mod retry;
mod rotation;
mod status;
pub mod strategy;
mod target_set;
mod watcher;

pub use attempt::{AttemptWatcher, Attempts, Need, Opens};
pub use balancer::{Balancer, InFlight, Pick, Tried};
pub use checker::{Probe, check};
pub use error::OpenError;
pub use options::{CheckOptions, HealthOptions, OutlierOptions, RetryOptions};
pub use retry::Budget;
pub use status::TargetStatus;
pub use strategy::{Balance, STRATEGIES, StrategyInfo};
pub use target_set::{Spec, TargetHandle};
pub use watcher::{TargetChange, Watcher};
