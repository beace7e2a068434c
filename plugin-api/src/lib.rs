//! What a Jackfield plugin is written against.
//!
//! An author implements [`Driver`] (one protocol), [`Handler`] (code that answers sessions) or
//! [`Interceptor`] (code around operations) in ordinary async Rust and writes one [`export_plugin!`] line;
//! everything else here is made by this crate. `jackfield new` writes a package to begin with, the
//! [`cookbook`] tells what one must know, and the feature `testing` runs a plugin as a host would.
//!
//! # The objects
//!
//! Each type below is one owner whichever side made it: [`Stream::new`] takes any tokio-style stream
//! and [`Stream`] *is* one again on the far side.
//!
//! | facet | type | made from |
//! |---|---|---|
//! | bytes | [`Stream`] | `AsyncRead + AsyncWrite`; its kernel socket through `take_fd` |
//! | messages | [`Messages`] | `Stream<Item = Result<Message>> + Sink<Message>` |
//! | datagrams | [`Datagrams`] | [`DatagramIo`] |
//! | requests | [`Exchange`] | [`Exchanger`] |
//! | calls, streams, dial, ping, events, close, drain | [`Session`] | [`Control`] |
//! | a passive side | [`Listener`] | [`Accept`] |
//! | anything awaited | [`Op`] | a future |
//!
//! # How protocols map
//!
//! | protocol | kind | facets |
//! |---|---|---|
//! | tcp, unix | transport | stream with `take_fd` |
//! | serial | transport | stream with `take_fd`; `call` for baud, DTR, RTS and break; events for modem lines |
//! | process | transport | stream; `call` for signals; exit status in `info` and as an event |
//! | udp | transport | datagrams |
//! | tls | layer | stream; identity in `info` |
//! | telnet | layer | stream; `call` for options and RFC 2217; events for what the peer negotiates |
//! | ws | layer | messages; ping; close code |
//! | ssh | layer | `call("exec")`, `open_stream` for channels, stream for the one that options ask for, dial, ping, events for resize |
//! | http | layer | exchange, both roles; dial through CONNECT; an upgrade gives a session; `call` for people |
//! | quic, WebTransport | transport | `open_stream`, `accept_stream`, datagrams, close code; rtt and loss in `info` |
//! | mqtt | layer | messages (kind = packet type, metadata = topic, QoS, retain as JSON); `call` for publish and subscribe |
//! | hsms | layer | messages (kind = SType, id = system bytes, metadata = the 10-byte header); `call` for select, linktest, a primary with its reply; ping = linktest |
//! | snmp | transport | `call` for get, walk, set; events for traps; over the host's datagrams |
//! | sntp, dns | transport | `call`; over the host's datagrams or a tcp stream |
//! | netconf | layer | `call` for each rpc; events for notifications; over a stream of ssh (`open_stream`) or tls |
//!
//! # Contract
//!
//! Objects may be polled from any thread, by one caller at a time; a waker is replaced at each poll;
//! a read of 0 into a buffer with room is the end; errors are [`Error`]s whole. Services of the host may
//! be used from any thread too, one of the plugin's own included. Nothing unwinds across: every entry and
//! drop is guarded, a panic becomes [`ErrorKind::Panicked`]. A plugin is never unloaded.
//!
//! What safe code says that cannot be (more read than there was room for, more written than was given,
//! another buffer in the place of the one that was lent, a datagram longer than its buffer) is an error
//! of that session, [`ErrorKind::Protocol`] of [`Origin::Internal`], and no byte of it is used. What each
//! side of the boundary owes the other is in [`raw`].
//!
//! An operation or body that has ended is not polled again by this crate; a stream or
//! datagram facet may be polled after an error, because more can come.
//!
//! # What a guard cannot hold
//!
//! | fault | what happens |
//! |---|---|
//! | a second panic while the first unwinds, which only a `Drop` or a panic hook can do | the process aborts |
//! | `abort`, `exit`, `_exit` | the process ends |
//! | a fault of memory: in C code, in `unsafe`, or a stack that overflows | the process ends by a signal |
//! | an allocation that fails | the process aborts |
//! | closing a descriptor that another owns | that owner loses it |
//! | a poll, call or drop that does not return | it keeps its thread for as long, and no deadline can end it; the host's other sessions go on |
//! | memory, threads and tasks that are left behind | they stay, and count for the process; `Task` ends with its owner |
//! | `panic = "abort"` in the plugin's profile | each panic ends the process |
//! | a thread-local of the plugin's own that panics when it is dropped | the process aborts, as in any Rust program |
//!
//! All else costs the call or session that it is in. `tests/loading/FAULTS.md` has what each fault costs,
//! from runs of the host. The unit tests of this crate run under valgrind (`tests/valgrind`).
//!
//! # Evolution
//!
//! This crate is 1.0.0 from its first commit. A minor appends: a field after the last prefix field,
//! a word at the end of a table that starts with its size, a facet bit, an error kind (unknown ones
//! read as "other"). What stands is never changed in form or meaning inside a major. A host accepts
//! a plugin when majors are equal, the host's minor is at least the plugin's required one, and the
//! target is the same; never by compiler, runtime version or feature set. What of the boundary is
//! frozen, and how a plugin asks for a minor, stands in the [`cookbook`].
//!
//! # Features
//!
//! None is on by default. `private-runtime`: one tokio runtime for each plugin whose protocol crate needs
//! tokio's reactor, and its `Carrier`. `testing`: for authors' tests. `host`: loading, for hosts.

