//! [`RelayOptions`]: how two ends are joined, and the keys that files have for it.

use super::Pipes;
use jackfield_plugin_api::MessageKind;
use jackfield_text::range::{Problem, Ranges};
use jackfield_text::units::{ByteSize, Timespan};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How long a relay may take: keys of `[host.timeouts]`, which a route may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RelayTimeouts {
    /// Without a byte in either direction before a relayed session is closed; `"0s"` (`None`) never.
    /// Default: `"0s"`.
    #[serde(with = "jackfield_text::with::zero_is_none")]
    #[schemars(with = "Timespan")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub idle: Option<Duration>,
    /// How long nothing may come in the other direction after one has ended; `"0s"` (`None`) for ever.
    /// Default: `"5m"`.
    #[serde(with = "jackfield_text::with::zero_is_none")]
    #[schemars(with = "Timespan")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub half_close: Option<Duration>,
    /// The same where an end knows no half-close, such as a serial line, a terminal, a WebSocket or a device
    /// that one session uses at a time: the end of one direction is that of the whole, and what is still
    /// answered to the last bytes has this time, again after each piece; a third of it where the accepted
    /// side has ended without having sent anything. Default: `"300ms"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub drain: Duration,
    /// From the beginning of a relayed session to its end, however busy it is; `"0s"` (`None`) has no limit.
    /// Default: `"0s"`.
    #[serde(with = "jackfield_text::with::zero_is_none")]
    #[schemars(with = "Timespan")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub total: Option<Duration>,
}

impl Default for RelayTimeouts {
    fn default() -> Self {
        RelayTimeouts {
            idle: None,
            half_close: Some(Duration::from_secs(300)),
            drain: Duration::from_millis(300),
            total: None,
        }
    }
}

/// How much a relay may hold: keys of `[host.limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RelaySizes {
    /// Buffer for each direction of a relayed session, held only while data flows; 1KiB to 16MiB.
    /// Default: `"64KiB"`.
    #[serde(rename = "relay_buffer", with = "jackfield_text::with::size")]
    #[schemars(with = "ByteSize")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub buffer: usize,
    /// The largest single message relayed; a longer one, received or made of bytes, is an error of the side it
    /// comes from. 1KiB to 1GiB. Default: `"16MiB"`.
    #[serde(with = "jackfield_text::with::size")]
    #[schemars(with = "ByteSize")]
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub max_message: usize,
}

impl Default for RelaySizes {
    fn default() -> Self {
        RelaySizes { buffer: 64 << 10, max_message: 16 << 20 }
    }
}

impl RelaySizes {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        let sizes = [
            ("relay_buffer", self.buffer, 16 << 20),
            ("max_message", self.max_message, 1_usize << 30),
        ];
        let ranges = sizes.into_iter().fold(Ranges::new(), |found, (key, size, most)| {
            let expected = format!("expected a size from 1KiB to {}", ByteSize(most as u64));
            found.expect((1024..=most).contains(&size), key, expected)
        });
        ranges.problems()
    }
}

/// The kind of message that the bytes of a stream are sent as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// Binary messages.
    #[default]
    Binary,
    /// Text messages; U+FFFD stands in the place of each sequence of bytes that is not UTF-8, as browsers show
    /// it: noise of a line that was just powered on, or another character set.
    Text,
    /// Text messages, and binary ones where anything in what one read gives is not UTF-8.
    TextOrBinary,
}

impl Frames {
    /// The kind of a message whose bytes need no second look.
    pub(super) fn kind(self) -> MessageKind {
        if self == Frames::Binary { MessageKind::BINARY } else { MessageKind::TEXT }
    }
}

/// How a relay treats what passes and for how long.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// How long it may take.
    pub timeouts: RelayTimeouts,
    /// How much it may hold; of the buffer at least 512 bytes.
    pub sizes: RelaySizes,
    /// Whether its ends may go on alone with one direction at all, as far as they can. Default: true.
    pub half_close: bool,
    /// How long the end itself may take, once nothing more is received. Default: 10 s.
    pub close_timeout: Duration,
    /// Between messages and messages: with the end of one side the relay is over, and the other is not
    /// closed, so that its owner can do that with the code and the reason of the first. Default: false.
    pub leave_messages_open: bool,
    /// What bytes become on their way to messages. In text a character that two reads have cut in two is
    /// put together again. Default: binary.
    pub frames: Frames,
    /// The most bytes that wait unsent in the kernel for a TCP receiver once much flows to it
    /// (`TCP_NOTSENT_LOWAT`); 0: the system's limit. Default: 256 KiB.
    pub unsent: u32,
    /// Where the pipes for `splice` come from. Default: the pool of the process.
    pub pipes: Arc<Pipes>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        RelayOptions {
            timeouts: RelayTimeouts::default(),
            sizes: RelaySizes::default(),
            half_close: true,
            close_timeout: Duration::from_secs(10),
            leave_messages_open: false,
            frames: Frames::default(),
            unsent: 256 * 1024,
            pipes: Pipes::shared(),
        }
    }
}
