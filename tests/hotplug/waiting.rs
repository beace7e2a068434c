//! Configuration that needs a plugin which is not there yet.

use std::fs;

use super::{FAULTY, Plugged, built, copy};
use crate::support::{host::exchange, peers::echo::TcpPeer, process::tempdir};

const WATCH: &str = "[reload]\npoll = \"0s\"\n[reload.plugins]\nwatch = true\nwait = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_plugin_comes_alive_with_it_and_what_leads_to_it_too() {
    let echo = TcpPeer::echo().await;
    let address = crate::support::ports::free();
    let toml = format!(
        "{WATCH}[connections.far]\nuri = \"faulty://x\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:{address}\"\nto = \"{}\"\n",
        echo.uri()
    );
    let host = Plugged::start(&[], &toml).await;
    let waits: Vec<String> = host.manager.waiting().keys().map(ToString::to_string).collect();
    assert_eq!(waits, ["connections.far", &format!("routes.tcp://127.0.0.1:{address}")]);
    assert!(host.manager.listeners().is_empty());
    let watching = host.reloader.clone();
    let watching = tokio::spawn(async move { watching.watch().await });
    host.put("libjackfield_tcp.so", &built("libjackfield_tcp.so"));
    super::soon("the listener", async || !host.manager.listeners().is_empty()).await;
    assert_eq!(exchange(([127, 0, 0, 1], address).into(), b"hello").await.unwrap(), b"hello");
    assert_eq!(host.manager.waiting().len(), 1);
    host.put(FAULTY, &copy("here"));
    super::soon("the connection", async || host.manager.waiting().is_empty()).await;
    assert!(host.manager.connection("far").await.is_ok());
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_a_driver_that_no_plugin_has_is_a_mistake_with_its_place() {
    let toml = "[connections.far]\nuri = \"faulty://x\"\n";
    let Err(error) = Plugged::try_start(&[], toml).await else { panic!("it has started") };
    let error = error.to_string();
    assert!(
        error.contains("connections.far.uri: ") && error.contains("there is no scheme"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_yet_is_waited_for() {
    let folder = tempdir();
    let host = Plugged::start_in(folder, WATCH).await.unwrap_or_else(|error| panic!("{error}"));
    let watching = host.reloader.clone();
    let watching = tokio::spawn(async move { watching.watch().await });
    fs::create_dir(host.folder.path().join("plugins")).unwrap();
    host.put(FAULTY, &copy("late"));
    super::soon("the driver", async || host.open("faulty://x").await.is_ok()).await;
    assert_eq!(host.mode().await, "late");
    watching.abort();
}
