//! `jackfield connect`: pipes, lines, and a terminal that is given back as it was.

use std::process::Stdio;

use rustix::process::Signal;

use super::{ECHO, line, login};
use crate::support::{
    jackfield::{Config, Jackfield, jackfield, ran},
    peers::{
        echo::TcpPeer,
        sshd::Sshd,
        ws::{PROGRAMS, WsServer},
    },
    process::{dialogue, run, tempdir},
    terminal::Terminal,
};

#[tokio::test]
async fn bytes_pass_both_ways_and_the_end_of_input_ends_one_direction() {
    let host = Jackfield::run(ECHO).await;
    let uri = format!("tcp://{}", host.address(0));
    let sent: Vec<u8> =
        (0..100_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let answer = run(jackfield(&["connect", &uri]), sent.clone()).await.ok();
    assert!(answer.stdout == sent, "{} bytes came back", answer.stdout.len());
    let late = TcpPeer::answering_after_eof(b"after the end").await;
    assert_eq!(ran(&["connect", &late.uri()], "question").await.ok().text(), "after the end");
}

#[tokio::test]
async fn lines_are_text_messages_in_both_directions() {
    for program in PROGRAMS {
        let server = WsServer::start(program).await;
        let uri = server.url("/echo");
        let answer = ran(&["connect", &uri], "grüße\n\nwithout end").await.ok();
        assert_eq!(answer.text(), "grüße\n\nwithout end\n", "{program:?}");
        let talk = dialogue(jackfield(&["connect", &uri]), "ping\n", "ping\n").await.ok();
        assert_eq!(talk.text(), "ping\n", "{program:?}");
        let binary = ran(&["connect", &uri, "--binary"], "a\nb").await.ok();
        assert_eq!(binary.text(), "a\nb", "{program:?}");
    }
}

#[tokio::test]
async fn upstreams_of_the_configuration_can_be_connected_to() {
    let host = Jackfield::run(ECHO).await;
    let config =
        Config::new(&format!("[upstreams.echo]\ntargets = [\"tcp://{}\"]\n", host.address(0)));
    let file = config.file();
    assert_eq!(ran(&["connect", "upstreams.echo", "-c", &file], "hi").await.ok().text(), "hi");
    // What stands in the folder that it is started in is not taken for its own.
    let mut here = jackfield(&["connect", "upstreams.echo"]);
    here.current_dir(config.folder());
    assert_eq!(run(here, "hi").await.code, Some(2));
    let mut named = jackfield(&["connect", "upstreams.echo"]);
    named.env("JACKFIELD_CONFIG", &file);
    assert_eq!(run(named, "hi").await.ok().text(), "hi");
    let misspelt = ran(&["connect", "upstreams.ehco", "-c", &file], "").await;
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.stderr.contains("did you mean \"echo\"?"), "{}", misspelt.stderr);
}

#[tokio::test]
async fn the_exit_status_of_the_far_side_is_ours() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let command = ["-o", "exec=cat; echo done; exit 9", "-o", "stderr=event"];
    let answer = ran(&line("connect", &login, &command), "input\n").await;
    assert_eq!(
        (answer.code, answer.text().as_str()),
        (Some(9), "input\ndone\n"),
        "{}",
        answer.stderr
    );
    let command = ["-o", "exec=kill -KILL $$"];
    let answer = ran(&line("connect", &login, &command), "").await;
    assert_eq!(answer.code, Some(255));
    assert_eq!(answer.stderr, "ended by signal KILL\n");
}

#[tokio::test]
async fn error_output_beside_the_stream_is_shown_as_such() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let command = ["-o", "exec=echo out; echo err >&2", "-o", "stderr=event"];
    let answer = ran(&line("connect", &login, &command), "").await.ok();
    assert_eq!((answer.text().as_str(), answer.stderr.as_str()), ("out\n", "err\n"));
}

#[tokio::test]
async fn signals_end_it_with_their_code() {
    let peer = TcpPeer::silent().await;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let uri = peer.uri();
        let mut terminal = Terminal::start(&jackfield(&["connect", &uri, "-v"]));
        terminal.shows("connected");
        terminal.signal(signal);
        assert_eq!(terminal.ended().await.code(), Some(code));
        assert!(terminal.is_cooked());
    }
}

