//! What the README tells a newcomer to do works.

use std::fs;

use crate::support::{
    certs::Certs,
    jackfield::{Jackfield, jackfield, ran},
    peers::sshd::{PASSPHRASE, Sshd},
    ports,
    process::run,
};

fn documented(file: &str) -> String {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(top.join(file)).unwrap()
}

#[tokio::test]
async fn the_demo_answers_a_websocket_through_its_upstream() {
    let toml = documented("config/demo.toml");
    let (first, second) = (ports::free(), ports::free());
    let set = [
        format!("routes.0.listen=tcp://127.0.0.1:{first}"),
        format!("routes.1.listen=tcp://127.0.0.1:{second}"),
        "routes.2.listen=ws://127.0.0.1:0/echo".to_owned(),
        format!(
            "upstreams.echo.targets=[\"tcp://127.0.0.1:{first}\", \"tcp://127.0.0.1:{second}\"]"
        ),
    ];
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let host = Jackfield::run_with(&toml, &set).await;
    let uri = format!("ws://{}/echo", host.address(2));
    // Once through each target.
    for _ in 0..2 {
        assert_eq!(ran(&["connect", &uri], "hello\n").await.ok().text(), "hello\n");
    }
}

#[tokio::test]
async fn the_configuration_in_the_readme_passes_the_check() {
    let readme = documented("README.md");
    let examples = readme.split("```toml\n").skip(1);
    let toml: String = examples.filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    let certs = Certs::new();
    let sshd = Sshd::start().await;
    let home = certs.dir();
    fs::create_dir(home.join(".ssh")).unwrap();
    fs::copy(sshd.encrypted_key(), home.join(".ssh/id_ed25519")).unwrap();
    let file = home.join("jackfield.toml");
    fs::write(&file, toml).unwrap();
    let mut check = jackfield(&["check", "--config", &file.display().to_string()]);
    check
        .current_dir(home)
        .env("HOME", home)
        .env("LAB_PASSPHRASE", PASSPHRASE)
        .env("LAB_PASSWORD", "x");
    let checked = run(check, "").await.ok();
    let ok = "\nok: 3 routes, 2 connections, 1 devices, 0 upstreams, 0 handlers\n";
    assert!(checked.text().ends_with(ok), "{}", checked.text());
    assert_eq!(checked.stderr, "");
}
