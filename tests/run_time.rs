//! What a program adds, changes and takes away while a host runs: routes, upstreams and handlers, beside what
//! its file says.

use std::{net::SocketAddr, time::Duration};

use jackfield::{
    config::model::{HandlerConfig, RouteConfig, UpstreamConfig},
    manager::{DefinedBy, Existing, Manager, RunningListener},
};
use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    host::{TestHost, exchange},
    peers::{curl::curl, echo::TcpPeer},
    ports,
    process::DEADLINE,
};

/// The definition that JSON is.
macro_rules! of {
    ($value:expr) => {
        serde_json::from_value($value).unwrap()
    };
}

fn route(listen: &str, to: &str) -> RouteConfig {
    of!(json!({ "listen": listen, "to": to }))
}

/// What a connection to `address` is greeted with.
async fn greeting(address: SocketAddr) -> String {
    String::from_utf8(exchange(address, b"").await.unwrap()).unwrap()
}

async fn added(manager: &Manager, listen: &str, to: &str) -> RunningListener {
    manager.add_route(route(listen, to), Existing::Refuse).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_added_changed_and_taken_away_while_what_it_accepted_goes_on() {
    let (echo, hello) = (TcpPeer::echo().await, TcpPeer::sending("hello").await);
    let host = TestHost::start("").await;
    let manager = host.manager();
    let listen = format!("tcp://127.0.0.1:{}", ports::free());
    let running = added(manager, &listen, &echo.uri()).await;
    let address = running.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"x").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();

    // An equal one is used again; another one only replaces it if it is told to.
    let again = added(manager, &listen, &echo.uri()).await;
    assert_eq!((again.local_addr(), manager.listeners().len()), (Some(address), 1));
    let other = || route(&listen, &hello.uri());
    let refused = manager.add_route(other(), Existing::Refuse).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse, "{refused}");
    let changed = manager.add_route(other(), Existing::Replace).await.unwrap();
    assert_eq!((changed.local_addr(), &*changed.leads_to()), (Some(address), &*hello.uri()));
    assert_eq!(greeting(address).await, "hello");
    client.write_all(b"y").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();

    // One that listens otherwise is begun anew, at the same address.
    let narrow: RouteConfig =
        of!(json!({ "listen": listen, "to": echo.uri(), "max_connections": 7 }));
    let begun = manager.add_route(narrow, Existing::Replace).await.unwrap();
    assert_eq!(exchange(address, b"over").await.unwrap(), b"over");
    assert_eq!(manager.listeners()[0].defined_by, DefinedBy::Call);
    begun.close_within(Duration::ZERO).await;
    assert!(TcpStream::connect(address).await.is_err() && manager.listeners().is_empty());
    client.write_all(b"z").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_of_the_file_stops_by_itself_too() {
    let echo = TcpPeer::echo().await;
    let route = format!("[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{}\"\n", echo.uri());
    let host = TestHost::start(&format!("{route}{route}")).await;
    let (first, second) = (host.address(0), host.address(1));
    assert_eq!(host.manager().listeners()[0].defined_by, DefinedBy::Config);
    host.manager().listener(&first.to_string()).unwrap().close().await;
    assert!(TcpStream::connect(first).await.is_err());
    assert_eq!(exchange(second, b"over").await.unwrap(), b"over");
    let gone = host.manager().listener(&first.to_string()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(gone.to_string().contains("tcp://127.0.0.1:0"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_cannot_work_are_refused_with_the_key_and_nothing_listens() {
    let host = TestHost::start("[handlers.echo]\n").await;
    let manager = host.manager();
    for (wrong, kind, text) in [
        (json!({ "listen": "tcp://127.0.0.1:0" }), ErrorKind::Config, "to: "),
        (json!({ "to": "handlers.echo" }), ErrorKind::Config, "listen: "),
        (
            json!({ "listen": "tcp://127.0.0.1:0", "to": "handlers.ecko" }),
            ErrorKind::NotFound,
            "did you mean \"echo\"",
        ),
        (
            json!({ "listen": "tcp://127.0.0.1:0", "to": "handlers.echo", "hash": "identity" }),
            ErrorKind::Config,
            "consistent_hash",
        ),
        (
            json!({ "listen": "tcp://127.0.0.1:0", "to": "handlers.echo",
                    "options": { "nodelei": true } }),
            ErrorKind::Config,
            "nodelay",
        ),
        (json!({ "listen": "nope://x", "to": "handlers.echo" }), ErrorKind::NotFound, "nope"),
    ] {
        let refused = manager.add_route(of!(wrong.clone()), Existing::Refuse).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{wrong}: {refused}");
        assert!(refused.to_string().contains(text), "{wrong}: {refused}");
    }
    assert!(manager.listeners().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_an_upstream_that_is_replaced_and_keep_it_from_going() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let host = TestHost::start("").await;
    let manager = host.manager();
    let upstream = |peer: &TcpPeer| -> UpstreamConfig { of!(json!({ "targets": [peer.uri()] })) };
    let first = manager.define_upstream("u", upstream(&one), Existing::Refuse).await.unwrap();
    let again = manager.define_upstream("u", upstream(&one), Existing::Replace).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again), "an equal one is used again");
    let running = added(manager, "tcp://127.0.0.1:0", "upstreams.u").await;
    let address = running.local_addr().unwrap();
    assert_eq!(greeting(address).await, "one");

    let refused = manager.define_upstream("u", upstream(&two), Existing::Refuse).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InUse);
    manager.define_upstream("u", upstream(&two), Existing::Replace).await.unwrap();
    assert_eq!(greeting(address).await, "two");
    manager.add_target("u", of!(json!(one.uri()))).await.unwrap();
    let snapshot = manager.snapshot();
    let found = &snapshot.upstreams[0];
    assert_eq!((found.defined_by, &found.added), (DefinedBy::Call, &vec![one.uri()]));

    let led_to = manager.remove_upstream("u", DEADLINE).await.unwrap_err();
    assert_eq!(led_to.kind(), ErrorKind::InUse, "{led_to}");
    running.close().await;
    manager.remove_upstream("u", DEADLINE).await.unwrap();
    assert_eq!(manager.upstream("u").unwrap_err().kind(), ErrorKind::NotFound);

    for (wrong, text) in [
        (json!({ "targets": [] }), "at least one target"),
        (json!({ "targets": ["tcp://h:1"], "retry": { "attempts": 0 } }), "retry.attempts"),
        (json!({ "targets": ["tcp://h:1"], "pool": { "share": 2 } }), "pool.share"),
    ] {
        let refused = manager.define_upstream("v", of!(wrong), Existing::Refuse).await.unwrap_err();
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_does_by_itself_begins_when_it_is_defined() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start("").await;
    let config = json!({
        "targets": [peer.uri()], "pool": { "max_size": 3, "min_idle": 2 },
        "health": { "interval": "50ms", "timeout": "5s" },
    });
    host.manager().define_upstream("u", of!(config), Existing::Refuse).await.unwrap();
    // Two sessions that are kept open, and checks that have one of their own each.
    peer.has_accepted(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_a_handler_that_is_replaced_and_keep_it_from_going() {
    let host = TestHost::start("").await;
    let manager = host.manager();
    let reply = |text: &str| -> HandlerConfig {
        of!(json!({ "handler": "reply", "options": { "body": text } }))
    };
    let define =
        async |text: &str, existing| manager.define_handler("r", reply(text), existing).await;
    define("one", Existing::Refuse).await.unwrap();
    let running = added(manager, "http://127.0.0.1:0", "handlers.r").await;
    let address = running.local_addr().unwrap();
    let get = async || curl(None, &["-s", &format!("http://{address}/")]).await.ok().text();
    assert_eq!(get().await, "one");
    assert_eq!(define("two", Existing::Refuse).await.unwrap_err().kind(), ErrorKind::InUse);
    define("one", Existing::Refuse).await.unwrap();
    define("two", Existing::Replace).await.unwrap();
    assert_eq!(get().await, "two");
    assert_eq!(manager.snapshot().handlers[0].handler, "reply");
    assert_eq!(manager.remove_handler("r").unwrap_err().kind(), ErrorKind::InUse);
    running.close().await;
    manager.remove_handler("r").unwrap();
    assert_eq!(manager.remove_handler("r").unwrap_err().kind(), ErrorKind::NotFound);
}
