//! The driver telnet through a host, against programs and hostile peers.

mod errors;
mod hostile;
mod talk;

use std::time::Duration;

use jackfield_plugin_api::{ErrorKind, Session};
use rustix::termios::tcgetattr;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    host::{TestHost, exchange},
    peers::{
        echo::TcpPeer,
        python::python,
        socat::{Line, Ser2net},
        telnet::{SHELL, Telnetd, client},
    },
    process::{DEADLINE, dialogue, run},
};
use talk::Talk;

const LISTEN: &str = "telnet://127.0.0.1:0";

fn terminal() -> Value {
    json!({ "term": "vt220", "columns": 132, "rows": 43 })
}

async fn open(telnetd: &Telnetd, options: Value) -> (TestHost, Session) {
    let host = TestHost::start("").await;
    let session = timeout(DEADLINE, host.open(&telnetd.uri(), options)).await.expect("in time");
    (host, session.expect("a session"))
}

#[tokio::test(flavor = "multi_thread")]
async fn gnu_telnetd_learns_terminal_and_size_and_each_new_size() {
    let telnetd = Telnetd::gnu(SHELL).await;
    let (_host, session) = open(&telnetd, terminal()).await;
    let mut talk = Talk::with(&session);
    talk.says("PS1=; echo A$((6*7))B; stty size; echo T=$TERM.\r").await;
    talk.hears("A42B").await;
    talk.hears("43 132").await;
    talk.hears("T=vt220.").await;
    session.call("resize", &json!({ "columns": 100, "rows": 50 })).await.unwrap();
    talk.says("stty size\r").await;
    talk.hears("50 100").await;
    let facts = session.info().facts;
    assert_eq!(facts["remote_options"][0], "echo", "{facts:?}");
    for option in ["terminal_type", "window_size", "new_environ"] {
        let on = facts["local_options"].as_array().unwrap().contains(&json!(option));
        assert!(on, "{option} is not on: {facts:?}");
    }
    talk.says("exit\r").await;
    talk.hears_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gnu_telnetd_interrupts_what_runs_and_answers_timing_marks() {
    let telnetd = Telnetd::gnu(SHELL).await;
    let (_host, session) = open(&telnetd, json!({ "ping": true })).await;
    let mut talk = Talk::with(&session);
    let trap = "trap \"echo E\\$((7*7))F; exit\" INT";
    talk.says(&format!("PS1=; sh -c '{trap}; echo A$((6*7))B; while :; do :; done'\r")).await;
    talk.hears("A42B").await;
    session.call("command", &json!({ "name": "interrupt" })).await.unwrap();
    talk.hears("E49F").await;
    // It answers with urgent data, of which nothing may be left out.
    talk.says("echo G$((8*8))H\r").await;
    talk.hears("G64H").await;
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
}

#[tokio::test(flavor = "multi_thread")]
async fn busybox_telnetd_gives_a_shell_of_our_size() {
    let telnetd = Telnetd::busybox(SHELL).await;
    let (_host, session) = open(&telnetd, terminal()).await;
    let mut talk = Talk::with(&session);
    // It asks for the size and goes on: the shell may be there before the answer.
    talk.says("PS1=; echo A$((6*7))B\r").await;
    talk.hears("A42B").await;
    talk.says("stty size\r").await;
    talk.hears("43 132").await;
    talk.says("exit\r").await;
    talk.hears_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telnetlib3_as_a_server_learns_everything_about_us() {
    let telnetd = Telnetd::python().await;
    let mut options = terminal();
    options["env"] = json!({ "LANG": "de_DE.UTF-8" });
    let (_host, session) = open(&telnetd, options).await;
    let mut talk = Talk::with(&session);
    talk.hears("facts=vt220,132,43,de_DE.UTF-8,UTF-8").await;
    talk.says("hällo\r\n").await;
    talk.hears("you said h").await;
    assert_eq!(session.info().facts["charset"], "UTF-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn telnetlib3_as_a_client_is_served() {
    let peer = TcpPeer::echo().await;
    let toml = format!("[[routes]]\nlisten = \"{LISTEN}\"\nto = \"{}\"\n", peer.uri());
    let host = TestHost::start(&toml).await;
    let mut client = python("telnet_client.py");
    client.arg(host.address(0).port().to_string());
    let ran = run(client, "").await.ok();
    assert!(ran.text().contains("llo from python"), "{}", ran.text());
    assert!(ran.text().contains("local True\nremote True"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_telnet_client_reaches_a_shell_behind_a_listener() {
    let toml = format!(
        "[[routes]]\nlisten = \"{LISTEN}\"\nto = \"connections.sh\"\n\
         [connections.sh]\nuri = \"process:\"\noptions = {{ command = [\"sh\"], pty = true }}\n"
    );
    let host = TestHost::start(&toml).await;
    let client = client(host.address(0).port());
    let ran = dialogue(client, "echo cli-$((6*7))\nexit\n", "cli-42").await;
    assert!(ran.text().contains("cli-42"), "{}", ran.text());
    assert!(ran.text().contains("Connected to 127.0.0.1"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_passes_through_two_hosts_of_telnet() {
    let peer = TcpPeer::echo().await;
    let far = format!("[[routes]]\nlisten = \"{LISTEN}\"\nto = \"{}\"\n", peer.uri());
    let far = TestHost::start(&far).await;
    let near = format!(
        "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"telnet://{}\"\n",
        far.address(0)
    );
    let near = TestHost::start(&near).await;
    let sent: Vec<u8> =
        (0..=255).chain(*b"\r\n\r\r\0\xff\xff\xf0").cycle().take(3_000_000).collect();
    assert!(exchange(near.address(0), &sent).await.unwrap() == sent, "the bytes came changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ser2net_sets_its_line_as_we_ask() {
    let line = Line::new().await;
    let (_ser2net, port) = Ser2net::rfc2217(&line.end("b")).await;
    let host = TestHost::start("").await;
    let uri = format!("telnet://127.0.0.1:{port}?baud=9600&data_bits=8");
    let session = timeout(DEADLINE, host.open(&uri, json!({}))).await.expect("in time").unwrap();
    let tty = std::fs::File::open(line.end("b")).unwrap();
    assert_eq!(tcgetattr(&tty).unwrap().output_speed(), 9600);
    assert_eq!(session.info().facts["baud"], 9600);
    let set = session.call("set", &json!({ "baud": 57600, "stop_bits": 2 })).await.unwrap();
    assert_eq!((&set["baud"], &set["stop_bits"]), (&json!(57600), &json!(2)));
    assert_eq!(tcgetattr(&tty).unwrap().output_speed(), 57600);
    for (operation, params) in [
        ("purge", json!({ "input": true, "output": true })),
        ("set_break", json!({ "on": true })),
        ("set_break", json!({ "on": false })),
    ] {
        let called = timeout(DEADLINE, session.call(operation, &params)).await.expect("in time");
        called.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    let mut far = TalkTo::open(&host, &line).await;
    let mut talk = Talk::with(&session);
    let all: Vec<u8> = (0..=255).collect();
    talk.sends(&all).await;
    far.reads(&all).await;
    far.sends(&all).await;
    talk.reads(&all).await;
}

/// A line behind a listener that lets it be set, at 115200.
async fn line_behind_a_listener() -> (TestHost, Line) {
    let line = Line::new().await;
    let toml = format!(
        "[[routes]]\nlisten = \"{LISTEN}\"\noptions = {{ com_port = true }}\nto = \"serial://{}\"\n",
        line.end("b").display()
    );
    (TestHost::start(&toml).await, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_behind_a_listener_is_set_by_its_clients() {
    let (host, line) = line_behind_a_listener().await;
    let uri = format!("telnet://{}?baud=9600", host.address(0));
    let session = timeout(DEADLINE, host.open(&uri, json!({}))).await.expect("in time").unwrap();
    let tty = std::fs::File::open(line.end("b")).unwrap();
    assert_eq!(tcgetattr(&tty).unwrap().output_speed(), 9600);
    let wish = json!({ "baud": 57600, "stop_bits": 2, "flow": "software" });
    let set = timeout(DEADLINE, session.call("set", &wish)).await.expect("in time").unwrap();
    let wanted = (&json!(57600), &json!(2), &json!("software"));
    assert_eq!((&set["baud"], &set["stop_bits"], &set["flow"]), wanted);
    assert_eq!(tcgetattr(&tty).unwrap().output_speed(), 57600);
    // What is asked for and not changed is told as it is.
    let nothing = json!({});
    let now = timeout(DEADLINE, session.call("set", &nothing)).await.expect("in time").unwrap();
    assert_eq!((&now["baud"], &now["data_bits"]), (&json!(57600), &json!(8)));
    let short = json!({ "milliseconds": 1 });
    timeout(DEADLINE, session.call("break", &short)).await.expect("in time").unwrap();
    let mut far = TalkTo::open(&host, &line).await;
    let mut talk = Talk::with(&session);
    let all: Vec<u8> = (0..=255).collect();
    talk.sends(&all).await;
    far.reads(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pyserial_sets_a_line_behind_a_listener() {
    let (host, line) = line_behind_a_listener().await;
    let mut far = TalkTo::open(&host, &line).await;
    let mut client = python("serial_client.py");
    client.arg(host.address(0).port().to_string());
    let tty = line.end("b");
    let running = tokio::spawn(async move { dialogue(client, "", "all done").await.ok() });
    let all: Vec<u8> = (0..=255).collect();
    far.reads(&all).await;
    assert_eq!(tcgetattr(std::fs::File::open(&tty).unwrap()).unwrap().output_speed(), 9600);
    far.sends(&all).await;
    far.reads(b"after").await;
    let ran = running.await.unwrap();
    assert!(ran.text().contains("opened at 9600\nnow at 57600"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn ser2net_as_a_client_reaches_a_line_behind_a_listener() {
    let (host, line) = line_behind_a_listener().await;
    let mut far = TalkTo::open(&host, &line).await;
    let (_ser2net, mut stream) = Ser2net::client(host.address(0).port()).await;
    let all: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let mut back = vec![0; all.len()];
    let there = async {
        stream.write_all(&all).await.unwrap();
        timeout(DEADLINE, stream.read_exact(&mut back)).await.expect("in time").unwrap();
    };
    let echoed = async {
        far.reads(&all).await;
        far.sends(&all).await;
    };
    tokio::join!(there, echoed);
    assert!(back == all, "the bytes came changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_clients_window_reaches_the_terminal_behind_a_route() {
    let toml = format!(
        "[[routes]]\nlisten = \"{LISTEN}\"\nto = \"connections.sh\"\n\
         [connections.sh]\nuri = \"process:\"\noptions = {{ command = [\"sh\"], pty = true }}\n"
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("telnet://{}", host.address(0));
    let session = host.open(&uri, terminal()).await.unwrap();
    let mut talk = Talk::with(&session);
    talk.says(
        "PS1=; until [ \"$(stty size)\" = '43 132' ]; do sleep 0.01; done; echo A$((6*7))B\r",
    )
    .await;
    talk.hears("A42B").await;
    session.call("resize", &json!({ "columns": 100, "rows": 50 })).await.unwrap();
    talk.says("until [ \"$(stty size)\" = '50 100' ]; do sleep 0.01; done; echo C$((7*7))D\r")
        .await;
    talk.hears("C49D").await;
}

/// The far end of a line.
struct TalkTo;

impl TalkTo {
    async fn open(host: &TestHost, line: &Line) -> Talk {
        let uri = format!("serial://{}", line.end("a").display());
        Talk::with(&host.open(&uri, json!({})).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_uri_is_refused_and_not_shown() {
    let host = TestHost::start("").await;
    let peer = TcpPeer::silent().await;
    let uri = peer.uri().replace("tcp://", "telnet://lab:hunter2@");
    let error = host.open(&uri, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_asked_of_a_peer_without_one_fails_by_its_deadline() {
    let peer = TcpPeer::silent().await;
    let toml = format!(
        "[connections.it]\nuri = \"{}\"\noptions = {{ baud = 9600 }}\nconnect_timeout = \"200ms\"\n",
        peer.uri().replace("tcp://", "telnet://")
    );
    let host = TestHost::start(&toml).await;
    let error = timeout(Duration::from_secs(30), host.open("connections.it", json!({}))).await;
    assert_eq!(error.expect("in time").unwrap_err().kind(), ErrorKind::TimedOut);
}