#[tokio::test]
async fn nobody_to_read_is_no_failure() {
    let peer = TcpPeer::sending(vec![b'x'; 1 << 20]).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = jackfield(&["connect", &peer.uri()]);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{:?}: {errors}", output.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_protocol_leaves_the_terminal_in_its_own_mode() {
    let peer = TcpPeer::echo().await;
    let mut terminal = Terminal::start(&jackfield(&["connect", &peer.uri(), "-v"]));
    terminal.shows("connected");
    assert!(terminal.is_cooked());
    terminal.types("hello\n");
    // Once by the terminal itself, once by the peer.
    terminal.shows("hello\r\nhello\r\n");
    terminal.types("\u{4}");
    assert_eq!(terminal.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_terminal_has_our_size_and_keys_and_the_escape_ends_it() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let mut terminal = Terminal::start(&jackfield(&line("connect", &login, &[])));
    terminal.types("echo 'term='$TERM size=$(stty size)\r");
    terminal.shows("term=vt100 size=24 80");
    assert!(!terminal.is_cooked());
    terminal.types("until [ \"$(stty size)\" = '40 100' ]; do :; done; echo re''sized\r");
    terminal.resize(100, 40);
    terminal.shows("resized");
    // An interrupt is the far side's. A loop of builtins, because a shell that is about to start a
    // program keeps a signal until that program has ended.
    terminal.types(
        "sh -c 'trap \"echo cau\"\"ght; exit\" INT; echo wai\"\"ting; while :; do :; done'\r",
    );
    terminal.shows("waiting");
    terminal.types("\u{3}");
    terminal.shows("caught");
    terminal.types("\r~.");
    assert_eq!(terminal.ended().await.code(), Some(0));
    assert!(terminal.is_cooked());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_however_a_remote_shell_ends() {
    let mut sshd = Sshd::start().await;
    let login = login(&sshd);
    let arguments = line("connect", &login, &[]);
    let start = || {
        let mut terminal = Terminal::start(&jackfield(&arguments));
        terminal.types("echo rea''dy\r");
        terminal.shows("ready");
        assert!(!terminal.is_cooked());
        terminal
    };
    let mut by_itself = start();
    by_itself.types("exit 5\r");
    assert_eq!(by_itself.ended().await.code(), Some(5));
    assert!(by_itself.is_cooked());

    let mut by_signal = start();
    by_signal.signal(Signal::TERM);
    assert_eq!(by_signal.ended().await.code(), Some(143));
    assert!(by_signal.is_cooked());

    let mut by_loss = start();
    assert!(sshd.kill_sessions() > 0);
    assert_eq!(by_loss.ended().await.code(), Some(1));
    by_loss.shows("error: ");
    assert!(by_loss.is_cooked());
    sshd.kill();
}

/// Asks for a password, and for a command once it was right.
const CONSOLE: &str = r#"stty -echo; printf 'Password: '; read password
[ "$password" = s3cret ] || { echo Login incorrect; exit; }
printf '\r\ncore1# '; read command; printf '%s\r\nup 3 days\r\ncore1# ' "$command"; read rest"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_asked_for_on_the_terminal_and_never_shown() {
    let folder = tempdir();
    let config = folder.path().join("lab.toml");
    let text = format!(
        "[connections.console]\nuri = \"process:\"\n\
         login = {{ password = {{ prompt = \"Password of core1\" }} }}\n\
         options = {{ pty = true, command = [\"sh\", \"-c\", '''{CONSOLE}'''] }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let line =
        ["call", "connections.console", "execute", "command=show uptime", "--config", &config];
    let mut terminal = Terminal::start(&jackfield(&line));
    terminal.shows("Password of core1: ");
    assert!(!terminal.is_cooked());
    terminal.types("s3cret\n");
    terminal.shows("up 3 days\r\n");
    assert_eq!(terminal.ended().await.code(), Some(0));
    assert!(terminal.is_cooked() && !terminal.text().contains("s3cret"), "{}", terminal.text());

    let mut broken_off = Terminal::start(&jackfield(&line));
    broken_off.shows("Password of core1: ");
    broken_off.types("\u{3}");
    assert_ne!(broken_off.ended().await.code(), Some(0));
    assert!(broken_off.is_cooked());
}
