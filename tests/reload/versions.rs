//! Versions, dry runs, secrets, and what only a restart changes.

use std::fs;

use jackfield::reload::{ReloadCause, ReloadError};

use super::{Changing, free, greeting, route};
use crate::support::peers::echo::TcpPeer;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ten_versions_can_be_gone_back_to() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let host = Changing::start(&route(address, &one.uri())).await;
    host.reload(&route(address, &two.uri())).await;
    assert_eq!(greeting(address).await, "two");
    let tried = host.reloader.rollback(1, true).await.unwrap();
    assert_eq!((tried.version, greeting(address).await.as_str()), (2, "two"));
    let report = host.reloader.rollback(1, false).await.unwrap();
    assert_eq!((report.version, report.cause), (3, ReloadCause::Rollback { to: 1 }));
    assert_eq!(greeting(address).await, "one");
    // The file still says the other thing.
    let report = host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!((report.version, greeting(address).await.as_str()), (4, "two"));
    for count in 1..=12 {
        let more = format!("{}max_connections = {count}\n", route(address, &two.uri()));
        host.reload(&more).await;
    }
    let versions: Vec<u64> = host.reloader.history().await.iter().map(|it| it.version).collect();
    assert_eq!(versions, (7..=16).collect::<Vec<u64>>());
    let error = host.reloader.rollback(1, false).await.unwrap_err();
    assert!(matches!(error, ReloadError::NoVersion { number: 1, .. }), "{error}");
    assert!(error.to_string().contains("7, 8, 9"), "{error}");
    let json = serde_json::to_value(host.reloader.history().await).unwrap();
    assert_eq!(json[0]["changes"][0]["object"], format!("routes.tcp://{address}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let host = Changing::start(&route(address, &one.uri())).await;
    host.write(&format!("{}{}", route(address, &two.uri()), route(free(), &two.uri())));
    let tried = host.reloader.reload(ReloadCause::Call, true).await.unwrap();
    assert_eq!((tried.version, greeting(address).await.as_str()), (1, "one"));
    assert_eq!(host.manager.listeners().len(), 1);
    let done = host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!((done.version, done.changes), (2, tried.changes));
    assert_eq!(greeting(address).await, "two");
    let again = host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!((again.version, again.to_string().as_str()), (2, "nothing is different"));
    host.write("[connections.c]\nuri = \"tcp://h:1\"\noptions = { nodelei = true }\n");
    assert!(host.reloader.reload(ReloadCause::Call, true).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_restart_is_told_each_time_and_the_rest_is_taken_over() {
    let peer = TcpPeer::sending("one").await;
    let address = free();
    let host = Changing::start("").await;
    let restart = "[host]\nworker_threads = 7\nstate_dir = \"state\"\n";
    let expected = "changed host: state_dir default -> \"state\" (restart); worker_threads default -> 7 (restart): not \
                    taken over, it takes a restart of the host";
    for _ in 0..2 {
        let report = host.reload(&format!("{restart}{}", route(address, &peer.uri()))).await;
        let text = report.to_string();
        assert!(text.starts_with(expected), "{text}");
        assert!(!host.path("state").exists(), "it is not in force");
        assert_eq!(greeting(address).await, "one");
    }
    assert!(host.reload(&route(address, &peer.uri())).await.changes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_has_changed_is_a_change_of_what_uses_it() {
    let folder = crate::support::process::tempdir();
    let secret = folder.path().join("password");
    fs::write(&secret, "hunter2").unwrap();
    let toml = "[credentials.c]\nusername = \"lab\"\npassword = { file = \"password\" }\n\
                [devices.d.paths.p]\nuri = \"ssh://127.0.0.1:1\"\ncredentials = \"c\"\n\
                [connections.plain]\nuri = \"tcp://127.0.0.1:1\"\n";
    let host = Changing::start_in(folder, toml).await;
    let path = || host.manager.device("d").unwrap().path(None).unwrap();
    let before = path().managed().target();
    let report = host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert!(report.changes.is_empty(), "{report}");
    fs::write(&secret, "hunter3").unwrap();
    let report = host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    let text = report.to_string();
    assert!(
        text.contains("changed credentials.c: password ")
            && text.contains("the secret is another one"),
        "{text}"
    );
    assert!(
        text.contains(
            "changed devices.d.p: credentials (new_sessions, credentials.c is another one)"
        ),
        "{text}"
    );
    assert!(!text.contains("plain") && !text.contains("hunter"), "{text}");
    assert!(!std::sync::Arc::ptr_eq(&before, &path().managed().target()));
    fs::remove_file(&secret).unwrap();
    let error = host.reloader.reload(ReloadCause::Call, false).await.unwrap_err().to_string();
    assert!(error.contains("jackfield.toml:3:12: credentials.c.password"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_at_the_same_time_are_done_one_after_the_other() {
    let peer = TcpPeer::sending("one").await;
    let host = Changing::start("").await;
    let addresses: Vec<_> = (0..8).map(|_| free()).collect();
    let mut written = String::new();
    let mut reloads = Vec::new();
    for address in &addresses {
        written.push_str(&route(*address, &peer.uri()));
        host.write(&written);
        let reloader = host.reloader.clone();
        reloads.push(tokio::spawn(async move { reloader.reload(ReloadCause::Call, false).await }));
    }
    let mut last = 1;
    for reload in reloads {
        let report = reload.await.unwrap().unwrap();
        assert!(report.version >= last);
        last = report.version;
    }
    host.reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!(host.manager.listeners().len(), addresses.len());
}
