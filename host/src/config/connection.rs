//! The keys of `[connections.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Labels;
use super::reference::Via;
use super::tree::Options;
use crate::stack::uri::StackUri;
use crate::units::{ByteSize, Timespan};

/// `[connections.NAME]`: one named connection. A route that leads to it opens a session of its own
/// for each of its own; connections that go via it share one session, which is opened when first
/// needed and watched as the keys after `via` say.
///
/// Serialised, it has the keys that differ from their defaults; a password in the URI is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionConfig {
    /// What to connect to. Required.
    pub uri: StackUri,
    /// Options of the drivers in the stack; see `jackfield drivers NAME`. Default: none.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Options,
    /// What dials for this one: `"connections.NAME"`, short `"NAME"`, or `"devices.NAME.PATH"`.
    /// Default: the host dials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// How one logs in on a new session, before it counts as open: what prompts come and what is said
    /// to them. Default: nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Options>,
    /// What stands around its operations: names of `[interceptors.NAME]`, of the same order from the outside
    /// to the inside. Default: `[]`.
    #[serde(skip_serializing_if = "is_default")]
    pub interceptors: Vec<String>,
    /// Until a session is open, over all layers and `login`. Default: the sum of
    /// `host.timeouts.connect` and `host.timeouts.handshake`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Timespan>,
    /// The most that one operation on the session may take, waiting for the session included.
    /// Default: `"1m"`.
    #[serde(skip_serializing_if = "is_call_timeout")]
    pub call_timeout: Timespan,
    /// The same for single operations, by their names: `{ exec = "5m" }`. Default: none.
    #[serde(skip_serializing_if = "is_default")]
    pub call_timeouts: BTreeMap<String, Timespan>,
    /// Time between questions to the peer whether it is there, where the driver can ask; `"0s"`
    /// never. Default: `"30s"`.
    #[serde(skip_serializing_if = "is_keepalive")]
    pub keepalive: Timespan,
    /// Time for the answer. Default: `"5s"`.
    #[serde(skip_serializing_if = "is_keepalive_timeout")]
    pub keepalive_timeout: Timespan,
    /// Unanswered questions in a row before the session counts as lost; at least 1. Default: 3.
    #[serde(skip_serializing_if = "is_keepalive_count")]
    pub keepalive_count: u16,
    /// Time without use before the shared session is closed; `"0s"` never. Default: `"0s"`.
    #[serde(skip_serializing_if = "is_default")]
    pub idle_timeout: Timespan,
    /// Posts that may wait to be sent; more are refused. At least 1. Default: 256.
    #[serde(skip_serializing_if = "is_post_queue")]
    pub post_queue: u32,
    /// Bytes that those posts may have together. Default: `"1MiB"`.
    #[serde(skip_serializing_if = "is_post_bytes")]
    pub post_bytes: ByteSize,
    /// When a lost session is opened again by itself; when next needed, it is opened in any case.
    #[serde(skip_serializing_if = "is_default")]
    pub reconnect: ReconnectConfig,
    /// Free labels. Default: none.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Labels,
}

/// `reconnect` of a connection: when a lost session is opened again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReconnectConfig {
    /// Attempts in a row before giving up; 0 never, -1 for ever. Default: 0.
    pub attempts: i32,
    /// Wait before the first attempt. Default: `"1s"`.
    pub first_delay: Timespan,
    /// Each further wait is this many times the one before; 1 to 100. Default: 2.
    pub factor: f64,
    /// The longest wait. Default: `"1m"`.
    pub max_delay: Timespan,
    /// The share of each wait that chance may take away, so that many do not come back at once; 0
    /// to 1. Default: 0.3.
    pub jitter: f64,
    /// All attempts after one loss end after so long; `"0s"` never. Default: `"0s"`.
    pub total: Timespan,
    /// Whether all this also applies when it cannot be opened the first time; what would fail the same
    /// way again, such as refused credentials, is not repeated. Default: `false`.
    pub initial: bool,
}

impl ConnectionConfig {
    /// Values out of range: the key below the table, dotted, and what was expected.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        const DURATION: &str = "expected a duration of at least 1ms";
        const ONE: &str = "expected a whole number of at least 1";
        let again = &self.reconnect;
        let wrong = [
            (self.uri.is_empty(), "uri", NO_URI),
            (self.connect_timeout.is_some_and(Timespan::is_zero), "connect_timeout", DURATION),
            (self.call_timeout.is_zero(), "call_timeout", DURATION),
            (has_zero(&self.call_timeouts), "call_timeouts", DURATIONS),
            (self.keepalive_timeout.is_zero(), "keepalive_timeout", DURATION),
            (self.keepalive_count == 0, "keepalive_count", ONE),
            (self.post_queue == 0, "post_queue", ONE),
            (self.post_bytes.0 == 0, "post_bytes", "expected a size of at least 1B"),
            (again.attempts < -1, "reconnect.attempts", "expected -1, 0 or a number of attempts"),
            (!(1.0..=100.0).contains(&again.factor), "reconnect.factor", "expected 1 to 100"),
            (!(0.0..=1.0).contains(&again.jitter), "reconnect.jitter", "expected 0 to 1"),
        ];
        let wrong = wrong.into_iter().filter(|(wrong, ..)| *wrong);
        wrong.map(|(_, key, expected)| (key, expected)).collect()
    }
}

/// What is said of a duration in a table that is none.
pub(super) const DURATIONS: &str = "expected durations of at least 1ms";

pub(super) fn has_zero(times: &BTreeMap<String, Timespan>) -> bool {
    times.values().any(|time| time.is_zero())
}

/// What is said of a URI that is missing.
pub(super) const NO_URI: &str = "expected a URI such as \"tcp://host:port\", found none";

pub(super) const CALL_TIMEOUT: Timespan = Timespan::seconds(60);
const KEEPALIVE: Timespan = Timespan::seconds(30);
const KEEPALIVE_TIMEOUT: Timespan = Timespan::seconds(5);
const KEEPALIVE_COUNT: u16 = 3;
const POST_QUEUE: u32 = 256;
const POST_BYTES: ByteSize = ByteSize(1 << 20);

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            uri: StackUri::default(),
            options: Options::default(),
            via: None,
            login: None,
            interceptors: Vec::new(),
            connect_timeout: None,
            call_timeout: CALL_TIMEOUT,
            call_timeouts: BTreeMap::new(),
            keepalive: KEEPALIVE,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            keepalive_count: KEEPALIVE_COUNT,
            idle_timeout: Timespan::default(),
            post_queue: POST_QUEUE,
            post_bytes: POST_BYTES,
            reconnect: ReconnectConfig::default(),
            labels: Labels::new(),
        }
    }
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            attempts: 0,
            first_delay: Timespan::seconds(1),
            factor: 2.0,
            max_delay: Timespan::seconds(60),
            jitter: 0.3,
            total: Timespan::default(),
            initial: false,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_call_timeout(value: &Timespan) -> bool {
    *value == CALL_TIMEOUT
}

fn is_keepalive(value: &Timespan) -> bool {
    *value == KEEPALIVE
}

fn is_keepalive_timeout(value: &Timespan) -> bool {
    *value == KEEPALIVE_TIMEOUT
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_keepalive_count(value: &u16) -> bool {
    *value == KEEPALIVE_COUNT
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_post_queue(value: &u32) -> bool {
    *value == POST_QUEUE
}

fn is_post_bytes(value: &ByteSize) -> bool {
    *value == POST_BYTES
}
