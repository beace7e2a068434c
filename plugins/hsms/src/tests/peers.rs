//! One listener for many peers, chosen by address, session and certificate.

use super::*;

fn place(peers: &Value) -> Place {
    Place::new(Role::Server, json!({ "peers": peers }))
}

fn from(address: &str) -> Info {
    Info::new().peer(address)
}

async fn accepted(place: &Place, known: Info, session: u16, status: u8) -> (Result<Session>, Peer) {
    let (session_, mut peer) = place.begin_as(known);
    let (accepted, ()) = tokio::join!(session_, peer.selects(session, status));
    (accepted, peer)
}

#[test]
fn two_that_share_an_address_are_told_apart_by_the_session_they_select() {
    testing::paused(async {
        let place = place(&json!([
            { "name": "etch", "session_id": 1, "addresses": ["10.0.0.5"] },
            { "name": "litho", "session_id": 2, "addresses": ["10.0.0.0/24", "fd00::/8"] },
        ]));
        let (etch, _one) = accepted(&place, from("10.0.0.5:4000"), 1, 0).await;
        let (litho, _two) = accepted(&place, from("[::ffff:10.0.0.5]:4001"), 2, 0).await;
        assert_eq!(etch.unwrap().info().facts["peer_name"], "etch");
        assert_eq!(litho.unwrap().info().facts["peer_name"], "litho");
    });
}

#[test]
fn a_peer_that_fits_no_entry_is_refused_with_the_status_that_says_why() {
    testing::paused(async {
        let place = place(&json!([
            { "name": "etch", "session_id": 1, "addresses": ["10.0.0.5"] },
            { "name": "off", "session_id": 2, "enabled": false },
        ]));
        for (session, status, words) in [(9, 4, "no such session"), (2, 2, "not ready")] {
            let (accepted, mut peer) =
                accepted(&place, from("10.0.0.5:4000"), session, status).await;
            let error = accepted.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.message().contains(words), "{error}");
            peer.hears_the_end().await;
        }
        let (_there, _peer) = accepted(&place, from("10.0.0.5:4000"), 1, 0).await;
        let (again, _) = accepted(&place, from("10.0.0.5:4001"), 1, 5).await;
        assert!(again.expect_err("in use").message().contains("in use"));
    });
}

#[test]
fn a_place_is_free_again_when_its_connection_has_ended() {
    testing::paused(async {
        let place = place(&json!([{ "name": "etch", "addresses": ["10.0.0.5"] }]));
        for _ in 0..3 {
            let (session, mut peer) =
                accepted(&place, from("10.0.0.5:4000"), ALL_SESSIONS, 0).await;
            let session = session.unwrap();
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
            assert_eq!(end_of(&session).await, None);
        }
    });
}

#[test]
fn an_address_that_nobody_has_is_refused_before_it_says_a_word() {
    testing::paused(async {
        let place = place(&json!([{ "name": "etch", "addresses": ["10.0.0.5"] }]));
        let (session, mut peer) = place.begin_as(from("10.0.0.6:4000"));
        let error = session.await.expect_err("refused");
        assert!(error.message().contains("10.0.0.6:4000 fits none of `peers`"), "{error}");
        peer.hears_the_end().await;
        assert!(place.host.lines().iter().any(|line| line.message.contains("10.0.0.6")));
    });
}

#[test]
fn a_certificate_names_a_peer() {
    testing::paused(async {
        let place = place(
            &json!([{ "name": "etch", "identity": "CN=etch" }, { "name": "litho", "identity": "CN=litho" }]),
        );
        let (session, _peer) =
            accepted(&place, Info::new().identity("CN=litho"), ALL_SESSIONS, 0).await;
        assert_eq!(session.unwrap().info().facts["peer_name"], "litho");
        let (session, _) = place.begin_as(Info::new().identity("CN=other"));
        assert_eq!(session.await.expect_err("refused").kind(), ErrorKind::Denied);
    });
}

#[test]
fn a_peer_is_passed_what_it_receives_and_asked_only_if_it_answers() {
    testing::paused(async {
        let place =
            place(&json!([{ "name": "collector", "receives": ["S6F11", "S5"], "answers": false }]));
        let (session, mut peer) = place.selected().await;
        let mut messages = session.take_messages().unwrap();
        for (stream, function) in [(1, 1), (6, 11), (6, 1), (5, 1)] {
            let header = Header::data(0, stream, function, true, 5);
            messages.send(message(header, b"")).await.unwrap();
        }
        assert_eq!(peer.data().await.0.title(), "S6F11");
        assert_eq!(peer.data().await.0.title(), "S5F1");
        peer.is_served().await;
    });
}

#[test]
fn what_is_wrong_with_peers_is_named() {
    testing::paused(async {
        for (peers, words) in [
            (json!([{ "addresses": ["10.0.0.5"] }]), "`name`"),
            (json!([{ "name": "a" }, { "name": "a" }]), "two have the name"),
            (json!([{ "name": "a", "addresses": ["tool.lab"] }]), "an address or a network"),
            (json!([{ "name": "a", "receives": ["6"] }]), "a stream such as S6"),
        ] {
            let driver = HsmsDriver::new(testing::host()).unwrap();
            let given = options(json!({ "peers": peers }));
            let error = driver.configure(given, Role::Server).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let driver = HsmsDriver::new(testing::host()).unwrap();
        let given = options(json!({ "peers": [{ "name": "a" }] }));
        assert!(driver.configure(given, Role::Client).is_err());
    });
}
