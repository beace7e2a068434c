//! Bad input: one clear line, a non-zero exit, nothing half-started.

use crate::support::{
    certs::Certs,
    jackfield::{Config, jackfield, ran},
    peers::{
        echo::Refusing,
        sshd::{Sshd, USER},
        tls_openssl::TlsEcho,
    },
    process::run,
};

/// Runs it, and answers the one line it complains with.
async fn refused(arguments: &[&str], code: i32) -> String {
    let ran = ran(arguments, "").await;
    assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
    assert_eq!(ran.text(), "", "{arguments:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{arguments:?}: {}", ran.stderr);
    ran.stderr.trim_end().to_owned()
}

#[tokio::test]
async fn each_mistake_on_the_command_line_has_its_line() {
    for (arguments, parts) in [
        (&["run"][..], &["/etc/jackfield/jackfield.toml", "--config", "$JACKFIELD_CONFIG"][..]),
        (&["run", "--config", "absent.toml"], &["absent.toml", "there is no such file"]),
        (&["check", "--config", "absent.toml"], &["absent.toml", "there is no such file"]),
        (&["plugins", "--plugins", "absent"], &["--plugins absent", "no such folder"]),
        (&["drivers", "tpc"], &["\"tpc\"", "did you mean \"tcp\"?", "looked in="]),
        (&["drivers", "ehco"], &["did you mean \"echo\"?"]),
        (
            &["plugins", "--set", "host.worker_thread=1"],
            &["--set", "did you mean \"worker_threads\"?"],
        ),
        (
            &["plugins", "--set", "host.worker_threads=x"],
            &["--set", "host.worker_threads: expected"],
        ),
        (&["connect", "tpc://127.0.0.1:1"], &["did you mean \"tcp\"?", "looked in="]),
        (&["connect", "tcp://127.0.0.1:port"], &["byte 16", "expected a port"]),
        (&["connect", "localhost"], &["connections.NAME", "URI"]),
        (&["connect", "connections.none"], &["no connection \"none\""]),
        (&["connect", "handlers.echo"], &["cannot be connected to"]),
        (&["connect", "tcp+tcp://127.0.0.1:1"], &["transport", "last"]),
        (
            &["connect", "tcp://127.0.0.1:1", "-o", "nodely=1"],
            &["nodely", "did you mean \"nodelay\"?"],
        ),
        (&["connect", "tcp://127.0.0.1:1", "-o", "nodelay=x"], &["nodelay", "boolean"]),
        (&["connect", "tcp://127.0.0.1:1", "-o", "nodelay"], &["-o", "KEY=VALUE"]),
        (&["connect", "tcp://127.0.0.1:1", "--options", "[]"], &["--options", "JSON object"]),
        (&["connect", "tcp://127.0.0.1:1", "--linger", "1"], &["--linger", "did you mean \"1s\"?"]),
        (
            &["call", "tcp://127.0.0.1:1", "exec"],
            &[
                "tcp has no operation \"exec\"",
                "known: send expect send_expect execute converse login",
            ],
        ),
        (&["call", "ssh://127.0.0.1:1", "exce"], &["did you mean \"exec\"?", "resize"]),
        (
            &["call", "ssh://127.0.0.1:1", "exec", "command=true", "stdn=1"],
            &["\"stdn\"", "did you mean \"stdin\"?"],
        ),
        (&["call", "ssh://127.0.0.1:1", "exec"], &["\"command\" is required"]),
        (&["relay", "tcp://127.0.0.1:0", "handlers.ehco"], &["TO", "did you mean \"echo\"?"]),
        (&["relay", "ssh://127.0.0.1:0", "handlers.echo"], &["cannot listen"]),
        (
            &["relay", "tcp://127.0.0.1:0", "handlers.echo", "-f", "baklog=1"],
            &["--from-option", "did you mean \"backlog\"?"],
        ),
        (
            &["relay", "tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "-t", "nodely=true"],
            &["--to-option", "did you mean \"nodelay\"?"],
        ),
    ] {
        let line = refused(arguments, 2).await;
        for part in parts {
            assert!(line.contains(part), "{arguments:?}: no {part:?} in {line:?}");
        }
    }
}

#[tokio::test]
async fn each_mistake_in_a_file_has_its_line_and_place() {
    for (toml, place, part) in [
        ("[host]\nworker_thread = 1\n", "2:1: host.worker_thread: ", "\"worker_threads\""),
        ("[host]\nworker_threads = \"x\"\n", "2:18: host.worker_threads: ", "expected"),
        ("[host.quarantine]\npause = \"0s\"\n", "2:9: host.quarantine.pause: ", "expected"),
        (
            "[handlers.echo]\n[[routes]]\nlisten = \"udp://127.0.0.1:0\"\nto = \"handlers.echo\"\n",
            "4:6: routes.0.to: ",
            "sessions of udp can have: datagrams; echo takes stream or messages",
        ),
        ("[connections.a]\nuri = \"tcp:/\"\n\n[host\n", "4:", "expected"),
        (
            "[[routes]]\nlisten = \"tcp//x\"\nto = \"handlers.a\"\n",
            "2:10: routes.0.listen: ",
            "URI",
        ),
        ("[handlers.ehco]\n", "1:", "did you mean \"echo\"?"),
        ("[upstreams.a]\ntargets = [\"tpc://h:1\"]\n", "2:12: upstreams.a.targets.0", "\"tcp\"?"),
        (
            "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1\"\nto = \"handlers.echo\"\n",
            "3:10: routes.0.listen: ",
            "expected a port, as in tcp://127.0.0.1:2323; port 0 is any free one",
        ),
        ("[connections.a]\nuri = \"tls+tcp://h\"\n", "2:7: connections.a.uri: ", "expected a port"),
        (
            "[connections.a]\nuri = \"tcp://*:1\"\n",
            "2:7: connections.a.uri: ",
            "* is for listeners",
        ),
        (
            "[connections]\na.uri = \"tcp://h:1\"\nb = { uri = \"tcp://h:2\", via = \"a\" }\n",
            "3:32: connections.b.via: ",
            "expected a connection that can dial for another (http, quic, socks5, ssh, webtransport), and \
             a is one of tcp",
        ),
        (
            "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:1\"\nto = \"handlers.echo\"\n\
             [[routes]]\nlisten = \"ws://*:1/a\"\nto = \"handlers.echo\"\n",
            "6:10: routes.1.listen: ",
            ":3:10: tcp://127.0.0.1:1",
        ),
        (
            "[handlers.echo]\n[[routes]]\nlisten = \"tcp://*:0\"\nto = \"handlers.echo\"\n\
             allow = [\"10.0.0.0/40\"]\n",
            "5:10: routes.0.allow.0: ",
            "expected an address or a network",
        ),
    ] {
        let config = Config::new(toml);
        for command in ["run", "check"] {
            let ran = ran(&[command, "--config", &config.file()], "").await;
            let errors = ran.stderr;
            let line = errors.lines().find(|line| line.starts_with(&config.file()));
            let line = line.unwrap_or_else(|| panic!("{toml}: no place in\n{errors}"));
            assert_eq!(ran.code, Some(2), "{toml}: {errors}");
            assert!(line[config.file().len() + 1..].starts_with(place), "{toml}: {line}");
            assert!(line.contains(part), "{toml}: {line}");
        }
    }
}

#[tokio::test]
async fn a_wrong_log_filter_is_named() {
    let mut command = jackfield(&["drivers"]);
    command.env("JACKFIELD_LOG", "jackfield=loud");
    let ran = run(command, "").await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("JACKFIELD_LOG"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_place_and_nothing_listens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let free = crate::support::ports::free();
    let config = Config::new(&format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:{free}\"\nto = \"handlers.echo\"\n\
         [[routes]]\nlisten = \"tcp://{address}\"\nto = \"handlers.echo\"\n"
    ));
    let ran = ran(&["run", "--config", &config.file()], "").await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let place = format!("{}:6:10: routes.1.listen: Address already in use", config.file());
    assert!(ran.stderr.contains(&place), "{}", ran.stderr);
    assert!(!ran.stderr.contains("listening"), "{}", ran.stderr);
    let line = refused(&["relay", &format!("tcp://{address}"), "handlers.echo"], 1).await;
    assert!(line.contains("flag FROM: routes.0.listen: Address already in use"), "{line}");
}

#[tokio::test]
async fn a_token_in_a_query_is_written_nowhere() {
    let nobody = Refusing::new();
    for scheme in ["ws", "http", "webtransport"] {
        let uri = format!("{scheme}://{}/p?token=hunter2&hunter2", nobody.address());
        // That no QUIC is there is known by its silence alone.
        let silence: &[&str] =
            if scheme == "webtransport" { &["-o", "idle_timeout=1"] } else { &[] };
        for arguments in [
            &["probe", &uri, "-vvv", "--timeout", "1s"][..],
            &[&["connect", &uri, "-vvv"], silence].concat(),
        ] {
            let ran = ran(arguments, "").await;
            assert_ne!(ran.code, Some(0), "{arguments:?}");
            assert!(!ran.stderr.contains("hunter2"), "{arguments:?}: {}", ran.stderr);
            assert!(!ran.text().contains("hunter2"), "{arguments:?}: {}", ran.text());
        }
    }
}

#[tokio::test]
async fn routes_of_two_files_add_up_and_mistakes_have_their_places() {
    let route = |port: u16| {
        format!("[[routes]]\nlisten = \"tcp://127.0.0.1:{port}\"\nto = \"handlers.echo\"\n")
    };
    let first = Config::new(&format!("[handlers.echo]\n{}", route(0)));
    let second = Config::new(&route(0));
    let both = ["check", "-c", &first.file(), "-c", &second.file()];
    let checked = ran(&both, "").await.ok();
    assert!(checked.text().contains("ok: 2 routes"), "{}", checked.text());
    let wrong = Config::new(&format!("{}obseve = true\n", route(0)));
    let ran = ran(&["check", "-c", &first.file(), "-c", &wrong.file()], "").await;
    let place = format!("{}:4:1: routes.1.obseve: ", wrong.file());
    assert!(ran.stderr.contains(&place), "{}", ran.stderr);
}

#[tokio::test]
async fn an_unreachable_target_is_named() {
    let nobody = Refusing::new();
    let uri = format!("tcp://{}", nobody.address());
    let line = refused(&["connect", &uri], 1).await;
    assert!(line.starts_with("error: Connection refused"), "{line}");
    assert!(line.contains(&nobody.address().to_string()), "{line}");
    let line =
        refused(&["call", &format!("ssh://{}", nobody.address()), "exec", "command=a"], 1).await;
    assert!(line.starts_with("error: Connection refused"), "{line}");
}

#[tokio::test]
async fn a_peer_that_cannot_be_trusted_is_refused_with_the_reason() {
    let certs = Certs::new();
    let server = TlsEcho::start(&certs.self_signed).await;
    let line = refused(&["connect", &format!("tls://127.0.0.1:{}", server.port())], 1).await;
    assert!(line.contains("certificate"), "{line}");

    let sshd = Sshd::start().await;
    let uri = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let known = format!("known_hosts={}", sshd.wrong_known_hosts().display());
    let key = format!("key_file={}", sshd.key().display());
    let line = refused(&["connect", &uri, "-o", &known, "-o", &key], 1).await;
    assert!(line.contains("host key"), "{line}");
}

#[tokio::test]
async fn no_secret_is_ever_written() {
    let sshd = Sshd::start().await;
    let known = format!("known_hosts={}", sshd.known_hosts().display());
    let uri = format!("ssh://{USER}:hunter2@127.0.0.1:{}", sshd.port());
    let plain = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    for arguments in [
        &["connect", &uri, "-o", &known, "-vvv"][..],
        &["connect", &plain, "-o", &known, "-o", "password=hunter2", "-vvv"],
        &["connect", &plain, "-o", &known, "-o", "pasword=hunter2", "-vvv"],
        &["connect", &plain, "-o", "hunter2", "-vvv"],
        &["connect", &plain, "-o", &known, "--options", "{\"password\": \"hunter2\"}", "-vvv"],
        &["connect", &plain, "--options", "{\"password\": \"hunter2\"", "-vvv"],
        &["connect", &plain, "-o", "password={ env = 5, hunter2 = 1 }", "-vvv"],
        &["call", &uri, "exec", "-o", &known, "command=true", "-vvv"],
        &["call", &uri, "exec", "-o", &known, "command=true", "env=hunter2", "-vvv"],
        &["relay", "tcp://127.0.0.1:0", &format!("{uri}%"), "-vvv"],
        &["relay", "tcp://127.0.0.1:0", &plain, "-t", "password=hunter2", "-t", "x=1", "-vvv"],
    ] {
        let ran = ran(arguments, "").await;
        assert_ne!(ran.code, Some(0), "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
        assert!(!ran.stderr.contains("hunter2"), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.text().contains("hunter2"), "{arguments:?}: {}", ran.text());
    }
}
