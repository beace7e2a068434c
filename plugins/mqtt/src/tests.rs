//! Packets there and back, and two engines that speak with each other, without any input or output.

use crate::decode::Decoder;
use crate::encode::encode;
use crate::engine::{Engine, Limits, Received};
use crate::outgoing::Told;
use crate::packet::{AckKind, Connack, Connect, Filter, Packet, Publication, Version, Will};
use bytes::BytesMut;
use jackfield_plugin_api::Role;
use jackfield_plugin_api::sync::oneshot;
use std::time::Duration;

const NOW: Duration = Duration::from_secs(100);

fn limits() -> Limits {
    Limits {
        max_packet: 1 << 16,
        receive_maximum: 4,
        inflight: 4,
        alias_maximum: 4,
        aliases: 4,
        read_ahead: 1 << 16,
        write_buffer: 1 << 16,
        answer_timeout: Duration::from_secs(10),
    }
}

fn connect(version: Version, expiry: u32) -> Connect {
    let mut publication = Publication::new("gone", "will", 1);
    publication.retain = true;
    Connect {
        version,
        client_id: "client".to_owned(),
        clean: false,
        keepalive: 60,
        user: Some("lab".to_owned()),
        password: Some("hunter2".into()),
        will: Some(Will { publication, delay: 0 }),
        expiry,
        receive_maximum: None,
        max_packet: None,
        alias_maximum: 4,
        enhanced: false,
    }
}

fn written(packet: &Packet, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, version, usize::MAX, &mut out).expect("a packet that can be written");
    out
}

/// One of each kind.
fn packets(version: Version) -> Vec<Packet> {
    let mut publication = Publication::new("a/b", "content", 2);
    if version == Version::V5 {
        publication.properties.text = true;
        publication.properties.expiry = Some(7);
        publication.properties.correlation = Some(vec![0, 255].into());
        publication.properties.user = vec![("a".to_owned(), "1".to_owned())];
        publication.properties.subscriptions = vec![3, 268_435_455];
    }
    let code = if version == Version::V5 { 0x92 } else { 0 };
    let kinds = [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp];
    let ack = |kind| {
        let code = if matches!(kind, AckKind::Pubrel | AckKind::Pubcomp) { code } else { 0 };
        Packet::Ack { kind, id: 9, code }
    };
    let mut all: Vec<Packet> = kinds.into_iter().map(ack).collect();
    all.extend([
        Packet::Connect(Box::new(connect(
            version,
            if version == Version::V5 { 5 } else { u32::MAX },
        ))),
        Packet::Connack(Connack { session_present: true, ..Connack::default() }),
        Packet::Publish { publication, id: 7, alias: None },
        Packet::Subscribe { id: 1, filters: vec![Filter::new("a/#", 1)], number: None },
        Packet::Suback { id: 1, codes: vec![0, 2, 0x80] },
        Packet::Unsubscribe { id: 2, filters: vec!["a/#".to_owned()] },
        Packet::Unsuback { id: 2, codes: if version == Version::V5 { vec![0x11] } else { vec![] } },
        Packet::Pingreq,
        Packet::Pingresp,
        Packet::Disconnect { code: 0, reason: None, expiry: None },
    ]);
    all
}

#[test]
fn what_is_told_of_a_packet_has_neither_contents_nor_passwords() {
    for packet in packets(Version::V5) {
        let told = crate::packets::facts(&packet, "us");
        assert_eq!(told["packet"], packet.name());
        let text = told.to_string();
        assert!(!text.contains("hunter2") && !text.contains("content"), "{text}");
    }
    let long = Packet::Subscribe {
        id: 1,
        filters: vec![Filter::new("x".repeat(60_000), 1); 1000],
        number: None,
    };
    assert!(crate::packets::facts(&long, "peer").to_string().len() < 10_000);
}

#[test]
fn what_is_written_is_read_again_in_pieces_of_any_length() {
    for version in [Version::V311, Version::V5] {
        for packet in packets(version) {
            let bytes = written(&packet, version);
            for piece in 1..=bytes.len() {
                let mut decoder = Decoder::new(Some(version), 1 << 16);
                let mut read = None;
                for mut part in bytes.chunks(piece) {
                    while !part.is_empty() {
                        read = decoder.next(&mut part).expect("a right packet").or(read);
                    }
                }
                let read = read.unwrap_or_else(|| panic!("{} is not read", packet.name()));
                assert_eq!(written(&read, version), bytes, "{}", packet.name());
            }
        }
    }
}

#[test]
fn no_damage_makes_the_decoder_or_an_engine_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for version in [Version::V311, Version::V5] {
        for packet in packets(version) {
            let whole = written(&packet, version);
            for _ in 0..500 {
                let mut bytes = whole.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..bytes.len());
                    bytes[at] = random.u8(..);
                }
                let mut decoder = Decoder::new(Some(version), 1 << 16);
                let mut part = &bytes[..];
                while !part.is_empty() && decoder.next(&mut part).is_ok() {}
                let (mut client, mut server) = pair(version, 0);
                client.feed(&bytes, NOW);
                server.feed(&bytes, NOW);
            }
        }
    }
}

/// Two engines after their greeting.
fn pair(version: Version, expiry: u32) -> (Engine, Engine) {
    let mut client = Engine::new(Role::Client, version, limits(), NOW);
    let mut server = Engine::new(Role::Server, version, limits(), NOW);
    client.connect(connect(version, expiry), None).expect("a CONNECT");
    pass(&mut client, &mut server);
    let Some(Received::Connect(connect)) = server.take() else { panic!("no CONNECT") };
    let connack = Connack { alias_maximum: 4, receive_maximum: Some(4), ..Connack::default() };
    server.answer(&connect, connack, None, NOW);
    pass(&mut server, &mut client);
    assert!(matches!(client.take(), Some(Received::Connack(_))));
    (client, server)
}

