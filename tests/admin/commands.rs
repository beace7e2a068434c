//! The commands that ask a running host.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{NOUNS, socket, with_admin};
use crate::support::{
    jackfield::{Jackfield, jackfield, ran},
    network,
    peers::echo::TcpPeer,
    process::{Ran, command, run, tempdir},
};

struct CommandHost {
    host: Jackfield,
    admin: String,
    peer: TcpPeer,
    _folder: tempfile::TempDir,
}

impl CommandHost {
    async fn start() -> Self {
        let (folder, peer) = (tempdir(), TcpPeer::echo().await);
        let toml = format!(
            "[connections.lab]\nuri = \"{0}\"\n[upstreams.web]\ntargets = [\"{0}\"]\n\
             [devices.core1]\n[devices.core1.paths]\nconsole = {{ uri = \"{0}\", exclusive = true }}\n\
             [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
            peer.uri()
        );
        let host = Jackfield::run(&with_admin(folder.path(), "", &toml)).await;
        let admin = socket(folder.path()).display().to_string();
        Self { host, admin, peer, _folder: folder }
    }

    /// `jackfield ARGUMENTS --admin SOCKET`.
    async fn ran(&self, arguments: &[&str]) -> Ran {
        ran(&[arguments, &["--admin", &self.admin]].concat(), "").await
    }

