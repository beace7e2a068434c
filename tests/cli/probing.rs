//! `jackfield probe`: a table or JSON of what answers, and an exit code.

use serde_json::Value;

use crate::support::{
    jackfield::{Jackfield, ran},
    peers::{
        echo::{Refusing, TcpPeer},
        sshd::{Sshd, USER},
    },
    process::tempdir,
};

#[tokio::test]
async fn a_probe_is_a_handshake_of_the_whole_stack_and_not_just_a_connection() {
    // Its port is open, and nobody speaks behind it.
    let silent = TcpPeer::black_hole().await;
    let tcp = format!("tcp://127.0.0.1:{}", silent.port());
    let ws = format!("ws://127.0.0.1:{}/", silent.port());
    let probed = ran(&["probe", &tcp, &ws, "--timeout", "300ms"], "").await;
    assert_eq!(probed.code, Some(1));
    let text = probed.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TARGET"), "{text}");
    assert!(lines[1].starts_with(&tcp) && lines[1].contains(" ok "), "{text}");
    assert!(lines[2].starts_with("ws://") && lines[2].contains(" timed_out "), "{text}");
}

#[tokio::test]
async fn each_target_of_an_upstream_is_probed_and_all_answers_are_given_as_json() {
    let (good, dead, sshd) = (TcpPeer::echo().await, Refusing::new(), Sshd::start().await);
    let folder = tempdir();
    let file = folder.path().join("lab.toml");
    let toml = format!(
        "[connections.shell]\nuri = \"ssh://{USER}@127.0.0.1:{}\"\n\
         options = {{ key_file = {:?}, known_hosts = {:?} }}\n\
         [upstreams.lab]\ntargets = [\"{}\", \"tcp://{}\"]\n",
        sshd.port(),
        sshd.key(),
        sshd.known_hosts(),
        good.uri(),
        dead.address()
    );
    std::fs::write(&file, toml).unwrap();
    let config = file.display().to_string();
    let args = ["probe", "upstreams.lab", "connections.shell", "--config", &config, "--json"];
    let probed = ran(&args, "").await;
    assert_eq!(probed.code, Some(1), "{}", probed.stderr);
    let found: Value = serde_json::from_str(&probed.text()).unwrap();
    assert_eq!(found[0]["name"], good.uri());
    assert_eq!(
        (&found[0]["ok"], &found[0]["info"]["peer"]),
        (&true.into(), &good.address().to_string().into())
    );
    assert_eq!(
        (&found[1]["ok"], &found[1]["error"]["kind"]),
        (&false.into(), &"unreachable".into())
    );
    assert_eq!(found[2]["name"], "connections.shell");
    assert_eq!(found[2]["ok"], true);
    // ssh can ping; the answer has the time of the round trip.
    assert!(found[2]["ping_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{}", found[2]);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_before_anything_is_probed() {
    let peer = TcpPeer::echo().await;
    for (to, says) in [("tpc://127.0.0.1:1", "tcp"), ("upstreams.lab", "there is no upstream")] {
        let probed = ran(&["probe", &peer.uri(), to], "").await;
        assert_eq!((probed.code, probed.text().as_str()), (Some(2), ""));
        assert!(probed.stderr.contains(says), "{}", probed.stderr);
    }
    assert_eq!(peer.accepted(), 0);
    let probed = ran(&["probe", &peer.uri()], "").await.ok();
    assert!(probed.text().contains(" ok "), "{}", probed.text());
}

#[tokio::test]
async fn a_running_host_is_probed_through_its_listener() {
    let host = Jackfield::run_with(
        "[handlers.echo]\n[[routes]]\nlisten = \"ws://127.0.0.1:0/echo\"\nto = \"handlers.echo\"\n",
        &[],
    )
    .await;
    let uri = format!("ws://{}/echo", host.address(0));
    let found: Value =
        serde_json::from_str(&ran(&["probe", &uri, "--json"], "").await.ok().text()).unwrap();
    assert!(found[0]["ping_ms"].as_f64().is_some(), "{found}");
}
