//! Jackfield: a plugin host for connections.
//!
//! Protocol drivers are libraries in a folder, loaded through a stable ABI (`jackfield-plugin-api`).
//! The host joins what listeners accept to upstreams, named connections or handlers, all set in a
//! file. This crate is the host as a library; the binary `jackfield` is a thin face of it.
//!
//! # Data flows one way
//!
//! ```text
//! inbound ─▶ listener ─▶ route ─▶ upstream ─▶ connection ─▶ stack ─▶ driver ══ABI══▶ plugin
//!                          │                                            ▲
//!                          └──▶ relay                                services
//! ```
//!
//! This crate is the [admin API](admin) and the [commands](cli) over `jackfield-core` (`host/core`), whose modules have
//! their paths here. What needs nothing of the core stands in crates of its own, whose paths are given here, too:
//! `host/pool`, `host/balancer`, `host/relay`, `host/text`, `host/timers`. A module of the core uses only those below it; news goes up
//! as return values, as the `Drop` of a guard, or through a channel that was handed down. A test holds this.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the commands of the binary |
//! | [`admin`] | a running host looked at and changed from outside, over a Unix socket |
//! | [`manager`] | owns everything: builds a configuration whole, defines and finds named connections at run time, listens, shuts down |
//! | [`reload`] | takes over changes of the configuration while the host runs: by signal, by file, by call; versions to go back to |
//! | [`config`] | files, environment and flags, layered and strict, each mistake with its place; what is different in another one |
//! | [`listener`] | accepts sessions and takes them through their layers |
//! | [`calls`] | operations whose parameters and results have types, on whatever runs them |
//! | [`route`] | what a listener's sessions are joined to |
//! | [`upstream`] | named sets of targets: which one is next, which are healthy, what else is tried; over the crate `jackfield-balancer` |
//! | [`device`] | named things with several paths; consoles that one uses at a time and others watch |
//! | [`connection`] | ids, states, info, posts, handlers, reconnect, diagnosis; targets and their sessions between uses; sessions that carry others (`via`) |
//! | [`pool`] | reusable members, such as sessions to one target, for callers that come and go; the crate `jackfield-pool` |
//! | [`relay`] | joins two sessions: bytes, messages, or one to the other; in the kernel if it can |
//! | [`stack`] | URIs and options to drivers on top of each other |
//! | [`driver`] | plugin files to drivers by name, in typed steps |
//! | [`services`] | the one reactor's sockets, timers and tasks, for plugins |
//! | [`addr`], [`deadline`], [`events`], [`files`], [`metrics`], [`secret`], [`nearest`], [`parallel`], [`session`], [`shutdown`], [`traces`], [`units`], [`work`] | leaves |
//!
//! # What is deliberately absent
//!
//! - This crate names no protocol: what it knows of is bytes, messages and calls. (Host services
//!   offer the kernel's own sockets, which is where protocols begin.)
//! - Plugins never depend on this crate, and this crate on no plugin.
//! - Nothing is unbounded: every queue, buffer, wait and count has a limit.
//!
//! # Embedding
//!
//! `jackfield = { …, default-features = false }` leaves out [`cli`] and what only it needs (clap, subscribers of
//! logs, signals).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use jackfield::{connection::Live, listener::ServedRequest, manager::Manager};
//! use std::sync::Arc;
//!
//! let manager = Manager::builder().plugins("plugins").build().await?; // or `from_config`
//! let web = manager
//!     .listen("http://127.0.0.1:8080", |request: ServedRequest| async move {
//!         request.respond(200, "text/plain", "hello\n").await
//!     })
//!     .await?;
//! let raw = manager
//!     .listen("tcp://127.0.0.1:7000", |connection: Arc<Live>| async move {
//!         while let Some(received) = connection.receive().await? {
//!             connection.post(received)?.sent().await?;
//!         }
//!         jackfield_plugin_api::Result::Ok(())
//!     })
//!     .await?;
//! raw.close().await;
//! manager.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! What listeners accept and what named connections open are the same kind of thing, a
//! [`connection::Live`], in one table: [`manager::Manager::lives`].
//!
//! `host/examples/` has a program for each noun, run by the tests: `connection`,
//! `events` (with reconnecting), `connect` (with patience, and many at once), `manager`, `device`,
//! `lease`, `pool`, `balancer`, `probe` and `dialogue`; and of servers `http_server`, `chat` and `timers`.

#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "admin")]
use jackfield_core::lock;
pub use jackfield_core::{
    addr, calls, config, connection, deadline, device, dialogue, driver, events, files, handover,
    listener, manager, metrics, nearest, networks, parallel, pool, probe, relay, reload, route,
    secret, services, session, shutdown, stack, timers, traces, units, upstream, work,
};
