//! WebTransport from a peer: capsules on the request's stream, in DATA frames and bare; settings.
#![no_main]

use fuzz_targets::run;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/quic/src/flow.rs"]
mod flow;

#[path = "."]
mod webtransport {
    #[path = "../../../../plugins/quic/src/webtransport/capsules.rs"]
    mod capsules;
    #[allow(dead_code, reason = "the driver uses the rest")]
    #[path = "../../../../plugins/quic/src/webtransport/codes.rs"]
    mod codes;
    #[allow(dead_code, reason = "the driver uses the rest")]
    #[path = "../../../../plugins/quic/src/webtransport/settings.rs"]
    mod settings;

    use web_transport_proto::Settings;

    /// How many capsules `bytes` are, and whether they end where they should.
    pub(crate) async fn read(mut bytes: &[u8]) -> (usize, bool) {
        let mut capsules = capsules::Capsules::new(&mut bytes);
        let mut count = 0;
        loop {
            match capsules.next().await {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, true),
                Err(_) => return (count, false),
            }
        }
    }

    /// What a peer whose settings are `bytes` offers.
    pub(crate) fn offered(bytes: &[u8]) {
        let Ok(settings) = Settings::decode(&mut &*bytes) else { return };
        let theirs = settings::Theirs::of(&settings);
        assert!(!theirs.bare || theirs.dialect.is_some());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (count, _) = run(webtransport::read(bytes));
    // A capsule has a type and a length at least.
    assert!(count * 2 <= bytes.len());
    webtransport::offered(bytes);
});