#![allow(unsafe_code, reason = "this crate is the boundary; each block says why it is sound")]
#![allow(
    non_camel_case_types,
    non_local_definitions,
    reason = "abi_stable's derive names the reference to a prefix type so"
)]
#![cfg_attr(
    not(feature = "testing"),
    allow(dead_code, unused_imports, reason = "some is for hosts only, and some for tests")
)]

#[doc(hidden)]
pub mod abi;
#[cfg(feature = "private-runtime")]
mod carrier;
mod control;
mod datagrams;
mod driver;
mod envelope;
mod error;
mod events;
mod exchange;
mod export;
mod facets;
mod headers;
mod health;
mod info;
#[cfg(any(feature = "host", feature = "testing"))]
#[doc(hidden)]
pub mod inside;
mod interceptor;
mod listener;
#[cfg(feature = "host")]
pub mod load;
mod manifest;
mod messages;
mod module;
mod object;
#[doc(hidden)]
pub mod op;
mod options;
mod params;
pub mod peers;
mod private_file;
#[doc(hidden)]
pub mod raw;
mod reading;
mod reexports;
mod request;
mod runtime;
mod secret;

#[doc(hidden)]
pub mod section;
#[doc(hidden)]
pub mod services;
mod serving;
mod session;
mod several;
mod sse;
mod stream;
#[cfg(feature = "private-runtime")]
mod task;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod transform;
#[cfg(feature = "host")]
pub mod watch;
#[cfg(not(feature = "host"))]
#[path = "unwatched.rs"]
mod watch;
mod wire;

#[doc = include_str!("../README.md")]
pub mod cookbook {
    #[allow(unused_imports, reason = "the text links to them")]
    use super::*;
}

// The macros name this crate as their users do.
#[cfg(test)]
extern crate self as jackfield_plugin_api;

#[cfg(feature = "private-runtime")]
pub use carrier::Carrier;
pub use control::{Control, close_code};
pub use datagrams::{DatagramIo, DatagramMeta, Datagrams};
pub use driver::{Driver, Handler, Role};
pub use error::{Error, ErrorKind, Origin, Result, Retry};
pub use events::EventQueue;
pub use exchange::{Answer, Body, BodyPart, Envelope, Exchange, Exchanger, Incoming};
pub use facets::Facets;
pub use headers::HeaderBlock;
pub use health::{Health, HealthStatus, PartHealth, PluginHealth};
#[doc(hidden)]
pub use info::SocketEnds;
pub use info::{Event, Info};
pub use interceptor::{Call, Interceptor, InterceptorInfo, Next};
pub use listener::{Accept, Listener};
pub use manifest::{
    ABI_MAJOR, ABI_MINOR, Apply, Below, DriverInfo, HandlerInfo, Kind, Operation, Query,
    Requirement, RuntimeMode, Scheme,
};
#[doc(hidden)]
pub use manifest::{
    Abi, DriverManifest, HandlerManifest, InterceptorManifest, PluginInfo, PluginManifest,
    RequirementManifest, SchemeManifest,
};
pub use messages::{Message, MessageKind, Messages};
#[doc(hidden)]
pub use module::{PluginModule, PluginModule_Ref};
pub use op::Op;
pub use params::{NoParams, params};
pub use private_file::open_private;
pub use reading::{Keeping, Reader, Reading};
pub use reexports::{futures, io, prelude, sync};
pub use request::{Address, Request};
pub use secret::{Secret, mask_query};
pub use services::{FdReady, FdStream, Host, Interest, Level, Socket, SocketKind, Timer};
pub use serving::Serving;
#[doc(hidden)]
pub use session::Kept;
pub use session::{Session, SessionBuilder};
pub use several::bind_all;
pub use sse::ServerEvent;
pub use stream::Stream;
#[cfg(feature = "private-runtime")]
pub use task::Task;
pub use transform::Transform;
pub use wire::{Turn, Wire};

pub use {bytes, schemars, serde, serde_json};

/// For the export macro only; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{
        DriverExport, Exports, HandlerExport, InterceptorExport, describe, module,
    };
    pub use crate::manifest::plugin_info;
    pub use crate::section::{SECTION_SIZE, render};
    pub use abi_stable::library::{
        __call_root_module_loader as call_root_module_loader, LibHeader, RootModuleResult,
    };

    /// The header of a plugin's table.
    pub const fn header_of(constructor: extern "C" fn() -> RootModuleResult) -> LibHeader {
        // SAFETY: the constructor gives a `PluginModule_Ref`, as `export_plugin!` writes it.
        unsafe {
            LibHeader::from_constructor::<crate::PluginModule_Ref>(
                constructor,
                abi_stable::library::CheckTypeLayout::Yes,
            )
        }
    }
}
