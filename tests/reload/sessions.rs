//! What a change does to listeners and to sessions: to those that it is of, and to the others nothing.

use std::{fs, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jackfield::config::diff::Effect;
use jackfield_plugin_api::Message;
use tokio::net::TcpStream;

use super::{Changing, echoed, free, greeting, route, soon};
use crate::support::{host::exchange, jackfield::beside, peers::echo::TcpPeer, process::DEADLINE};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_what_stays_survive_a_hundred_reloads_of_other_things() {
    let (echo, other) = (TcpPeer::echo().await, TcpPeer::sending("hello").await);
    let (tcp, ws, changing) = (free(), free(), free());
    let config = |round: usize| {
        let (kept, more) = (echo.uri(), other.uri());
        format!(
            "[upstreams.kept]\ntargets = [\"{kept}\"]\n[handlers.echo]\n[connections.line]\nuri = \"{kept}\"\n\
             [upstreams.other]\ntargets = [\"{more}\"]\nretry.attempts = {}\n\
             [handlers.reply]\noptions = {{ body = \"{round}\" }}\n\
             [connections.c{round}]\nuri = \"{more}\"\n\
             {}[[routes]]\nlisten = \"ws://{ws}/\"\nto = \"handlers.echo\"\n{}max_connections = {}\n",
            2 + round % 3,
            route(tcp, "upstreams.kept"),
            route(changing, "upstreams.other"),
            10 + round,
        )
    };
    let host = Changing::start(&config(0)).await;
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let session = host.manager.open(&format!("ws://{ws}/"), &serde_json::Map::new()).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    let line = host.manager.get_or_connect("line", DEADLINE).await.unwrap();
    assert!(echoed(&mut stream).await);
    let accepted = host.manager.count().accepted_total;
    for round in 1..=100 {
        let report = host.reload(&config(round)).await;
        assert_eq!(report.version, 1 + round as u64);
        let text = report.to_string();
        assert!(!text.contains("kept") && !text.contains("ws://"), "{text}");
        assert!(echoed(&mut stream).await, "tcp after reload {round}");
        messages.send(Message::text("x")).await.unwrap();
        assert!(messages.next().await.unwrap().unwrap() == Message::text("x"), "ws after {round}");
    }
    assert_eq!(greeting(changing).await, "hello");
    assert!(std::sync::Arc::ptr_eq(&line, &host.manager.connection("line").await.unwrap().live()));
    assert_eq!(line.state(), jackfield::connection::State::Connected);
    assert_eq!(host.manager.count().accepted_total, accepted + 1, "no peer came again");
    assert_eq!(host.manager.defined(), 2, "line and the connection of the last round");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_keeps_its_socket_while_its_route_changes() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let to = |peer: &TcpPeer| route(([127, 0, 0, 1], 0).into(), &peer.uri());
    let host = Changing::start(&to(&one)).await;
    let listeners = host.manager.listeners();
    let address = listeners[0].local.as_ref().and_then(|local| local.socket()).unwrap();
    let stopping = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = std::sync::Arc::clone(&stopping);
    let clients = tokio::spawn(async move {
        let mut count = 0;
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            let text = greeting(address).await;
            assert!(text == "one" || text == "two", "{text:?}");
            count += 1;
        }
        count
    });
    for round in 0..50 {
        let report = host.reload(&to(if round % 2 == 0 { &two } else { &one })).await;
        assert_eq!(report.changes.iter().next().unwrap().effect, Effect::NewSessions);
    }
    stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(clients.await.unwrap() > 0, "none was refused");
    assert_eq!(greeting(address).await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_from_then_on_has_the_new_layers_and_limits() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let config = |more: &str| {
        format!("[[routes]]\nlisten = \"ws://{address}/\"\nto = \"{}\"\n{more}", echo.uri())
    };
    let host = Changing::start(&config("")).await;
    let open = async |max: usize| {
        let session =
            host.manager.open(&format!("ws://{address}/"), &serde_json::Map::new()).await?;
        let mut messages = session.take_messages().unwrap();
        messages.send(Message::binary(vec![7; max])).await?;
        let mut count = 0;
        while count < max {
            let Some(message) = messages.next().await else { break };
            count += message?.payload.len();
        }
        Ok::<_, jackfield_plugin_api::Error>((count, session, messages))
    };
    let (count, session, mut messages) = open(2000).await.unwrap();
    assert_eq!(count, 2000);
    let report = host.reload(&config("options = { max_message = 1024 }\n")).await;
    let change = report.changes.iter().next().unwrap();
    assert_eq!(
        (change.effect, change.keys[0].key.as_str()),
        (Effect::NewSessions, "options.max_message")
    );
    assert!(open(2000).await.map_or(0, |(count, ..)| count) < 2000, "too large now");
    // The one before has what it had.
    messages.send(Message::binary(vec![7; 2000])).await.unwrap();
    let mut count = 0;
    while count < 2000 {
        count += messages.next().await.unwrap().unwrap().payload.len();
    }
    drop(session);
    let report = host.reload(&config("allow = [\"10.0.0.0/8\"]\n")).await;
    assert_eq!(report.changes.iter().next().unwrap().effect, Effect::NewSessions);
    assert!(open(1).await.is_err(), "this address is not let in any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_of_the_transport_begins_the_listener_anew_and_sessions_go_on() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let at_once = "[host]\nshutdown_timeout = \"0s\"\n";
    let host = Changing::start(&format!("{at_once}{}", route(address, &echo.uri()))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut stream).await);
    let config =
        format!("{at_once}{}options = {{ nodelay = false }}\n", route(address, &echo.uri()));
    let report = host.reload(&config).await;
    assert_eq!(report.changes.iter().next().unwrap().effect, Effect::Restart);
    assert_eq!(exchange(address, b"over").await.unwrap(), b"over");
    assert!(echoed(&mut stream).await);
    assert_eq!(host.manager.listeners().len(), 1);
    // The same address under another stack: what needs it takes it when the other has let go.
    let ws =
        format!("{at_once}[[routes]]\nlisten = \"ws://{address}/\"\nto = \"{}\"\n", echo.uri());
    host.reload(&ws).await;
    host.manager.open(&format!("ws://{address}/"), &serde_json::Map::new()).await.unwrap();
    assert!(echoed(&mut stream).await, "it drains");
    assert!(host.manager.shutdown().await >= 1, "the end of the host ends what drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_drains_and_is_closed_when_its_time_is_over() {
    let echo = TcpPeer::echo().await;
    let (kept, gone) = (free(), free());
    let config = |within: &str, gone: &str| {
        format!(
            "[reload.drain]\nwithin = \"{within}\"\nspread = \"20ms\"\n{}{gone}",
            route(kept, &echo.uri())
        )
    };
    let with = config("1h", &route(gone, &echo.uri()));
    let host = Changing::start(&with).await;
    let mut staying = TcpStream::connect(kept).await.unwrap();
    let mut long = TcpStream::connect(gone).await.unwrap();
    assert!(echoed(&mut long).await && echoed(&mut staying).await);
    let report = host.reload(&config("1h", "")).await;
    assert_eq!(report.changes.to_string(), format!("removed routes.tcp://{gone} (drain)"));
    assert!(TcpStream::connect(gone).await.is_err());
    assert!(echoed(&mut long).await, "it has an hour");
    host.reload(&with).await;
    let mut short = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(gone).await.unwrap();
        assert!(echoed(&mut stream).await);
        short.push(stream);
    }
    host.reload(&config("10ms", "")).await;
    for stream in &mut short {
        let mut end = [0];
        let end = tokio::io::AsyncReadExt::read(stream, &mut end);
        let ended =
            tokio::time::timeout(DEADLINE, end).await.expect("the end of a drained session");
        assert!(ended.is_err() || ended.is_ok_and(|count| count == 0));
    }
    assert!(echoed(&mut staying).await && echoed(&mut long).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_come_and_go_while_the_others_keep_their_pools() {
    let (one, two) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let config = |targets: &str| {
        format!("[upstreams.u]\ntargets = [{targets}]\npool = {{ max_size = 3, min_idle = 2 }}\n")
    };
    let (first, second) = (format!("\"{}\"", one.uri()), format!("\"{}\"", two.uri()));
    let host = Changing::start(&config(&first)).await;
    one.has_accepted(2).await;
    let upstream = host.manager.upstream("u").unwrap();
    let report = host.reload(&config(&format!("{first}, {second}"))).await;
    assert_eq!(report.changes.to_string(), "changed upstreams.u: targets (live)");
    two.has_accepted(2).await;
    assert!(std::sync::Arc::ptr_eq(&upstream, &host.manager.upstream("u").unwrap()));
    let weighed = format!("{{ uri = {first}, weight = 0 }}, {second}");
    host.reload(&config(&weighed)).await;
    let weights: Vec<u32> =
        upstream.snapshot().targets.iter().map(|target| target.status.weight).collect();
    assert_eq!(weights, [0, 1]);
    host.reload(&config(&second)).await;
    assert_eq!(upstream.snapshot().targets.len(), 1);
    assert_eq!((one.accepted(), two.accepted()), (2, 2), "no pool was filled again");
    // Another key of the upstream makes another one of it.
    host.reload(&format!("{}balance = \"random\"\n", config(&second))).await;
    assert!(!std::sync::Arc::ptr_eq(&upstream, &host.manager.upstream("u").unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_unless_it_leads_elsewhere() {
    let (one, two) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let config = |peer: &TcpPeer, more: &str| {
        format!(
            "[reload.drain]\nwithin = \"1ms\"\n[connections.c]\nuri = \"{}\"\n{more}",
            peer.uri()
        )
    };
    let host = Changing::start(&config(&one, "")).await;
    let managed = host.manager.connection("c").await.unwrap();
    let life = managed.connect(DEADLINE).await.unwrap();
    let report = host.reload(&config(&one, "call_timeout = \"3s\"\n")).await;
    let expected = "changed connections.c: call_timeout default -> \"3s\" (new_sessions)";
    assert_eq!(report.to_string(), expected);
    assert!(std::sync::Arc::ptr_eq(&life, &managed.live()) && managed.is_connected());
    assert_eq!(managed.policy().call_timeout, Duration::from_secs(3));
    let report = host.reload(&config(&two, "")).await;
    assert_eq!(report.changes.iter().next().unwrap().effect, Effect::Drain);
    life.wait_closed().await;
    managed.connect(DEADLINE).await.unwrap();
    two.has_accepted(1).await;
    host.reload("").await;
    assert_eq!(host.manager.defined(), 0);
    soon("its end", async || managed.state().is_final()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_of_a_driver_has_the_effect_that_its_schema_says() {
    let folder = crate::support::process::tempdir();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::copy(beside("libprobe.so"), folder.path().join("plugins/probe.so")).unwrap();
    let config = |options: &str| {
        format!(
            "[host]\nplugins = [\"plugins\"]\ncache = \"cache\"\n[connections.c]\nuri = \"probe://x\"\noptions = {{ {options} }}\n"
        )
    };
    let host = Changing::start_in(folder, &config("")).await;
    let managed = host.manager.connection("c").await.unwrap();
    let mut life = managed.connect(DEADLINE).await.unwrap();
    let mut options = String::new();
    for (option, effect, goes_on) in [
        ("reset = \"fails\"", Effect::Live, true),
        (", depth = 2", Effect::NewSessions, true),
        (", label = \"a\"", Effect::Restart, false),
    ] {
        options.push_str(option);
        let report = host.reload(&config(&options)).await;
        let change = report.changes.iter().next().unwrap();
        assert_eq!(change.effect, effect, "{report}");
        if goes_on {
            assert!(std::sync::Arc::ptr_eq(&life, &managed.live()), "{option}");
        } else {
            life.wait_closed().await;
            life = managed.connect(DEADLINE).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_keeps_its_lease_and_its_user_when_another_key_of_it_changes() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let config = |more: &str| {
        format!(
            "[devices.d.paths.console]\nuri = \"{}\"\nexclusive = true\n{more}{}",
            echo.uri(),
            route(address, "devices.d.console")
        )
    };
    let host = Changing::start(&config("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut stream).await);
    let path = || host.manager.device("d").unwrap().path(None).unwrap();
    let before = path();
    host.reload(&config("call_timeout = \"3s\"\n")).await;
    assert!(echoed(&mut stream).await);
    assert!(std::sync::Arc::ptr_eq(before.managed(), path().managed()));
    assert!(std::sync::Arc::ptr_eq(before.lease().unwrap(), path().lease().unwrap()));
    assert_eq!(path().managed().policy().call_timeout, Duration::from_secs(3));
    host.reload(&format!("[devices.e.paths.p]\nuri = \"{}\"\n", echo.uri())).await;
    assert!(host.manager.device("d").is_err() && host.manager.device("e").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_via_a_connection_and_what_a_route_leads_to_follow() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let config = |peer: &TcpPeer| {
        format!(
            "[connections.c]\nuri = \"{}\"\n[upstreams.u]\ntargets = [\"connections.c\"]\n{}",
            peer.uri(),
            route(address, "upstreams.u")
        )
    };
    let host = Changing::start(&config(&one)).await;
    assert_eq!(greeting(address).await, "one");
    let report = host.reload(&config(&two)).await;
    let text = report.to_string();
    assert!(text.contains("upstreams.u: targets.0 (live, connections.c is another one)"), "{text}");
    assert_eq!(greeting(address).await, "two");
    // What is new may be built on what is new.
    let both =
        format!("{}[connections.d]\nuri = \"{}\"\n", route(free(), "connections.d"), one.uri());
    host.reload(&format!("{both}{}", config(&two))).await;
    assert_eq!(host.manager.listeners().len(), 2);
}
