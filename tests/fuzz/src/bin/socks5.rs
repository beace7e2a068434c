//! What a SOCKS 5 proxy answers, to a greeting with and without a user, and to a wish to connect.
#![no_main]

use fuzz_targets::run;
use jackfield_plugin_api::Secret;
use libfuzzer_sys::fuzz_target;
use tokio::io::{join, sink};

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/socks5/src/protocol.rs"]
mod protocol;

use protocol::{To, User, connect, greet};

fuzz_target!(|bytes: &[u8]| {
    let Some((way, bytes)) = bytes.split_first() else { return };
    let user = || User { name: "lab".to_owned(), password: Secret::new("pw") };
    let to = match way & 2 {
        0 => To::Name("a.test".to_owned(), 80),
        _ => To::Address(([127, 0, 0, 1], 80).into()),
    };
    run(async {
        let mut stream = join(bytes, sink());
        let user = (way & 1 == 1).then(user);
        // Whatever it is that is wrong, it is an error.
        if greet(&mut stream, user.as_ref()).await.is_err() {
            return;
        }
        if let Ok(address) = connect(&mut stream, &to).await {
            assert!(address.contains(':'));
        }
    });
});
