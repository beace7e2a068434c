//! Paths by name, and connections of a device's own.

use std::sync::Arc;

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Delivery, Live, Payload, SessionHandler},
    manager::{AllOptions, Existing},
};
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::json;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    host::{TestHost, exchange, load},
    peers::{
        echo::TcpPeer,
        sshd::{Sshd, USER},
    },
    process::{DEADLINE, tempdir},
};

/// Two paths to two peers, no default.
async fn two_paths(peers: &[TcpPeer; 2]) -> TestHost {
    TestHost::start(&format!(
        "[devices.core1]\naliases = [\"c1\"]\nlabels = {{ site = \"lab\" }}\n\
         [devices.core1.paths]\n\
         console = {{ uri = \"{}\" }}\ncli = {{ uri = \"{}\" }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.c1.cli\"\n",
        peers[0].uri(),
        peers[1].uri(),
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_reached_by_name_or_alias_and_a_wrong_one_is_named_with_those_there_are() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = two_paths(&peers).await;
    assert_eq!(exchange(host.address(0), b"through").await.unwrap(), b"through");
    host.open("devices.core1.console", json!({})).await.unwrap();
    peers[0].has_accepted(1).await;
    assert_eq!(peers[1].accepted(), 1);
    for (to, kind, text) in [
        (
            "devices.core1.consol",
            ErrorKind::NotFound,
            "device \"core1\" has no path \"consol\" (did you mean \"console\"?); paths: cli console",
        ),
        (
            "devices.core1",
            ErrorKind::Config,
            "device \"core1\" has no default path; paths: cli console",
        ),
        (
            "devices.core2",
            ErrorKind::NotFound,
            "there is no device \"core2\" (did you mean \"core1\"?)",
        ),
    ] {
        let error = host.open(to, json!({})).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_twice_is_one_connection_and_disconnecting_one_path_leaves_the_other() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = two_paths(&peers).await;
    let device = host.manager().device("c1").unwrap();
    let console = device.connect(Some("console"), DEADLINE).await.unwrap();
    let again = device.connect(Some("console"), DEADLINE).await.unwrap();
    let cli = device.connect(Some("cli"), DEADLINE).await.unwrap();
    assert_eq!(console.id, again.id);
    assert!(console.id != cli.id);
    peers[0].has_accepted(1).await;
    assert!(device.disconnect(Some("console"), "done").await.unwrap());
    assert!(!device.disconnect(Some("console"), "done").await.unwrap(), "it is not connected");
    assert!(device.disconnect(Some("rest"), "done").await.is_err(), "there is no such path");
    peers[0].has_ended(1).await;
    assert!(console.state().is_final());
    assert_eq!(cli.state().as_str(), "connected");
    let snapshot = &host.manager().snapshot().devices[0];
    assert_eq!((snapshot.name.as_str(), snapshot.labels["site"].as_str()), ("core1", "lab"));
    let state = |index: usize| snapshot.paths[index].connection.life.as_ref().unwrap().info.state;
    assert_eq!((state(0), state(1)), ("connected", "closed"), "cli, console");
    let anew = device.connect(Some("console"), DEADLINE).await.unwrap();
    assert!(anew.id > console.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_goes_via_the_path_of_another_device_which_goes_via_a_connection() {
    let (first, second) = (Sshd::start().await, Sshd::start().await);
    let peer = TcpPeer::echo().await;
    let options = |sshd: &Sshd| {
        format!(
            "options = {{ key_file = {:?}, known_hosts = {:?} }}",
            sshd.key(),
            sshd.known_hosts()
        )
    };
    let host = TestHost::start(&format!(
        "[connections.bastion]\nuri = \"ssh://{USER}@127.0.0.1:{}\"\n{}\n\
         [devices.jump.paths]\n\
         cli = {{ uri = \"ssh://{USER}@127.0.0.1:{}\", via = \"bastion\", {} }}\n\
         [devices.lamp.paths]\n\
         raw = {{ uri = \"{}\", via = \"devices.jump.cli\" }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.lamp\"\n",
        first.port(),
        options(&first),
        second.port(),
        options(&second),
        peer.uri(),
    ))
    .await;
    for _ in 0..3 {
        assert_eq!(exchange(host.address(0), b"far").await.unwrap(), b"far");
    }
    let life = |named: &str| {
        let snapshot = host.manager().snapshot();
        let all = snapshot.named.into_iter().map(|named| named.connection);
        let bastion = all.into_iter().find(|connection| connection.name == named);
        let paths = snapshot.devices.into_iter().flat_map(|device| device.it.paths);
        let path = paths.map(|path| path.connection).find(|path| path.name == named);
        bastion.or(path).and_then(|found| found.life).map(|life| life.info.state)
    };
    assert_eq!(life("bastion"), Some("connected"));
    // Nothing that a device goes via can be taken away, or be made to lead back.
    let manager = host.manager();
    let gone = manager.destroy("bastion").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::InUse, "{gone}");
    let back = ConnectionConfig {
        uri: "tcp://h:1".parse().unwrap(),
        via: Some("devices.jump.cli".parse().unwrap()),
        ..ConnectionConfig::default()
    };
    let refused =
        manager.define_connection("bastion", back.clone(), Existing::Replace).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
    let onward = ConnectionConfig { uri: peer.uri().parse().unwrap(), ..back };
    manager.define_connection("onward", onward, Existing::Refuse).await.unwrap();
    // Once something has come back, the peer has counted it.
    let session = host.open("connections.onward", json!({})).await.unwrap();
    let (mut stream, mut back) = (session.take_stream().unwrap(), [0; 3]);
    stream.write_all(b"far").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"far");
    assert_eq!(life("devices.jump.cli"), Some("connected"), "one session for all three");
    assert_eq!(peer.accepted(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_are_asked_about_credentials_and_each_mistake_is_where_it_was_written() {
    let folder = tempdir();
    let loaded = load(
        folder.path(),
        "[credentials.lab]\nusername = \"lab\"\npasword = \"x\"\nkeepalive = \"often\"\n\n\
         [devices.a]\ncredentials = \"lab\"\npaths.cli = { uri = \"ssh://127.0.0.1\" }\n",
    );
    let error = jackfield::manager::Manager::start(&loaded).await.unwrap_err().to_string();
    let place = folder.path().join("jackfield.toml");
    let lines: Vec<String> =
        error.lines().map(|line| line.replace(&*place.to_string_lossy(), "")).collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert_eq!(
        lines[0],
        ":3:1: credentials.lab.pasword: no driver that is loaded has such an option \
         (did you mean \"password\"?)"
    );
    assert!(lines[1].starts_with(":4:13: credentials.lab.keepalive: "), "{error}");
}

struct Reads;

impl SessionHandler for Reads {
    fn received<'a>(&'a self, _: &'a Arc<Live>, _: Payload) -> Delivery<'a> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_whose_session_is_lost_is_dialled_again_as_its_keys_say() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = TestHost::start(&format!(
        "[devices.core1.paths.cli]\nuri = \"tcp://{}\"\ncall_timeout = \"7s\"\n\
         reconnect = {{ attempts = -1, first_delay = \"1ms\", max_delay = \"1ms\" }}\n",
        listener.local_addr().unwrap()
    ))
    .await;
    let device = host.manager().device("core1").unwrap();
    let path = device.path(None).unwrap();
    assert_eq!(path.managed().policy().call_timeout.as_secs(), 7);
    let live = device.connect(None, DEADLINE).await.unwrap();
    // Who reads is told of the end at once.
    live.set_handler(Arc::new(Reads)).unwrap();
    drop(listener.accept().await.unwrap());
    let again = tokio::time::timeout(DEADLINE, listener.accept()).await;
    // Held: a peer that closes this one too would be dialled once more.
    let _again = again.expect("dialled again").unwrap();
    live.wait_ready(DEADLINE).await.unwrap();
    assert_eq!(live.info().reconnects, 1, "it is the same connection");
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_paths_are_connected_and_disconnected_with_a_result_each() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = two_paths(&peers).await;
    let manager = host.manager();
    let paths = ["c1.console", "core1.cli", "core1", "core2.cli", "core1.rest"];
    let connected = manager.connect_paths(paths, AllOptions::default()).await;
    let kinds: Vec<_> = connected
        .iter()
        .map(|(name, result)| (name.as_str(), result.as_ref().err().map(Error::kind)))
        .collect();
    let expected = [
        ("c1.console", None),
        ("core1", Some(ErrorKind::Config)),
        ("core1.cli", None),
        ("core1.rest", Some(ErrorKind::NotFound)),
        ("core2.cli", Some(ErrorKind::NotFound)),
    ];
    assert_eq!(kinds, expected);
    let closed =
        manager.disconnect_paths(["core1.console", "none"], "done", AllOptions::default()).await;
    assert_eq!(closed["core1.console"].as_ref().ok(), Some(&true));
    assert_eq!(closed["none"].as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    peers[0].has_ended(1).await;
    let device = manager.device("core1").unwrap();
    let all = device.disconnect_all("done").await;
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        [("cli".to_owned(), true), ("console".to_owned(), false)]
    );
    peers[1].has_ended(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_path_changes_only_when_told_to_and_back() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = two_paths(&peers).await;
    let device = host.manager().device("core1").unwrap();
    device.connect(Some("cli"), DEADLINE).await.unwrap();
    // Connecting one makes it no default.
    assert_eq!(device.path(None).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(device.set_default(Some("clii")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(device.set_default(Some("console")).unwrap(), None);
    {
        let _cli = device.default_for_now("cli").unwrap();
        assert_eq!(device.path(None).unwrap().name(), "cli");
        assert_eq!(host.manager().snapshot().devices[0].default.as_deref(), Some("cli"));
    }
    assert_eq!(device.path(None).unwrap().name(), "console");
    assert_eq!(device.set_default(None).unwrap().as_deref(), Some("console"));
    assert!(device.path(None).is_err());
}
