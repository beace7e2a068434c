//! `host.resolver`: the addresses of host names by a connection or an upstream of the configuration.

use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{
    host::{TestHost, load},
    jackfield::{Config, ran},
    peers::{
        echo::TcpPeer,
        names::{Asked, NamePeer},
    },
    process::{DEADLINE, tempdir},
};

const A: u16 = 1;

/// `echo.test.` is this machine, by IPv4; there are no other names.
fn zone(asked: &Asked<'_>) -> Vec<u8> {
    match (asked.name().as_str(), asked.rtype()) {
        ("echo.test.", A) => asked.addresses(300, &[[127, 0, 0, 1]]),
        ("echo.test.", _) => asked.answer(0x8180, &[]),
        _ => asked.answer(0x8183, &[]),
    }
}

async fn server() -> NamePeer {
    NamePeer::start(|asked| vec![zone(&asked)]).await
}

fn by_connection(peer: &NamePeer) -> String {
    let uri = peer.uri();
    format!("[host]\nresolver = [\"connections.names\"]\n[connections.names]\nuri = \"{uri}\"\n")
}

/// A session to the echo behind a name carries bytes.
async fn reaches(host: &TestHost, echo: &TcpPeer) {
    let uri = format!("tcp://echo.test:{}", echo.port());
    let opened = timeout(DEADLINE, host.open(&uri, json!({}))).await.expect("in time");
    let session = opened.unwrap_or_else(|error| panic!("{error}"));
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"over a name").await.unwrap();
    let mut back = [0; 11];
    timeout(DEADLINE, stream.read_exact(&mut back)).await.expect("in time").unwrap();
    assert_eq!(&back, b"over a name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_asked_for_names_and_its_driver_keeps_the_answers() {
    let (peer, echo) = (server().await, TcpPeer::echo().await);
    let host = TestHost::start(&by_connection(&peer)).await;
    reaches(&host, &echo).await;
    let asked = peer.asked();
    assert!((1..=2).contains(&asked), "once for each family: {asked}");
    for _ in 0..3 {
        reaches(&host, &echo).await;
    }
    // That there is no address of IPv6 comes without a word of how long that holds, so it is asked again.
    assert!(peer.asked() <= asked + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_there_is_an_error_that_says_who_was_asked() {
    let peer = server().await;
    let host = TestHost::start(&by_connection(&peer)).await;
    let error = host.open("tcp://nobody.test:1", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    for part in ["nobody.test", "connections.names", "no such name"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // Datagrams resolve in the same place.
    let error = host.open("udp://nobody.test:1", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_servers_one_that_does_not_answer_is_passed_over() {
    let (silent, peer) = (NamePeer::start(|_| Vec::new()).await, server().await);
    let echo = TcpPeer::echo().await;
    let host = TestHost::start(&format!(
        "[host]\nresolver = [\"connections.first\", \"upstreams.second\"]\n\
         [connections.first]\nuri = \"{}?timeout=0.1\"\n[upstreams.second]\ntargets = [\"{}\"]\n",
        silent.uri(),
        peer.uri()
    ))
    .await;
    for _ in 0..2 {
        reaches(&host, &echo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_and_addresses_are_not_asked_for() {
    let (peer, echo) = (server().await, TcpPeer::echo().await);
    let host = TestHost::start(&by_connection(&peer)).await;
    for name in ["localhost", "127.0.0.1"] {
        host.open(&format!("tcp://{name}:{}", echo.port()), json!({})).await.unwrap();
    }
    assert_eq!(peer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_resolves_by_the_same() {
    let (peer, echo) = (server().await, TcpPeer::echo().await);
    let config = Config::new(&by_connection(&peer));
    let uri = format!("tcp://echo.test:{}", echo.port());
    let file = config.file();
    let said = ran(&["connect", &uri, "--config", &file], "over a name").await.ok();
    assert_eq!(said.text(), "over a name");
}

#[test]
fn a_resolver_that_would_have_to_look_itself_up_is_a_mistake() {
    let folder = tempdir();
    for (toml, said) in [
        ("[connections.names]\nuri = \"dns://ns.test\"", "by its IP address"),
        ("[connections.nomes]\nuri = \"dns://127.0.0.1\"", "connections.nomes"),
    ] {
        let toml = format!("[host]\nresolver = [\"connections.names\"]\n{toml}\n");
        let file = folder.path().join("jackfield.toml");
        std::fs::write(&file, toml).unwrap();
        let loaded = jackfield::config::load(&[file], &jackfield::config::Overrides::new());
        let errors = loaded.expect_err("a mistake").to_string();
        assert!(errors.contains(said) && errors.contains("host.resolver"), "{errors}");
    }
    let _ = load(
        folder.path(),
        "[host]\nresolver = [\"connections.n\"]\n[connections.n]\nuri = \"dns://[::1]:53\"\n",
    );
}

/// Records of `_echo._tcp.test.`: priority, weight and port of each; the host is `echo.test.`.
type Services = std::sync::Arc<std::sync::Mutex<Vec<(u16, u16, u16)>>>;

const SRV: u16 = 33;

async fn zone_with(services: &Services) -> NamePeer {
    let services = std::sync::Arc::clone(services);
    NamePeer::start(move |asked| {
        if (asked.name().as_str(), asked.rtype()) != ("_echo._tcp.test.", SRV) {
            return vec![zone(&asked)];
        }
        let data = |(priority, weight, port): &(u16, u16, u16)| {
            let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
            (SRV, 0, [numbers.as_slice(), b"\x04echo\x04test\0"].concat())
        };
        let records: Vec<_> = services.lock().unwrap().iter().map(data).collect();
        vec![if records.is_empty() {
            asked.answer(0x8183, &[])
        } else {
            asked.answer(0x8180, &records)
        }]
    })
    .await
}

/// Waits until the upstream has these targets beside its own: names, weights and priorities.
async fn found(host: &TestHost, expected: &[(String, u32, u32)]) {
    let mut expected = expected.to_vec();
    expected.push(("tcp://127.0.0.1:9".to_owned(), 1, 1000));
    expected.sort();
    let looking = async {
        loop {
            let targets = host.manager().upstream("echo").unwrap().snapshot().targets;
            let mut all: Vec<_> = targets
                .into_iter()
                .map(|target| (target.name.clone(), target.weight, target.priority))
                .collect();
            all.sort();
            if all == expected {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("expected {expected:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_follow_the_records_of_a_service_and_sessions_run_on() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let services = Services::default();
    *services.lock().unwrap() = vec![(10, 3, first.port())];
    let peer = zone_with(&services).await;
    let host = TestHost::start(&format!(
        "{}[upstreams.echo]\ntargets = [{{ uri = \"tcp://127.0.0.1:9\", priority = 1000 }}]\n\
         discover = {{ services = [\"tcp://_echo._tcp.test\"], least_interval = \"20ms\" }}\n",
        by_connection(&peer)
    ))
    .await;
    let name = |peer: &TcpPeer| format!("tcp://echo.test:{}", peer.port());
    found(&host, &[(name(&first), 3, 0)]).await;
    let session = host.open("upstreams.echo", json!({})).await.unwrap();
    let mut stream = session.take_stream().unwrap();

    *services.lock().unwrap() = vec![(10, 3, first.port()), (20, 1, second.port())];
    found(&host, &[(name(&first), 3, 0), (name(&second), 1, 1)]).await;

    *services.lock().unwrap() = vec![(20, 1, second.port())];
    found(&host, &[(name(&second), 1, 0)]).await;
    stream.write_all(b"still there").await.unwrap();
    let mut back = [0; 11];
    timeout(DEADLINE, stream.read_exact(&mut back)).await.expect("in time").unwrap();
    host.open("upstreams.echo", json!({})).await.unwrap();
    second.has_accepted(1).await;

    services.lock().unwrap().clear();
    found(&host, &[]).await;
}

/// Waits until what was changed at run time is this.
async fn drifts(host: &TestHost, expected: &[String]) {
    let looking = async {
        while host.manager().run_time_layer().drift != expected {
            tokio::task::yield_now().await;
        }
    };
    let looked = timeout(DEADLINE, looking).await;
    looked.unwrap_or_else(|_| panic!("{:?}", host.manager().run_time_layer().drift));
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_were_found_are_no_drift_and_stay_when_what_was_changed_is_reset() {
    let services = Services::default();
    *services.lock().unwrap() = vec![(0, 3, 7)];
    let peer = zone_with(&services).await;
    let host = TestHost::start(&format!(
        "{}[upstreams.echo]\ntargets = [{{ uri = \"tcp://127.0.0.1:9\", priority = 1000 }}]\n\
         discover = {{ services = [\"tcp://_echo._tcp.test\"], least_interval = \"20ms\" }}\n",
        by_connection(&peer)
    ))
    .await;
    let (manager, name) = (host.manager(), "tcp://echo.test:7");
    found(&host, &[(name.to_owned(), 3, 0)]).await;
    let revision = manager.revision("upstreams.echo");
    drifts(&host, &[]).await;
    assert!(manager.run_time_layer().upstreams.is_empty());

    manager.weigh_target("echo", name, 5).unwrap();
    drifts(&host, &[format!("upstreams.echo: target {name} has weight 5, not 3")]).await;
    // What was set holds for another record of its name, too.
    *services.lock().unwrap() = vec![(0, 4, 7), (1, 1, 8)];
    let second = ("tcp://echo.test:8".to_owned(), 1, 1);
    found(&host, &[(name.to_owned(), 5, 0), second.clone()]).await;
    drifts(&host, &[format!("upstreams.echo: target {name} has weight 5, not 4")]).await;

    manager.reset_run_time_layer().await.unwrap();
    found(&host, &[(name.to_owned(), 4, 0), second]).await;
    drifts(&host, &[]).await;
    let changed = manager.revision("upstreams.echo");
    assert!(changed > revision, "{changed:?}");

    // That the zone says something else is no other definition.
    *services.lock().unwrap() = vec![(0, 4, 7)];
    found(&host, &[(name.to_owned(), 4, 0)]).await;
    assert_eq!(manager.revision("upstreams.echo"), changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_stay_as_they_are_while_nobody_answers() {
    let first = TcpPeer::echo().await;
    let services = Services::default();
    *services.lock().unwrap() = vec![(0, 0, first.port())];
    let peer = zone_with(&services).await;
    let host = TestHost::start(&format!(
        "{}[upstreams.echo]\ntargets = [{{ uri = \"tcp://127.0.0.1:9\", priority = 1000 }}]\n\
         discover = {{ services = [\"tcp://_echo._tcp.test\"], least_interval = \"5ms\", \
         most_interval = \"5ms\" }}\n",
        by_connection(&peer)
    ))
    .await;
    let there = [(format!("tcp://echo.test:{}", first.port()), 1, 0)];
    found(&host, &there).await;
    drop(peer);
    let failed = async {
        loop {
            let connection = host.manager().connection("names").await.unwrap();
            if connection
                .call("resolve", &json!({ "name": "x.test", "cache": false }))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    timeout(DEADLINE, failed).await.expect("in time");
    found(&host, &there).await;
}

#[test]
fn services_need_a_resolver_and_a_name() {
    let folder = tempdir();
    let with =
        "[host]\nresolver = [\"connections.n\"]\n[connections.n]\nuri = \"dns://10.0.0.1\"\n";
    for (before, service, said) in [
        ("", "http://_http._tcp.test", "host.resolver"),
        (with, "http://_http._tcp.test:80", "no port"),
        (with, "http://10.0.0.1", "the name of a service"),
    ] {
        let toml = format!(
            "{before}[upstreams.u]\ntargets = [\"http://10.0.0.9\"]\ndiscover = {{ services = [\"{service}\"] }}\n"
        );
        let file = folder.path().join("jackfield.toml");
        std::fs::write(&file, toml).unwrap();
        let loaded = jackfield::config::load(&[file], &jackfield::config::Overrides::new());
        let errors = loaded.expect_err("a mistake").to_string();
        assert!(errors.contains(said) && errors.contains("discover.services"), "{errors}");
    }
}
