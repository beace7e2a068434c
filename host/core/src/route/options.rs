//! [`RouteOptions`]: how a route joins sessions to its destination, as files and programs say it.

use crate::networks::Network;
use crate::relay::{Frames, RelayTimeouts};
use crate::units::Timespan;
use crate::upstream::KeyFrom;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// How a route joins sessions to its destination: keys of `[[routes]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RouteOptions {
    /// Where the route leads to an upstream balanced by `consistent_hash`: what of a session decides
    /// which target it meets. Default: `"peer"`.
    pub hash: KeyFrom,
    /// As `host.timeouts.idle`, for this route. Default: that value.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub idle_timeout: Option<Duration>,
    /// As `host.timeouts.half_close`, for this route. Default: that value.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub half_close_timeout: Option<Duration>,
    /// As `host.timeouts.drain`, for this route. Default: that value.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub drain_timeout: Option<Duration>,
    /// As `host.timeouts.total`, for this route. Default: that value.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub total_timeout: Option<Duration>,
    /// Whether a peer that breaks off, or ends without having sent anything, while its destination is opened
    /// or waited for ends that too. Default: true.
    pub abort_on_close: bool,
    /// What bytes become where one side speaks messages and the other a stream. Default:
    /// `"binary"`.
    pub frames: Frames,
    /// Whether requests by GET are answered with what the destination sends, as server-sent events:
    /// lines of a stream, messages, datagrams. Default: false.
    pub sse: bool,
    /// Where requests are forwarded: the peers, as addresses and networks, whose `X-Forwarded-…` and `Forwarded`
    /// fields are believed. Those of other peers are discarded. Default: not set; then the lists of
    /// `X-Forwarded-For` and `Forwarded` are kept, with the peer last, and the other fields replaced.
    pub trusted_proxies: Option<Vec<Network>>,
    /// Whether a peer with a byte stream is told in words, before anything else, that a serial line or an
    /// exclusive path is in use, by whom and since when. Default: true.
    pub tell_busy: bool,
}

impl Default for RouteOptions {
    fn default() -> Self {
        RouteOptions {
            hash: KeyFrom::default(),
            idle_timeout: None,
            half_close_timeout: None,
            drain_timeout: None,
            total_timeout: None,
            abort_on_close: true,
            frames: Frames::default(),
            sse: false,
            trusted_proxies: None,
            tell_busy: true,
        }
    }
}

impl RouteOptions {
    /// The limits of its relays; what it does not set is as `host` says.
    pub fn timeouts(&self, host: &RelayTimeouts) -> RelayTimeouts {
        let or = |own: Option<Duration>, host: Option<Duration>| {
            own.map_or(host, |own| (!own.is_zero()).then_some(own))
        };
        RelayTimeouts {
            idle: or(self.idle_timeout, host.idle),
            half_close: or(self.half_close_timeout, host.half_close),
            drain: self.drain_timeout.unwrap_or(host.drain),
            total: or(self.total_timeout, host.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_limits_of_the_host_unless_it_sets_its_own_and_zero_is_no_limit() {
        let limit = Duration::from_secs(7);
        let host = RelayTimeouts { idle: Some(limit), total: Some(limit), ..Default::default() };
        assert_eq!(RouteOptions::default().timeouts(&host), host);
        let own = RouteOptions {
            idle_timeout: Some(Duration::ZERO),
            half_close_timeout: Some(Duration::from_secs(1)),
            ..RouteOptions::default()
        };
        let expected =
            RelayTimeouts { idle: None, half_close: Some(Duration::from_secs(1)), ..host };
        assert_eq!(own.timeouts(&host), expected);
    }
}
