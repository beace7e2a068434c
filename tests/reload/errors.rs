//! A change with a mistake anywhere is not taken over at all, and the mistake has its place.

use std::fs;

use tokio::net::{TcpListener, TcpStream};

use super::{Changing, echoed, free, greeting, route, without_folder};
use crate::support::{host::exchange, peers::echo::TcpPeer};

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_mistake_has_its_place_and_changes_nothing() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let (address, other) = (free(), free());
    let good = route(address, &one.uri());
    let host = Changing::start(&good).await;
    // A change that could be made stands before each mistake.
    let changed = format!("{}{}", route(address, &two.uri()), route(other, &two.uri()));
    for (wrong, expected) in [
        ("nonsense\n", "jackfield.toml:7:9: "),
        (
            "[connections.c]\nuri = \"tcp://h:1\"\ncolour = 1\n",
            "jackfield.toml:9:1: connections.c.colour: unknown key",
        ),
        ("[connections.c]\nuri = \"tco://h:1\"\n", "jackfield.toml:8:7: connections.c.uri: "),
        (
            "[connections.c]\nuri = \"tcp://h:1\"\noptions = { nodelei = true }\n",
            "jackfield.toml:9:13: connections.c.options.nodelei: ",
        ),
        (
            "[handlers.reply]\noptions = { boddy = \"x\" }\n",
            "jackfield.toml:8:13: handlers.reply.options.boddy: ",
        ),
        (
            "[connections.c]\nuri = \"ssh://u@h\"\noptions = { password = { file = \"none\" } }\n",
            "jackfield.toml:9:13: connections.c.options.password: ",
        ),
        (
            "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.u\"\n",
            "jackfield.toml:9:6: routes.2.to: ",
        ),
        (
            "[upstreams.u]\ntargets = [\"connections.none\"]\n",
            "jackfield.toml:8:12: upstreams.u.targets.0",
        ),
        (
            "[connections.c]\nuri = \"tcp://${JACKFIELD_TEST_NOT_SET}\"\n",
            "jackfield.toml:8:7: connections.c.uri: the environment variable",
        ),
    ] {
        let mistakes = host.mistakes(&format!("{changed}{wrong}")).await;
        assert!(mistakes.starts_with(expected), "{mistakes}\nexpected {expected}");
        assert_eq!(greeting(address).await, "one", "{wrong}");
        assert!(TcpStream::connect(other).await.is_err(), "{wrong}");
    }
    let include = format!("include = [\"gone.toml\"]\n{changed}");
    assert!(host.mistakes(&include).await.starts_with("jackfield.toml:1:12: include: gone.toml: "));
    assert_eq!(host.reloader.history().await.len(), 1);
    host.reload(&changed).await;
    assert_eq!((greeting(address).await, greeting(other).await), ("two".into(), "two".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_changes_nothing_else() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let (address, other) = (free(), free());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Changing::start(&route(address, &one.uri())).await;
    let changed = format!(
        "[connections.c]\nuri = \"{}\"\n{}{}{}",
        two.uri(),
        route(address, &two.uri()),
        route(other, &two.uri()),
        route(taken.local_addr().unwrap(), &two.uri())
    );
    let mistakes = host.mistakes(&changed).await;
    assert!(mistakes.starts_with("jackfield.toml:10:10: routes.2.listen: "), "{mistakes}");
    assert_eq!(greeting(address).await, "one");
    assert!(TcpStream::connect(other).await.is_err());
    assert_eq!((host.manager.defined(), host.manager.listeners().len()), (0, 1));
    drop(taken);
    host.reload(&changed).await;
    assert_eq!(host.manager.listeners().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_stopped_for_another_is_begun_again_when_that_fails() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Changing::start(&route(address, &echo.uri())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut stream).await);
    // The first one needs the address that is in use, and the second one cannot have its own.
    let ws = format!("[[routes]]\nlisten = \"ws://{address}/\"\nto = \"{}\"\n", echo.uri());
    let anew = format!(
        "{ws}[[routes]]\nlisten = \"tcp://{}\"\nto = \"{}\"\n",
        taken.local_addr().unwrap(),
        echo.uri()
    );
    let mistakes = host.mistakes(&anew).await;
    assert!(mistakes.contains("routes.1.listen: "), "{mistakes}");
    assert_eq!(exchange(address, b"over").await.unwrap(), b"over");
    assert!(echoed(&mut stream).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_has_added_keeps_what_it_uses() {
    let echo = TcpPeer::echo().await;
    let with = format!("[upstreams.u]\ntargets = [\"{}\"]\n", echo.uri());
    let host = Changing::start(&with).await;
    let route = serde_json::from_value(
        serde_json::json!({ "listen": "tcp://127.0.0.1:0", "to": "upstreams.u" }),
    );
    let existing = jackfield::manager::Existing::Refuse;
    let running = host.manager.add_route(route.unwrap(), existing).await.unwrap();
    let address = running.local_addr().unwrap();
    let mistakes = host.mistakes("").await;
    assert!(
        mistakes.contains("upstreams.u is used by the route of tcp://127.0.0.1:0"),
        "{mistakes}"
    );
    host.reload(&format!("[connections.c]\nuri = \"{}\"\n{with}", echo.uri())).await;
    assert_eq!(exchange(address, b"over").await.unwrap(), b"over");
    running.close().await;
    host.reload("").await;
    assert!(host.manager.upstreams().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_two_files_is_told_with_both_places() {
    let host = Changing::start("include = [\"d/*.toml\"]\n").await;
    fs::create_dir(host.path("d")).unwrap();
    for file in ["d/a.toml", "d/b.toml"] {
        fs::write(host.path(file), "[connections.c]\nuri = \"tcp://h:1\"\n").unwrap();
    }
    let error =
        host.reloader.reload(jackfield::reload::ReloadCause::Call, false).await.unwrap_err();
    let text = without_folder(&error.to_string(), host.folder.path());
    let expected = "d/b.toml:1:14: connections.c: connections.c is set already, at d/a.toml:1:14; ";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(host.manager.defined(), 0);
}
