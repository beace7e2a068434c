//! Host services: what the host does for its plugins, because it owns the only reactor.
//!
//! [`Services`] is what a host implements, [`HostServices`] the table that crosses, [`Host`] the safe
//! face that a driver uses. A service that comes after 1.0 is optional on the wire: a newer plugin asks and
//! an older host says "unsupported".

mod export;
mod fd_stream;
mod host;
mod panic;
mod poll;
mod socket;

pub use export::export_services;
pub(crate) use export::is_own_table;
pub use fd_stream::FdStream;
pub use host::Host;
pub use panic::PanicReport;
pub use poll::{FdReady, FdTable, Interest, Timer, TimerTable};
pub use socket::{RawSocket, Socket, SocketKind};

use crate::datagrams::Datagrams;
use crate::error::Result;
use crate::listener::Listener;
use crate::op::Op;
use crate::raw::{Opaque, RawBuf, RawError, RawStr, abi};
use crate::session::Session;
use abi_stable::StableAbi;
use bytes::Bytes;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

/// How much a log line matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Level {
    /// Something is lost or broken.
    Error,
    /// Something is not as it should be.
    Warn,
    /// A change of state worth knowing.
    Info,
    /// For finding out.
    Debug,
    /// Every step.
    Trace,
}

/// A resettable timer of the host's, polled by its owner.
pub trait TimerIo: Send + 'static {
    /// Ready when the time has come; stays ready until reset.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Starts over with a new time from now.
    fn reset(&mut self, after: Duration);
}

/// Readiness of a descriptor that the host's reactor watches.
pub trait FdIo: Send + 'static {
    /// Ready when the descriptor may be readable or writable.
    fn poll_ready(&mut self, interest: Interest, cx: &mut Context<'_>) -> Poll<Result<()>>;
    /// Forgets readiness after the system said "would block".
    fn clear_ready(&mut self, interest: Interest);
}

/// What a host implements. No method may block.
pub trait Services: Send + Sync + 'static {
    /// Writes a log line on behalf of the plugin.
    fn log(&self, level: Level, target: &str, message: &str);
    /// Monotonic time since some fixed moment.
    fn now(&self) -> Duration;
    /// Runs a task; dropping the result stops it.
    fn spawn(&self, task: Op<()>) -> Op<()>;
    /// Runs blocking work on a thread where that is allowed. A bounded number run at once.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> Op<()>;
    /// A timer that fires `after` from now.
    fn timer(&self, after: Duration) -> Box<dyn TimerIo>;
    /// Connects a socket; the session has a stream.
    fn connect(&self, socket: Socket) -> Op<Session>;
    /// Listens on a socket; sessions have a stream.
    fn listen(&self, socket: Socket) -> Op<Listener>;
    /// Binds a datagram socket.
    fn bind_datagrams(&self, socket: Socket) -> Op<Datagrams>;
    /// Watches a descriptor that stays the plugin's.
    ///
    /// # Errors
    /// What the system says, e.g. that it cannot be watched.
    fn watch(&self, fd: BorrowedFd<'_>) -> Result<Box<dyn FdIo>>;
    /// Addresses of a host name, as JSON: `["192.0.2.1:22", …]`.
    fn resolve(&self, host: &str, port: u16) -> Op<Bytes>;
    /// Reads a secret that the configuration lets this plugin read, by the name that it has there.
    fn secret(&self, name: &str) -> Op<Bytes>;
    /// Records a measurement; `kind` is `counter`, `gauge` or `histogram`, labels are a JSON object.
    fn metric(&self, kind: &str, name: &str, labels: &str, value: f64);
    /// Tells the host of something worth an entry in its event stream; JSON.
    fn event(&self, event: &str);
    /// Opens a stack by URI through the host, with options as JSON.
    fn open(&self, uri: &str, options: &str) -> Op<Session>;
    /// Hears of a panic of the plugin's code that a guard has caught, wherever it was: in a call, in
    /// data that flows, in a drop. Default: nothing.
    fn panicked(&self, _report: &PanicReport) {}
    /// Completes when the host begins to stop. Default: never.
    fn stopping(&self) -> Op<()> {
        Op::new(std::future::pending())
    }
    /// Takes the first descriptor that this plugin has handed over in the process before this one, of those whose names
    /// begin with `prefix`. Default: none.
    fn received(&self, _prefix: &str) -> Option<(String, OwnedFd)> {
        None
    }
    /// Hands a descriptor over by that name when another process takes over; done when that begins. Default: never.
    fn offer(&self, _name: &str, _fd: BorrowedFd<'_>) -> Op<()> {
        Op::new(std::future::pending())
    }
}

