//! Dialogues: what a peer says and what is expected of it, both made up; and a login.
#![no_main]

use std::time::Duration;

use fuzz_targets::run;
use jackfield::dialogue::{self, Dialogue, Login, Look, Matcher, Patterns};
use jackfield_plugin_api::Secret;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;

/// What is kept of what was heard.
const KEPT: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let [way, size, bytes @ ..] = bytes else { return };
    match way % 3 {
        0 => expect(usize::from(*size) + 1, bytes),
        1 => run(log_in(bytes)),
        _ => run(call(bytes)),
    }
});

/// The patterns, one for each line up to a byte of zero, and what is heard after that in pieces.
fn expect(size: usize, bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (first, heard) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(first) else { return };
    let Ok(patterns) = Patterns::new(text.lines()) else { return };
    look(&patterns, Matcher::raw(KEPT), size, heard, true);
    look(&patterns, Matcher::new(KEPT), size, heard, false);
}

fn look(patterns: &Patterns, mut matcher: Matcher, size: usize, heard: &[u8], raw: bool) {
    for piece in heard.chunks(size) {
        matcher.hear(piece);
        assert!(matcher.heard().len() <= KEPT);
        assert!(!raw || matcher.heard().ends_with(tail(piece)));
        let before = matcher.heard().to_vec();
        match matcher.look(patterns, Duration::ZERO, Duration::from_secs(1)) {
            Look::Found(found) => {
                let taken = [found.before, found.matched, matcher.heard().to_vec()].concat();
                assert_eq!(taken, before, "a match takes what it says, and no more");
            }
            Look::Wait(left) => assert_eq!(left, Duration::from_secs(1)),
            Look::Late(error) => panic!("there is time: {error}"),
        }
    }
    let late = matcher.look(patterns, Duration::from_secs(1), Duration::ZERO);
    if let Look::Late(error) = late {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

fn tail(piece: &[u8]) -> &[u8] {
    &piece[piece.len().saturating_sub(KEPT)..]
}

/// A peer that says `bytes`; the password is never shown.
async fn log_in(bytes: &[u8]) {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(&bytes[..bytes.len().min(32 * 1024)]).await.expect("room");
    let password = "correct horse";
    let login = Login {
        username: Some("lab".to_owned()),
        password: Some(Secret::new(password)),
        then: vec!["terminal length 0".into()],
        ..Login::default()
    };
    let far = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(far);
        let _ = write.shutdown().await;
        let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
    });
    let mut dialogue = Dialogue::keeping(KEPT, near);
    if let Err(error) = login.run(&mut dialogue, Duration::from_secs(5)).await {
        let said = bytes.windows(password.len()).any(|piece| piece == password.as_bytes());
        assert!(said || !error.to_string().contains(password), "{error}");
    }
    drop(dialogue);
    let _ = far.await;
}

/// An operation whose parameters are the JSON before a byte of zero; the peer says the rest.
async fn call(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (first, heard) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(params) = serde_json::from_slice(first) else { return };
    for operation in dialogue::operations() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(&heard[..heard.len().min(32 * 1024)]).await.expect("room");
        drop(far);
        let mut dialogue = Dialogue::keeping(KEPT, near);
        let called = dialogue::call(&mut dialogue, &operation.name, &params);
        // An hour of a clock that jumps: some wait as long as they are told to.
        let _ = tokio::time::timeout(Duration::from_secs(3600), called).await;
    }
}
