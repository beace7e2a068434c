//! QUIC's transport parameters from options.

use crate::options::{Congestion, QuicOptions};
use crate::room::Most;
use jackfield_plugin_api::Role;
use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Seconds between signs of life of a client that says nothing else.
const KEEPALIVE: u32 = 10;

pub(crate) fn transport(options: &QuicOptions, role: Role) -> TransportConfig {
    let mut config = TransportConfig::default();
    let first = most(options).first();
    let bytes = |number: u32| VarInt::from_u32(number.max(1));
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(first.bidi))
        .max_concurrent_uni_streams(VarInt::from_u32(first.uni))
        .stream_receive_window(bytes(options.stream_window))
        .receive_window(bytes(options.window))
        .send_window(u64::from(options.send_window.max(1)))
        .max_idle_timeout(idle(options.idle_timeout))
        .keep_alive_interval(keepalive(options, role))
        .datagram_receive_buffer_size(
            (options.datagram_queue > 0).then(|| size(options.datagram_queue)),
        )
        .datagram_send_buffer_size(size(options.datagram_send_queue.max(1)));
    match options.congestion {
        Congestion::Cubic => config.congestion_controller_factory(Arc::<CubicConfig>::default()),
        Congestion::NewReno => {
            config.congestion_controller_factory(Arc::<NewRenoConfig>::default())
        }
        Congestion::Bbr => config.congestion_controller_factory(Arc::<BbrConfig>::default()),
    };
    config
}

/// The streams that a peer may have open in the end.
pub(crate) fn most(options: &QuicOptions) -> Most {
    Most { bidi: options.max_bidi_streams, uni: options.max_uni_streams }
}

fn idle(seconds: u32) -> Option<IdleTimeout> {
    // In milliseconds it fits by far.
    let timeout = || IdleTimeout::try_from(Duration::from_secs(u64::from(seconds))).ok();
    (seconds > 0).then(timeout).flatten()
}

/// What a connection needs to be asked for signs of life often enough for both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// As the options say.
    pub(crate) interval: Duration,
    /// How long we keep a connection in which nothing happens; zero: for ever.
    pub(crate) idle: Duration,
    /// Bytes of all streams that the peer may send.
    pub(crate) window: u32,
}

impl Keepalive {
    /// `None`: there is no such hook.
    pub(crate) fn of(options: &QuicOptions, role: Role) -> Option<Self> {
        let idle = Duration::from_secs(u64::from(options.idle_timeout));
        keepalive(options, role).map(|interval| Keepalive {
            interval,
            idle,
            window: options.window,
        })
    }
}

fn keepalive(options: &QuicOptions, role: Role) -> Option<Duration> {
    let standard = match role {
        Role::Client => KEEPALIVE,
        Role::Server => 0,
    };
    let seconds = options.keepalive.unwrap_or(standard);
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}