/// What one has to say is said to the other; whether there was something.
fn pass(from: &mut Engine, to: &mut Engine) -> bool {
    let bytes = from.out.split();
    to.feed(&bytes, NOW);
    !bytes.is_empty()
}

/// Takes all that came, as an honest owner does.
fn taken(engine: &mut Engine) -> Vec<Publication> {
    let mut all = Vec::new();
    while let Some(received) = engine.take() {
        if let Received::Publish { publication, id } = received {
            engine.acknowledge(publication.qos, id, 0);
            all.push(publication);
        }
    }
    all
}

#[test]
fn messages_arrive_once_and_in_order_with_every_quality_of_service() {
    for version in [Version::V311, Version::V5] {
        let (mut client, mut server) = pair(version, 0);
        let (mut sent, mut came) = (0_u16, Vec::new());
        loop {
            let qos = |number: u16| u8::try_from(number % 3).expect("a small number");
            while sent < 300 && client.has_room(qos(sent)) {
                let topic = format!("t{}", sent % 6);
                let publication = Publication::new(topic, sent.to_string(), qos(sent));
                client.publish(publication, Told::Nobody, NOW).expect("room");
                sent += 1;
            }
            let moved = pass(&mut client, &mut server);
            came.extend(taken(&mut server));
            if !pass(&mut server, &mut client) && !moved {
                break;
            }
        }
        let numbers: Vec<String> =
            came.iter().map(|it| String::from_utf8_lossy(&it.payload).into_owned()).collect();
        let expected: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
        assert!(came.iter().enumerate().all(|(at, it)| it.topic == format!("t{}", at % 6)));
        assert!(client.outgoing.is_answered());
    }
}

#[test]
fn a_session_that_goes_on_repeats_what_has_no_answer_and_nothing_twice() {
    let (mut client, mut server) = pair(Version::V5, 60);
    for qos in [1, 2] {
        client
            .publish(Publication::new("a", format!("{qos}"), qos), Told::Nobody, NOW)
            .expect("room");
    }
    pass(&mut client, &mut server);
    assert_eq!(taken(&mut server).len(), 2);
    // The answers are lost, and the connection with them.
    server.out.clear();
    let lost = || jackfield_plugin_api::Error::new(jackfield_plugin_api::ErrorKind::Closed, "lost");
    client.broken(lost());
    server.broken(lost());
    let (left, kept) = (client.take_kept(), server.take_kept());
    // A connection that does not come to be takes nothing away.
    let mut client = Engine::new(Role::Client, Version::V5, limits(), NOW);
    client.connect(connect(Version::V5, 60), left).expect("a CONNECT");
    client.broken(lost());
    let left = client.take_kept();
    let mut client = Engine::new(Role::Client, Version::V5, limits(), NOW);
    let mut server = Engine::new(Role::Server, Version::V5, limits(), NOW);
    client.connect(connect(Version::V5, 60), left).expect("a CONNECT");
    pass(&mut client, &mut server);
    let Some(Received::Connect(connect)) = server.take() else { panic!("no CONNECT") };
    let connack = Connack { session_present: true, ..Connack::default() };
    server.answer(&connect, connack, kept, NOW);
    for _ in 0..4 {
        pass(&mut server, &mut client);
        pass(&mut client, &mut server);
    }
    let again = taken(&mut server);
    let contents: Vec<_> = again.iter().map(|it| (&it.payload[..], it.dup)).collect();
    // QoS 1 comes again, and says so; QoS 2 does not.
    assert_eq!(contents, [(&b"1"[..], true)]);
    pass(&mut server, &mut client);
    assert!(client.outgoing.is_answered());
}

#[test]
fn a_waiter_has_the_code_and_silence_has_an_end() {
    let (mut client, mut server) = pair(Version::V5, 0);
    let (tell, mut told) = oneshot::channel();
    client.publish(Publication::new("a", "x", 1), Told::Caller(tell), NOW).expect("room");
    pass(&mut client, &mut server);
    let Some(Received::Publish { id, .. }) = server.take() else { panic!("no message") };
    server.acknowledge(1, id, 0x97);
    pass(&mut server, &mut client);
    assert_eq!(told.try_recv().expect("an answer"), Ok(0x97));
    let (tell, mut told) = oneshot::channel();
    client.publish(Publication::new("a", "x", 1), Told::Caller(tell), NOW).expect("room");
    client.tick(NOW + Duration::from_secs(9));
    assert!(client.ended().is_none());
    client.tick(NOW + Duration::from_secs(10));
    assert!(client.ended().is_some() && told.try_recv().expect("an answer").is_err());
    server.tick(NOW + Duration::from_secs(91));
    assert!(server.ended().is_some_and(|ended| !ended.polite));
}

#[test]
fn a_client_that_has_nothing_to_say_pings_by_itself_and_ends_without_an_answer() {
    let (mut client, mut server) = pair(Version::V311, 0);
    let silent = |seconds: u64| NOW + Duration::from_secs(60 + seconds);
    client.tick(NOW + Duration::from_secs(59));
    assert!(client.out.is_empty());
    client.tick(silent(0));
    assert_eq!(client.out[..], [0xc0, 0]);
    pass(&mut client, &mut server);
    assert_eq!(server.out[..], [0xd0, 0]);
    pass(&mut server, &mut client);
    client.sent(silent(0));
    client.tick(silent(59));
    assert!(client.ended().is_none());
    client.tick(silent(60));
    client.tick(silent(70));
    assert!(client.ended().is_some(), "nobody has answered the second ping");
}
