//! Each peer against its own kind, with no Jackfield between: when one of these fails, the peer is
//! broken and the tests of the drivers say nothing.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
    time::timeout,
};

use crate::support::{
    certs::{Certs, Pair},
    need::need,
    peers::{
        curl::curl,
        echo::{Refusing, TcpPeer},
        modbus::{Device, master, mbpoll},
        ssh_client::{Login, SshClient},
        sshd::{Agent, PASSPHRASE, Sshd, USER},
        tls_openssl::{TlsEcho, TlsServer, tls_client},
        ws::{PROGRAMS, Program, WsServer, ws_client},
    },
    process::{DEADLINE, Process, command, dialogue, run},
};

fn client(sshd: &Sshd, login: Login) -> SshClient {
    SshClient::new(sshd.port(), sshd.port(), &sshd.known_hosts(), login)
}

#[tokio::test]
async fn sshd_takes_key_password_and_agent() {
    let sshd = Sshd::start().await;
    let agent = Agent::with_key(&sshd.key()).await;
    for login in [Login::Key(sshd.key()), Login::Password, Login::Agent(agent.socket())] {
        let ran = client(&sshd, login).exec("id -un >/dev/null; cat; exit 7", "over").await;
        assert_eq!((ran.code, ran.text()), (Some(7), "over".into()), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn sshd_refuses_a_stranger() {
    let mut sshd = Sshd::start().await;
    let ran = client(&sshd, Login::Key(sshd.stranger_key())).exec("true", "").await;
    assert_eq!(ran.code, Some(255));
    assert!(ran.stderr.contains("Permission denied"), "{}", ran.stderr);
    sshd.logged(&format!("Failed publickey for {USER}")).await;
}

#[tokio::test]
async fn ssh_client_refuses_a_wrong_host_key() {
    let sshd = Sshd::start().await;
    let wrong = sshd.wrong_known_hosts();
    let client = SshClient::new(sshd.port(), sshd.port(), &wrong, Login::Key(sshd.key()));
    let ran = client.exec("true", "").await;
    assert_eq!(ran.code, Some(255));
    assert!(ran.stderr.contains("Host key verification failed"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_encrypted_key_opens_with_its_passphrase() {
    let sshd = Sshd::start().await;
    let mut keygen = command("ssh-keygen");
    keygen.args(["-y", "-P", PASSPHRASE, "-f"]).arg(sshd.encrypted_key());
    let public = run(keygen, "").await.ok().text();
    assert!(public.starts_with("ssh-ed25519 "), "{public}");
    let mut keygen = command("ssh-keygen");
    keygen.args(["-y", "-P", "wrong", "-f"]).arg(sshd.encrypted_key());
    assert_ne!(run(keygen, "").await.code, Some(0));
    assert!(sshd.fingerprint().await.starts_with("SHA256:"));
}

#[tokio::test]
async fn sshd_gives_a_pty_and_forwards() {
    let sshd = Sshd::start().await;
    let echo = TcpPeer::echo().await;
    let client = client(&sshd, Login::Key(sshd.key()));
    let mut pty = client.command(&["-tt"]);
    pty.arg("tty; pwd");
    let said = run(pty, "").await.text();
    assert!(said.contains("/dev/pts/"), "{said}");
    assert!(said.contains(sshd.home().to_str().unwrap()), "{said}");
    let forward = client.command(&["-W", &echo.address().to_string()]);
    assert_eq!(dialogue(forward, "through", "through").await.text(), "through");
}

#[tokio::test]
async fn killed_sessions_end_the_client_and_not_the_server() {
    let mut sshd = Sshd::start_with("LoginGraceTime 30\n").await;
    let client = client(&sshd, Login::Key(sshd.key()));
    let mut endless = client.command(&[]);
    endless.arg("echo started; exec sleep 1000");
    let running = tokio::spawn(dialogue(endless, "", "never"));
    sshd.logged("Starting session: command").await;
    assert!(sshd.kill_sessions() > 0);
    assert_eq!(running.await.unwrap().code, Some(255));
    client.exec("true", "").await.ok();
    rustix::process::test_kill_process(sshd.pid()).expect("a server that still runs");
    sshd.kill();
    assert_eq!(client.exec("true", "").await.code, Some(255));
}

#[tokio::test]
async fn sshd_obeys_extra_configuration() {
    let sshd = Sshd::start_with("PasswordAuthentication no\n").await;
    let client = client(&sshd, Login::Password).option("NumberOfPasswordPrompts=1");
    assert_eq!(client.exec("true", "").await.code, Some(255));
    std::fs::remove_file(sshd.empty_known_hosts()).unwrap();
    assert!(sshd.log().contains("Connection"), "{}", sshd.log());
}

#[tokio::test]
async fn websocket_programs_echo_each_other() {
    let steps = json!([
        {"send": "grüße"}, {"recv": true},
        {"send_bytes": 300_000}, {"recv": true},
        {"send_fragments": ["a", "b", "c"]}, {"recv": true},
        {"ping": "beat"},
        {"close": [4000, "done"]},
    ]);
    for (server, peer) in pairs() {
        let mut running = WsServer::start(server).await;
        let flags = ["--subprotocols", "beta", "--header", "X-Probe:yes"];
        let said = ws_client(peer, &running.url("/echo"), None, &flags, &steps).await;
        assert_eq!(said[0], json!({"open": "beta"}), "{peer:?} to {server:?}");
        assert_eq!(said[1], json!({"text": "grüße"}));
        assert_eq!(said[2]["bytes"], 300_000);
        assert_eq!(said[3], json!({"text": "abc"}));
        assert_eq!(said[4], json!({"pong": true}));
        assert_eq!(said[5]["closed"][0], 4000, "{said:?}");
        assert_eq!(running.logged("closed ").await, "4000 done");
    }
}

#[tokio::test]
async fn websocket_servers_do_what_their_paths_say() {
    for (server, peer) in pairs() {
        let mut running = WsServer::start(server).await;
        let flags = ["--header", "X-Probe:yes"];
        let receive = json!([{"recv": true}]);
        let headers = ws_client(peer, &running.url("/headers"), None, &flags, &receive).await;
        let headers: Value = serde_json::from_str(headers[1]["text"].as_str().unwrap()).unwrap();
        assert_eq!(headers["x-probe"], "yes");
        let big = ws_client(peer, &running.url("/big"), None, &[], &receive).await;
        assert_eq!(big[1]["bytes"], 16 << 20);
        let closed = ws_client(peer, &running.url("/close"), None, &[], &receive).await;
        assert_eq!(closed[1], json!({"closed": [4001, "because"]}));
        let pinged = ws_client(peer, &running.url("/ping"), None, &[], &receive).await;
        assert_eq!(pinged[1], json!({"text": "pong"}));
        let dropped = ws_client(peer, &running.url("/drop"), None, &[], &receive).await;
        assert!(
            dropped[1]["closed"][0] == 1006 || dropped[1].get("error").is_some(),
            "{dropped:?}"
        );
        running.kill();
        let port = running.port();
        let gone = ws_client(peer, &format!("ws://127.0.0.1:{port}/"), None, &[], &receive).await;
        assert!(gone[0].get("error").is_some(), "{gone:?}");
    }
}

#[tokio::test]
async fn websocket_clients_check_certificates() {
    let certs = Certs::new();
    let steps = json!([{"send": "secret"}, {"recv": true}]);
    for (server, peer) in pairs() {
        for (pair, good) in [(&certs.server, true), (&certs.expired, false)] {
            let running = WsServer::start_secure(server, pair).await;
            let said = ws_client(peer, &running.url("/"), Some(&certs.ca), &[], &steps).await;
            let echoed = said.get(1) == Some(&json!({"text": "secret"}));
            assert_eq!(echoed, good, "{peer:?} to {server:?}: {said:?}");
        }
    }
}

/// Each server with each client.
fn pairs() -> impl Iterator<Item = (Program, Program)> {
    PROGRAMS.into_iter().flat_map(|server| PROGRAMS.map(|client| (server, client)))
}

#[tokio::test]
async fn openssl_accepts_the_good_certificate_only() {
    let certs = Certs::new();
    let cases: [(&Pair, &str); 4] = [
        (&certs.server, "Verify return code: 0 (ok)"),
        (&certs.expired, "certificate has expired"),
        (&certs.wrong_name, "hostname mismatch"),
        (&certs.self_signed, "self-signed certificate"),
    ];
    for (pair, expected) in cases {
        let server = TlsServer::start(pair, &[]).await;
        let ran = tls_client(server.port(), &certs.ca, "live\n", "evil", &[]).await;
        let said = ran.text() + &ran.stderr;
        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(said.contains("evil"), pair.key == certs.server.key, "{said}");
    }
}

#[tokio::test]
async fn openssl_server_asks_for_client_certificates() {
    let certs = Certs::new();
    let mut server = TlsServer::start_mutual(&certs.server, &certs.ca).await;
    let (certificate, key) = (certs.client.certificate.to_str(), certs.client.key.to_str());
    let flags = ["-cert", certificate.unwrap(), "-key", key.unwrap()];
    let known = tls_client(server.port(), &certs.ca, "live\n", "evil", &flags).await;
    assert!(known.text().contains("evil"), "{}", known.stderr);
    let unknown = tls_client(server.port(), &certs.ca, "live\n", "evil", &[]).await;
    assert!(!unknown.text().contains("evil"), "{}", unknown.text());
    server.logged("peer did not return a certificate").await;
    assert!(certs.dir().join("client.key").exists() && server.log().contains("tester"));
}

#[tokio::test]
async fn socat_echoes_over_tls() {
    let certs = Certs::new();
    let echo = TlsEcho::start(&certs.server).await;
    let ran = tls_client(echo.port(), &certs.ca, "round\n", "round\n", &["-brief"]).await;
    assert!(ran.text().contains("round\n"), "{}", ran.stderr);
}

#[tokio::test]
async fn curl_checks_certificates() {
    let certs = Certs::new();
    for (pair, code) in [(&certs.server, Some(0)), (&certs.wrong_name, Some(60))] {
        let server = TlsServer::start_web(pair).await;
        let url = format!("https://localhost:{}/", server.port());
        let ran = curl(Some(&certs.ca), &[&url]).await;
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(ran.text().contains("s_server"), code == Some(0), "{}", ran.text());
    }
}

#[tokio::test]
async fn tcp_peers_behave_as_named() {
    let (mut answer, payload) = (Vec::new(), vec![7; 200_000]);

    let echo = TcpPeer::echo().await;
    let (mut read, mut write) = TcpStream::connect(echo.address()).await.unwrap().into_split();
    let send = async {
        write.write_all(&payload).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, count) = tokio::join!(send, read.read_to_end(&mut answer));
    assert_eq!((count.unwrap(), &answer), (payload.len(), &payload));
    echo.has_ended(1).await;

    let half = TcpPeer::half_closing(b"hello").await;
    let mut stream = TcpStream::connect(half.address()).await.unwrap();
    answer.clear();
    stream.read_to_end(&mut answer).await.unwrap();
    stream.write_all(&payload).await.unwrap();
    half.has_received(payload.len() as u64).await;
    assert_eq!(answer, b"hello");

    let late = TcpPeer::answering_after_eof(b"late").await;
    let mut stream = TcpStream::connect(late.address()).await.unwrap();
    stream.shutdown().await.unwrap();
    answer.clear();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"late");

    let scripted = TcpPeer::sending("SSH-1.0\r\n").await;
    answer.clear();
    let mut stream = TcpStream::connect(("127.0.0.1", scripted.port())).await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"SSH-1.0\r\n");
}

#[tokio::test]
async fn unkind_tcp_peers_behave_as_named() {
    let mut byte = [0];
    let resetting = TcpPeer::resetting(1).await;
    let mut stream = TcpStream::connect(resetting.address()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let error = stream.read(&mut byte).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let silent = TcpPeer::silent().await;
    let mut stream = TcpStream::connect(silent.address()).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    silent.has_received(3).await;

    let slow = TcpPeer::slow_reader(1, Duration::from_millis(1)).await;
    let mut stream = TcpStream::connect(slow.address()).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    slow.has_received(3).await;

    let hole = TcpPeer::black_hole().await;
    let stream = TcpStream::connect(hole.uri().trim_start_matches("tcp://")).await.unwrap();
    hole.has_accepted(1).await;
    assert_eq!(hole.received(), 0);
    assert_eq!(stream.try_read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    let refusing = Refusing::new();
    let error = TcpStream::connect(refusing.address()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn processes_end_with_their_owner() {
    let mut shell = command("/bin/sh");
    shell.args(["-c", "sleep 1000 & echo child $!; wait"]);
    let mut process = Process::spawn("sh", shell);
    let child: i32 = process.logged("child ").await.unwrap().parse().unwrap();
    let family = [process.pid(), Pid::from_raw(child).unwrap()];
    let folder = process.dir().to_owned();
    drop(process);
    // Whoever adopts the grandchild reaps it a moment later.
    for pid in family {
        timeout(DEADLINE, async {
            while running(pid) {
                yield_now().await;
            }
        })
        .await
        .expect("an ended process");
    }
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_process_that_ends_early_tells_why() {
    let mut shell = command("/bin/sh");
    shell.args(["-c", "echo no such luck; exit 3"]);
    let error = Process::spawn("sh", shell).logged("ready").await.unwrap_err();
    assert!(error.contains("exit status: 3") && error.contains("no such luck"), "{error}");

    let mut sleep = command("/bin/sleep");
    sleep.arg("1000");
    let mut process = Process::spawn("sleep", sleep);
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), None);
}

#[tokio::test]
async fn masters_and_devices_of_modbus_understand_each_other() {
    for mode in ["tcp", "rtu-tcp"] {
        let device = Device::pymodbus(mode).await;
        let read = master(mode, &device.port.to_string()).await;
        assert!(read.ends_with("refused 2\nidentity pymodbus\n"), "{read}");
    }
    let device = Device::libmodbus().await;
    let read = mbpoll(&["-p", &device.port.to_string(), "-r", "5", "127.0.0.1"]).await;
    assert!(read.contains("[5]:"), "{read}");
}

#[test]
fn a_missing_peer_names_its_package() {
    let error = std::panic::catch_unwind(|| need("no-such-program", "its-package")).unwrap_err();
    let text = error.downcast_ref::<String>().expect("a message");
    assert!(text.contains("apt-get install -y --no-install-recommends its-package"), "{text}");
}

fn running(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
