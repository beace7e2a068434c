//! Whom a listener takes, and options that make no sense.

use super::*;

#[test]
fn a_listener_takes_those_who_fit_an_entry_and_each_once() {
    testing::paused(async {
        let given = json!({ "peers": [{ "name": "etch", "addresses": ["10.0.0.5"] }] });
        let from = |address: &str| Info::new().peer(address);
        let (opening, _far) = opened_as(Role::Server, given.clone(), from("10.0.0.5:1"));
        let session = opening.await.expect("a session");
        assert_eq!(session.info().facts["peer_name"], "etch");
        let (opening, _far) = opened_as(Role::Server, given, from("10.0.0.6:1"));
        assert_eq!(opening.await.unwrap_err().kind(), ErrorKind::Denied);
        let given = json!({ "peers": [{ "name": "etch", "enabled": false }] });
        let (opening, _far) = opened_as(Role::Server, given, from("10.0.0.5:1"));
        let error = opening.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    });
}

#[test]
fn peers_are_not_told_apart_by_sessions_and_times_are_times() {
    testing::paused(async {
        let driver = Secs1Driver::new(testing::host()).unwrap();
        for (given, name) in [
            (json!({ "peers": [{ "name": "etch", "session_id": 1 }] }), "peers"),
            (json!({ "t4": -1.0 }), "t4"),
            (json!({ "answers": { "S1F2": "S1F3 ." } }), "answers"),
        ] {
            let error = driver.configure(options(given), Role::Server).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    });
}