    async fn text(&self, arguments: &[&str]) -> String {
        self.ran(arguments).await.ok().text()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_ps_show_and_top_tell_what_runs() {
    let host = CommandHost::start().await;
    let mut session = TcpStream::connect(host.host.address(0)).await.unwrap();
    session.write_all(b"x").await.unwrap();
    session.read_exact(&mut [0]).await.unwrap();
    let status = host.text(&["status"]).await;
    for line in ["state        ready", "connections  1 of 10000 (1 accepted)", "targets      1 up"]
    {
        assert!(status.lines().any(|found| found == line), "no {line:?} in\n{status}");
    }
    assert_eq!(host.json(&["status"]).await["state"], "ready");
    let ps = host.text(&["ps"]).await;
    assert!(
        ps.starts_with("ID") && ps.contains("connected") && ps.contains("upstreams.web"),
        "{ps}"
    );
    assert_eq!(host.json(&["ps", "-f", "to=upstreams.nope"]).await.as_array().unwrap().len(), 0);
    for noun in NOUNS.into_iter().chain(["target"]) {
        let table = host.text(&["show", noun]).await;
        assert!(table.lines().next().unwrap().starts_with(char::is_uppercase), "{noun}: {table}");
        assert!(host.json(&["show", noun]).await.is_array(), "{noun}");
    }
    let one = host.text(&["show", "targets", "web", &host.peer.uri()]).await;
    assert!(one.lines().any(|line| line.starts_with("in_flight") && line.ends_with('1')), "{one}");
    let top = host.text(&["top", "--once"]).await;
    assert!(top.contains("1 connections of 10000") && top.contains("UPSTREAM"), "{top}");
    let wrong = host.ran(&["show", "tragets"]).await;
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("did you mean \"targets\"?"),
        "{}",
        wrong.stderr
    );
    let wrong = host.ran(&["show", "upstreams", "wep"]).await;
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("did you mean \"web\"?"),
        "{}",
        wrong.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_probed_and_diagnosed_by_the_host_that_has_them() {
    let host = CommandHost::start().await;
    let found = host.json(&["probe", "upstreams.web", "connections.lab"]).await;
    let all = found.as_array().unwrap();
    assert!(all.len() == 2 && all.iter().all(|one| one["ok"] == true), "{found}");
    let table = host.text(&["probe", "upstreams.web"]).await;
    assert!(table.contains(&host.peer.uri()) && table.contains(" ok "), "{table}");
    let wrong = host.ran(&["probe", "upstreams.wep"]).await;
    let near = "did you mean \"web\"?";
    assert!(wrong.code == Some(2) && wrong.stderr.contains(near), "{}", wrong.stderr);
    for name in ["lab", "connections.lab"] {
        let told = host.ran(&["diagnose", name]).await;
        assert!(told.stderr.contains("lab is not connected"), "{name}: {}", told.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_added_drained_weighed_and_enabled_by_commands() {
    let host = CommandHost::start().await;
    let other = TcpPeer::echo().await.uri();
    assert_eq!(host.text(&["target", "add", "web", &other]).await, format!("{other}: added\n"));
    let drained = host.text(&["drain", "upstreams.web", &other, "--wait", "30s"]).await;
    assert_eq!(drained, format!("{other}: draining, weight 0, 0 sessions\n"));
    let enabled = host.text(&["enable", "web", &other]).await;
    assert_eq!(enabled, format!("{other}: up, weight 1, 0 sessions\n"));
    let weighed = host.text(&["weight", "web", &other, "5"]).await;
    assert_eq!(weighed, format!("{other}: up, weight 5, 0 sessions\n"));
    let mut session = TcpStream::connect(host.host.address(0)).await.unwrap();
    session.write_all(b"x").await.unwrap();
    session.read_exact(&mut [0]).await.unwrap();
    let busy = if host.json(&["show", "targets", "web", &other]).await["in_flight"] == 1 {
        other.clone()
    } else {
        host.peer.uri()
    };
    let late = host.ran(&["drain", "web", &busy, "--wait", "50ms"]).await;
    assert_eq!(
        (late.code, late.text()),
        (Some(1), format!("{busy}: draining, weight 0, 1 sessions\n"))
    );
    drop(session);
    host.text(&["drain", "web", &busy, "--wait", "30s"]).await;
    assert_eq!(
        host.text(&["target", "remove", "web", &other]).await,
        format!("{other}: removed\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_the_host_that_runs() {
    let host = CommandHost::start().await;
    let call = ["call", "connections.lab", "send_expect", "text=hello\\n", "pattern=hello"];
    host.text(&call).await;
    let lab = host.json(&["show", "connections", "lab"]).await;
    assert_eq!(
        (&lab["state"], &lab["calls"]),
        (&Value::from("connected"), &Value::from(1)),
        "{lab}"
    );
    let wrong = host.ran(&["call", "connections.lab", "send_expekt"]).await;
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("did you mean \"send_expect\"?"),
        "{}",
        wrong.stderr
    );
    let uri = host.ran(&["call", &host.peer.uri(), "send", "text=x"]).await;
    assert_eq!(uri.code, Some(2), "{}", uri.stderr);
    assert_eq!(host.text(&["close", "lab"]).await, "lab: closed\n");
    // The lease of a path that the host shares goes with a word.
    host.text(&["call", "devices.core1.console", "send_expect", "text=hello\\n", "pattern=hello"])
        .await;
    let broken = host.text(&["lease", "break", "core1.console", "--reason", "work"]).await;
    assert!(broken.starts_with("core1.console: taken from "), "{broken}");
    let again = host.text(&["lease", "break", "core1.console"]).await;
    assert!(again.starts_with("core1.console: "), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_lines() {
    let host = CommandHost::start().await;
    let mut command = jackfield(&["events", "-f", "--upstream", "web", "--admin", &host.admin]);
    command.stdin(std::process::Stdio::null());
    let mut follower = crate::support::process::Process::spawn("jackfield events", command);
    let other = TcpPeer::echo().await.uri();
    // Until the reader is there, nothing is told.
    let mut weight = 1;
    follower
        .ready(async |process| {
            weight = weight % 900 + 1;
            host.text(&["weight", "web", &host.peer.uri(), &weight.to_string()]).await;
            process.log().contains("target_weight")
        })
        .await
        .unwrap_or_else(|log| panic!("{log}"));
    host.text(&["target", "add", "web", &other]).await;
    let line = follower.logged("target_added").await.unwrap_or_else(|log| panic!("{log}"));
    assert_eq!(line, format!(" target={other} upstream=web"));
    let kept = host.text(&["events", "--kinds", "target_added", "--json"]).await;
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["target"], other.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_host_the_exit_code_is_3_and_the_places_are_named() {
    let folder = tempdir();
    let admin = socket(folder.path()).display().to_string();
    let commands: [&[&str]; 9] = [
        &["status"],
        &["ps"],
        &["show", "upstreams"],
        &["top", "--once"],
        &["events"],
        &["drain", "web", "tcp://h:1"],
        &["close", "lab"],
        &["log", "debug"],
        &["call", "connections.lab", "send"],
    ];
    for command in commands {
        let none = ran(&[command, &["--admin", &admin]].concat(), "").await;
        assert_eq!(none.code, Some(3), "{command:?}: {}", none.stderr);
        assert!(none.stderr.contains(&format!("{admin}: not there")), "{}", none.stderr);
    }
}

#[test]
fn the_places_of_the_user_and_of_the_system_are_looked_at() {
    network::of_its_own("admin::commands::with_places_of_its_own");
}

#[tokio::test]
#[ignore = "run by the test above, where no host of the machine is seen"]
async fn with_places_of_its_own() {
    let mut mount = command("mount");
    mount.args(["-t", "tmpfs", "none", "/run"]);
    run(mount, "").await.ok();
    let folder = tempdir();
    let mut by_variables = jackfield(&["status"]);
    by_variables.env_remove("JACKFIELD_ADMIN").env("XDG_RUNTIME_DIR", folder.path());
    let none = run(by_variables, "").await;
    let user = folder.path().join("jackfield/admin.sock");
    assert!(none.stderr.contains(&format!("{}: not there", user.display())), "{}", none.stderr);
    assert!(none.stderr.contains("/run/jackfield/admin.sock: "), "{}", none.stderr);
}
