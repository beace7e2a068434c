//! Dialogues over whatever has a stream, against programs.

use std::time::Duration;

use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    host::TestHost,
    jackfield::ran,
    peers::{
        echo::TcpPeer,
        socat::Line,
        sshd::{PASSWORD, Sshd, USER},
        telnet::{LOGIN, SHELL, Telnetd},
    },
    process::DEADLINE,
};

const LONG: &str = "50s";

async fn call(host: &TestHost, to: &str, options: Value, params: Value) -> Value {
    let options: Map<String, Value> = options.as_object().cloned().unwrap_or_default();
    let called = host.manager().call(to, &options, "send_expect", &params);
    timeout(DEADLINE, called).await.expect("in time").expect("an answer")
}

/// Typed into a shell, whatever it is in: what is typed does not match.
fn sum() -> Value {
    json!({ "text": "echo A$((6*7))B", "pattern": "A([0-9]+)B", "timeout": LONG })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_serves_shells_of_ssh_telnet_and_processes() {
    let sshd = Sshd::start().await;
    let (gnu, busybox) = (Telnetd::gnu(SHELL).await, Telnetd::busybox(SHELL).await);
    let host = TestHost::start("").await;
    let known = json!({ "password": PASSWORD, "known_hosts": sshd.known_hosts() });
    let shell = json!({ "command": ["sh"], "pty": true });
    for (uri, options) in [
        (format!("ssh://{USER}@127.0.0.1:{}", sshd.port()), known),
        (gnu.uri(), json!({})),
        (busybox.uri(), json!({})),
        ("process:".to_owned(), shell),
    ] {
        let heard = call(&host, &uri, options, sum()).await;
        assert_eq!(heard["groups"], json!(["42"]), "{uri}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_lines_and_plain_sockets_too() {
    let (peer, line) = (TcpPeer::echo().await, Line::new().await);
    let host = TestHost::start("").await;
    let params = json!({ "text": "ping", "end": "\n", "pattern": "(p.*)\n", "timeout": LONG });
    let heard = call(&host, &peer.uri(), json!({}), params).await;
    assert_eq!(heard["groups"], json!(["ping"]));
    let far = host.open(&format!("serial://{}", line.end("b").display()), json!({})).await.unwrap();
    let mut far = far.take_stream().unwrap();
    let uri = format!("serial://{}", line.end("a").display());
    let answering = async {
        let mut asked = [0; 4];
        far.read_exact(&mut asked).await.unwrap();
        far.write_all(b"\x00\xffOK\r\n").await.unwrap();
        asked
    };
    let params = json!({ "text": "AT?", "patterns": ["ERROR", "OK"], "timeout": LONG });
    let (heard, asked) = tokio::join!(call(&host, &uri, json!({}), params), answering);
    assert_eq!((&asked, &heard["index"]), (b"AT?\r", &json!(1)));
}

/// A telnetd that asks for a name and a password, as a connection that logs in.
fn logging_in(telnetd: &Telnetd, more: &str) -> String {
    format!(
        "[connections.it]\nuri = \"{}\"\n\
         login = {{ username = \"lab\", password = \"secret\", then = [\"marker=here\"], {more} }}\n\
         reconnect = {{ attempts = 5, first_delay = \"10ms\" }}\n",
        telnetd.uri()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_leads_to_a_connection_that_has_logged_in() {
    for telnetd in [Telnetd::gnu(LOGIN).await, Telnetd::busybox(LOGIN).await] {
        let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.it\"\n";
        let host = TestHost::start(&(route.to_owned() + &logging_in(&telnetd, ""))).await;
        let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
        let mut text = String::new();
        // The prompt that said so is heard again.
        while !text.contains("$ ") {
            text.push(char::from(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap()));
        }
        assert!(!text.contains("login"), "{text:?}");
        stream.write_all(b"echo $marker.\r").await.unwrap();
        while !text.contains("here.") {
            text.push(char::from(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_connection_are_one_dialogue_which_begins_anew_with_a_new_session() {
    let telnetd = Telnetd::gnu(LOGIN).await;
    let host = TestHost::start(&logging_in(&telnetd, "")).await;
    let managed = host.manager().connection("it").await.unwrap();
    let step = async |text: &str, pattern: &str| {
        let params = json!({ "text": text, "pattern": pattern, "timeout": LONG });
        timeout(DEADLINE, managed.call("send_expect", &params)).await.expect("in time")
    };
    step("x=$((6*7))", r"\$ ?$").await.unwrap();
    let heard = step("echo A${x}B$marker", "A(42)B(here)").await.unwrap();
    assert_eq!(heard["groups"], json!(["42", "here"]));
    let live = managed.last().unwrap();
    let generation = live.generation();
    // The shell ends, and the session with it; the next one has logged in again.
    let error = step("exit", "this never comes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    timeout(DEADLINE, live.left(generation)).await.expect("it is never lost");
    let heard = step("echo A${x}B$marker", "A([0-9]*)B(here)").await.unwrap();
    assert_eq!(heard["groups"], json!(["", "here"]));
    assert!(live.generation() > generation);
}

/// Asks, shows a page and waits for a key, and ends with a prompt.
const PAGER: &str = r#"
printf 'Delete? [y/n] '; read answer; stty -echo -icanon
printf 'deleted=%s\n--More--' "$answer"; key=$(dd bs=1 count=1 2>/dev/null)
printf '\nkey=<%s>\nr1# ' "$key"; read rest"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_asks_back_is_answered_by_rules_over_telnet_and_a_terminal() {
    let telnetd = Telnetd::gnu(PAGER).await;
    let shell = json!({ "command": ["sh", "-c", PAGER], "pty": true });
    let host = TestHost::start("").await;
    let params = json!({ "timeout": LONG, "rules": [
        { "pattern": r"\[y/n\] $", "answer": "y" },
        { "pattern": "--More--", "answer": " ", "end": "", "renew": true },
        { "pattern": "key=<(.*)>[^#]*# $" },
    ] });
    for (uri, options) in [(telnetd.uri(), json!({})), ("process:".to_owned(), shell)] {
        let options: Map<String, Value> = options.as_object().cloned().unwrap_or_default();
        let called = host.manager().call(&uri, &options, "converse", &params);
        let told = timeout(DEADLINE, called).await.expect("in time").expect("a prompt");
        assert_eq!((&told["applied"], &told["groups"]), (&json!([0, 1]), &json!([" "])), "{uri}");
        assert_eq!(told["index"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_device_are_tried_in_order_at_its_prompts() {
    let telnetd = Telnetd::gnu(LOGIN).await;
    let host = TestHost::start(&format!(
        "[credentials.wrong]\nusername = \"lab\"\npassword = \"hunter2\"\nfallback = [\"right\"]\n\
         [credentials.right]\nusername = \"lab\"\npassword = \"secret\"\n\
         [devices.a]\ncredentials = \"wrong\"\n\
         [devices.a.paths]\ncli = {{ uri = \"{0}\", login = {{}} }}\n\
         bad = {{ uri = \"{0}\", login = {{ password = \"hunter2\" }}, credentials = \"right\" }}\n",
        telnetd.uri()
    ))
    .await;
    let heard = call(&host, "devices.a.cli", json!({}), sum()).await;
    assert_eq!(heard["groups"], json!(["42"]));
    let opened = timeout(DEADLINE, host.open("devices.a.bad", json!({}))).await.expect("in time");
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_asks_fails_the_login_by_its_deadline() {
    let peer = TcpPeer::silent().await;
    let toml = format!(
        "[connections.it]\nuri = \"{}\"\nlogin = {{ password = \"hunter2\", timeout = \"300ms\" }}\n",
        peer.uri()
    );
    let host = TestHost::start(&toml).await;
    let opened = timeout(Duration::from_secs(30), host.open("connections.it", json!({}))).await;
    let error = opened.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("step=login"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_login_have_their_place() {
    for (login, text) in [
        ("{ prompt = \"(\" }", "connections.it.login.prompt"),
        ("{ pasword = \"hunter2\" }", "did you mean \"password\""),
        ("{ timeout = 3 }", "connections.it.login.timeout"),
    ] {
        let toml = format!("[connections.it]\nuri = \"tcp://127.0.0.1:1\"\nlogin = {login}\n");
        let Err(error) = TestHost::try_start(&toml).await else { panic!("{login} was taken") };
        let error = error.to_string();
        assert!(error.contains(text) && error.contains(":3:"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_the_operations_too() {
    let telnetd = Telnetd::busybox(SHELL).await;
    let uri = telnetd.uri();
    let pattern = "pattern=A([0-9]+)B";
    let arguments = ["call", &uri, "send_expect", "text=echo A$((6*7))B", pattern, "timeout=50s"];
    let done = ran(&arguments, "").await.ok();
    assert!(done.text().contains("matched: A42B\n"), "{}", done.text());
    let typing = r#"{ pattern = "[$#] ?$", answer = "echo A$((6*7))B", last = false }"#;
    let rules = format!("rules=[{typing}, {{ pattern = \"A42B\" }}]");
    let done = ran(&["call", &uri, "converse", &rules, "timeout=50s"], "").await.ok();
    assert!(done.text().contains("applied: [0]\n"), "{}", done.text());
    let done = ran(&["call", &uri, "send_expekt", "text=x"], "").await;
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("did you mean \"send_expect\""), "{}", done.stderr);
    let silent = TcpPeer::silent().await;
    let late = ["call", &silent.uri(), "expect", "pattern=never", "timeout=50ms"];
    let done = ran(&late, "").await;
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("waited 50ms for \"never\""), "{}", done.stderr);
}
