//! Testing a plugin without a host.
//!
//! [`TestPlugin`] is a plugin *as a host sees it*: its options are JSON, its panics are errors, what it does
//! not export is not there. [`TestHost`] is the host that it sees, on the test's own tokio runtime, with
//! what it was told: log lines, events, measurements, tasks that still run. Both ends of each facet are
//! joined in memory by [`carriers`], [`messages()`], [`datagrams`] and [`exchange`]. [`Script`] puts faults
//! into a stream: short reads and writes, polls that are pending for nothing, an end or a reset at every
//! byte. [`cancel_at_every_await`] drops a future at each place where it can be dropped. [`run`] and
//! [`paused`] run a test's future, the latter with a clock that stands still.
//!
//! ```
//! use jackfield_plugin_api::testing::{self, Script, TestHost, TestPlugin};
//! use jackfield_plugin_api::{Role, serde_json::json};
//! # use jackfield_plugin_api::prelude::*;
//! # options! { /** Options. */ pub struct Options { /** Sent first. */ pub hello: String } }
//! # struct Greet;
//! # impl Driver for Greet {
//! #     const INFO: DriverInfo = DriverInfo::layer("greet", "Says hello")
//! #         .schemes(&[Scheme::new("greet", "greet+tcp")]).client().facets(Facets::STREAM);
//! #     type Options = Options;
//! #     type Endpoint = String;
//! #     fn new(_: Host) -> Result<Self> { Ok(Greet) }
//! #     fn configure(&self, options: Options, _: Role) -> Result<String> { Ok(options.hello) }
//! #     async fn open(&self, hello: &String, mut request: Request) -> Result<Session> {
//! #         let (mut stream, info) = request.take_carrier()?;
//! #         stream.write_all(hello.as_bytes()).await?;
//! #         stream.flush().await?;
//! #         Ok(Session::of_stream(info, stream))
//! #     }
//! # }
//! # export_plugin! { drivers: [Greet] }
//! use jackfield_plugin_api::io::AsyncReadExt;
//!
//! testing::run(async {
//!     let plugin = TestPlugin::of::<Plugin>(&TestHost::new())?;
//!     let endpoint = plugin.driver("greet", Role::Client, &json!({ "hello": "hi" }))?;
//!     let (near, far) = testing::carriers(1024);
//!     // Each byte by itself.
//!     let near = Script::slow().over(near)?;
//!     let session = endpoint.open(testing::over(near)).await?;
//!     drop(session);
//!     let mut said = String::new();
//!     far.take_stream().expect("a stream").read_to_string(&mut said).await?;
//!     assert_eq!(said, "hi");
//!     Ok::<(), jackfield_plugin_api::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! A driver can be tested without the boundary too, through its own methods with [`host`].

mod faults;
mod host;
mod pairs;
mod plugin;
mod run;
mod services;

pub use faults::{Fault, Script};
pub use host::{Line, Measurement, TestHost};
pub use pairs::{carriers, datagrams, exchange, messages};
pub use plugin::TestPlugin;
pub use run::{cancel_at_every_await, paused, run};

pub use crate::load::Endpoint;

use crate::request::{Address, Request};
use crate::services::Host;
use crate::session::Session;
use std::time::Duration;

/// How long a step of a test may take; generous, it only bounds a test that has failed already.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The host of a new [`TestHost`], for a test that does not ask what it was told.
pub fn host() -> Host {
    TestHost::new().host()
}

/// A request to open or accept over `carrier`, with the address `localhost:1`.
pub fn over(carrier: Session) -> Request {
    Request::new(Address::new("localhost", 1), DEADLINE).with_carrier(carrier)
}
