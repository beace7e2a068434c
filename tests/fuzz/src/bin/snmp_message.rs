//! Messages of SNMP, all versions; what was read is written, and read again as it was.
#![no_main]

use jackfield_snmp::ber;
use jackfield_snmp::message::{Message, Scoped, Secured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What begins a message over TCP never says more than there can be without an error.
    let _ = ber::header(bytes);
    if let Ok(scoped) = Scoped::read_whole(bytes) {
        assert_eq!(Scoped::read_whole(&scoped.whole()), Ok(scoped.clone()));
        assert_eq!(Scoped::read(&scoped.inside()), Ok(scoped));
    }
    match Message::read(bytes) {
        Ok(Message::Community(message)) => {
            let written = message.write();
            let Ok(Message::Community(again)) = Message::read(&written) else {
                panic!("what was written is no message");
            };
            assert_eq!(message, again);
        }
        Ok(Message::Secured(secured)) => secured_again(bytes, &secured),
        Err(_) => {}
    }
});

fn secured_again(bytes: &[u8], secured: &Secured<'_>) {
    assert_eq!(&bytes[secured.code_at..secured.code_at + secured.code.len()], secured.code);
    let _ = Scoped::read(secured.data);
    let (written, at) = secured.write();
    let Ok(Message::Secured(again)) = Message::read(&written) else {
        panic!("what was written is no message");
    };
    assert_eq!(again.code_at, at);
    assert_eq!((again.id, again.flags, again.engine), (secured.id, secured.flags, secured.engine));
    assert_eq!((again.boots, again.time, again.user), (secured.boots, secured.time, secured.user));
    assert_eq!((again.code, again.salt, again.data), (secured.code, secured.salt, secured.data));
}