abi! {
    /// An `Op`, `Session`… by value in a control function, where the layout check sees two words.
    #[derive(StableAbi, Clone, Copy, Debug)]
    pub frozen struct RawPair {
        /// The exporting side's state.
        pub data: Opaque,
        /// The exporting side's functions; null means "none".
        pub table: Opaque,
    }
}

/// A function to be run once with the pointer that goes with it.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RunOnce {
    /// The function.
    pub run: unsafe extern "C" fn(Opaque),
}

abi! {
    /// The services as they cross: prefix type, append only. The first argument of each is `context`.
    #[derive(StableAbi)]
    #[sabi(kind(Prefix(prefix_ref = HostServices_Ref)))]
    #[sabi(missing_field(option))]
    pub prefix struct HostServices {
        /// Level, target, message.
        pub log: unsafe extern "C" fn(Opaque, u32, RawStr, RawStr),
        /// Nanoseconds.
        pub now: unsafe extern "C" fn(Opaque) -> u64,
        /// Takes an `Op<()>`, gives one.
        pub spawn: unsafe extern "C" fn(Opaque, RawPair) -> RawPair,
        /// Runs the function with the pointer, once; gives an `Op<()>`.
        pub spawn_blocking: unsafe extern "C" fn(Opaque, RunOnce, Opaque) -> RawPair,
        /// Nanoseconds; gives a `Timer`.
        pub timer: unsafe extern "C" fn(Opaque, u64) -> RawPair,
        /// A `RawSocket`; gives an `Op<Session>`.
        pub connect: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// A `RawSocket`; gives an `Op<Listener>`.
        pub listen: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// A `RawSocket`; gives an `Op<Datagrams>`.
        pub bind_datagrams: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// A descriptor; gives an `FdReady`, or none and an error.
        pub watch: unsafe extern "C" fn(Opaque, i32, *mut RawError) -> RawPair,
        /// Host name and port; gives an `Op<Bytes>`.
        pub resolve: unsafe extern "C" fn(Opaque, RawStr, u16) -> RawPair,
        /// Reference; gives an `Op<Bytes>`.
        pub secret: unsafe extern "C" fn(Opaque, RawStr) -> RawPair,
        /// Kind, name, labels, value.
        pub metric: unsafe extern "C" fn(Opaque, RawStr, RawStr, RawStr, f64),
        /// JSON.
        pub event: unsafe extern "C" fn(Opaque, RawStr),
        /// URI and options; gives an `Op<Session>`.
        pub open: unsafe extern "C" fn(Opaque, RawStr, RawStr) -> RawPair,
        /// What the host says of itself: name and version, as JSON.
        pub about: unsafe extern "C" fn(Opaque) -> RawBuf,
        /// A [`PanicReport`] as JSON.
        pub panicked: unsafe extern "C" fn(Opaque, RawStr),
        /// Gives an `Op<()>` that is done when the host begins to stop.
        pub stopping: unsafe extern "C" fn(Opaque) -> RawPair,
        /// What a name begins with; gives the name and the descriptor, or an empty one and -1.
        pub received: unsafe extern "C" fn(Opaque, RawStr, *mut i32) -> RawBuf,
        /// A name and a descriptor, which stays the plugin's; gives an `Op<()>` that is done when a handover begins.
        #[sabi(last_prefix_field)]
        pub offer: unsafe extern "C" fn(Opaque, RawStr, i32) -> RawPair,
    }
}
