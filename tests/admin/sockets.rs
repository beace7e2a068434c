//! Where a host listens for its operators, and what stands in the way of that.

use jackfield::admin::AdminSockets;

use super::{AdminHost, socket, with_admin};
use crate::support::{
    host::load,
    jackfield::{Config, Jackfield, ran},
    process::tempdir,
};

fn why(folder: &std::path::Path, admin: &str) -> String {
    let file = folder.join("jackfield.toml");
    std::fs::write(&file, format!("[admin]\n{admin}\n")).unwrap();
    let loaded = jackfield::config::load(&[file], &jackfield::config::Overrides::new());
    match loaded {
        Err(errors) => errors.to_string(),
        Ok(loaded) => match AdminSockets::bind(&loaded) {
            Err(errors) => errors.to_string(),
            Ok(sockets) => panic!("{admin}: {sockets:?}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_taken_is_told_with_its_key() {
    let folder = tempdir();
    let at = folder.path().display();
    std::fs::write(folder.path().join("text"), "a text").unwrap();
    for (admin, text) in [
        ("listen = [\"tcp://127.0.0.1:1\"]".to_owned(), "expected the key admin.tokens"),
        ("listen = [\"tcp://10.0.0.1:1\"]".into(), "expected an address of the machine itself"),
        ("listen = [\"unix:relative\"]".into(), "expected \"unix:PATH\" with an absolute path"),
        (format!("listen = [\"unix:{at}/text\"]"), "is no socket"),
        (format!("listen = [\"unix:{at}/text/x\"]"), "admin.listen.0: "),
        (format!("listen = [\"unix:{at}/no/such/x\"]"), "cannot be made"),
        (format!("listen = [\"unix:{at}/{}\"]", "x".repeat(200)), "admin.listen.0: "),
        ("viewer = [\"no-such-user\"]".into(), "admin.viewer.0: expected a user of this machine"),
        ("max_connections = 0".into(), "admin.max_connections: expected"),
        ("max_body = \"1GiB\"".into(), "admin.max_body: expected a size"),
    ] {
        let told = why(folder.path(), &admin);
        assert!(told.contains(text), "{admin}: {told}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("text")).unwrap(), "a text");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_do_not_share_a_place_and_one_that_died_leaves_it() {
    let first = AdminHost::start("").await;
    let toml = with_admin(first.folder.path(), "", "");
    let config = Config::new(&toml);
    let second = ran(&["run", "--config", &config.file()], "").await;
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(second.stderr.contains("another host listens at"), "{}", second.stderr);
    assert_eq!(first.get("/healthz").await.status, 200);

    let folder = tempdir();
    let toml = with_admin(folder.path(), "", "");
    let mut host = Jackfield::run(&toml).await;
    host.signal(rustix::process::Signal::KILL);
    host.ended().await;
    assert!(socket(folder.path()).exists(), "nobody has removed it");
    let mut host = Jackfield::run(&toml).await;
    host.signal(rustix::process::Signal::TERM);
    host.ended().await;
    assert!(!socket(folder.path()).exists(), "{}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_of_its_own_a_host_says_so_and_goes_on() {
    let host = Jackfield::run("").await;
    assert!(host.log().contains("no admin API: its usual place cannot be taken"), "{}", host.log());
    let host = Jackfield::run("[admin]\nlisten = []\n").await;
    assert!(!host.log().contains("admin API"), "{}", host.log());
    let folder = tempdir();
    let loaded = load(folder.path(), "[admin]\nlisten = []\n");
    assert!(AdminSockets::bind(&loaded).unwrap().places().is_empty());
}
