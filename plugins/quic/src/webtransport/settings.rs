//! The settings of both sides. Drafts differ in which one says "WebTransport": ours say all of them.

use crate::flow::Flow;
use std::sync::Arc;
use web_transport_proto::{Setting, Settings, VarInt};

/// The most sessions of a connection, since draft-13.
const MAX_SESSIONS: u64 = 0x14e9_cd29;
/// Bytes and streams that a session may begin with, since draft-13.
const MAX_DATA: u64 = 0x2b61;
const MAX_STREAMS_UNI: u64 = 0x2b64;
const MAX_STREAMS_BIDI: u64 = 0x2b65;

/// No limit of a session's own: the connection has limits already, and one session.
const NO_LIMIT: u64 = (1 << 62) - 1;
/// The highest number of streams there can be (RFC 9000 §4.6).
const ALL_STREAMS: u64 = 1 << 60;

fn setting(id: u64) -> Setting {
    Setting(varint(id))
}

/// Constants and limits, all below 2^62.
fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

/// What we tell.
pub(super) fn ours() -> Settings {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    for (id, value) in [
        (MAX_SESSIONS, 1),
        (MAX_DATA, NO_LIMIT),
        (MAX_STREAMS_UNI, ALL_STREAMS),
        (MAX_STREAMS_BIDI, ALL_STREAMS),
    ] {
        settings.insert(setting(id), varint(value));
    }
    settings
}

/// What the peer tells.
#[derive(Clone, Debug)]
pub(super) struct Theirs {
    /// The newest form of WebTransport that the peer offers; `None`: none at all.
    pub(super) dialect: Option<&'static str>,
    /// Limits of its own for a session; `None`: it has none.
    pub(super) flow: Option<Arc<Flow>>,
    /// It says nothing of the older drafts, as `pywebtransport` does, which wants capsules without
    /// frames.
    pub(super) bare: bool,
}

impl Theirs {
    pub(super) fn of(settings: &Settings) -> Self {
        let value = |id: u64| settings.get(&setting(id)).map_or(0, |value| value.into_inner());
        let offered = settings.supports_webtransport() > 0;
        let dialect = if value(MAX_SESSIONS) > 0 {
            Some("draft-13")
        } else if offered && settings.contains_key(&Setting::WEBTRANSPORT_MAX_SESSIONS) {
            Some("draft-07")
        } else {
            offered.then_some("draft-02")
        };
        let limits = [MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI].map(value);
        // With none of them the peer does not limit sessions (draft-14 §5.1).
        let flow = limits.iter().any(|limit| *limit > 0).then(|| {
            let [data, bidi, uni] = limits;
            Arc::new(Flow::new(data, bidi, uni))
        });
        let bare = dialect.is_some() && !offered;
        Theirs { dialect, flow, bare }
    }
}

#[cfg(test)]
mod tests {
    use super::{Theirs, ours};
    use web_transport_proto::Settings;

    #[test]
    fn ours_are_understood_in_every_form() {
        let theirs = Theirs::of(&ours());
        assert_eq!(theirs.dialect, Some("draft-13"));
        assert!(theirs.flow.is_some());
        assert_eq!(ours().supports_webtransport(), 1);
        let nothing = Theirs::of(&Settings::default());
        assert!(nothing.dialect.is_none() && nothing.flow.is_none());
    }
}
