//! Commands that only tell: check, plugins, drivers, completions.

use std::process::Stdio;

use serde_json::Value;

use super::ECHO;
use crate::loading::{faulty_mode, write};
use crate::support::{
    jackfield::{Config, jackfield, ran},
    process::run,
};

#[tokio::test]
async fn check_accepts_a_good_configuration_and_listens_to_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = Config::new(&ECHO.replace("127.0.0.1:0", &address));
    let checked = ran(&["check", "--config", &config.file()], "").await.ok();
    let said = checked.text();
    let (looked_in, ok) = said.split_once('\n').unwrap();
    assert!(looked_in.starts_with("plugins: looked in /"), "{said}");
    assert_eq!(ok, "ok: 1 routes, 0 connections, 0 devices, 0 upstreams, 1 handlers\n");
    assert_eq!(checked.stderr, "");
}

#[tokio::test]
async fn check_reports_every_mistake_with_its_place() {
    let config = Config::new(
        "[[routes]]\nlisten = \"tpc://127.0.0.1:0\"\nto = \"tcp://127.0.0.1:1\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"tcp://127.0.0.1:1\"\n\
         options = { nodely = true, keepalive = \"x\" }\n",
    );
    let file = config.file();
    let checked = ran(&["check", "--config", &file], "").await;
    assert_eq!(checked.code, Some(2));
    let lines: Vec<&str> = checked.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{file}:2:10: routes.0.listen: ")), "{lines:?}");
    assert!(lines[0].contains("did you mean \"tcp\"?"), "{lines:?}");
    let nodely = format!("{file}:7:13: routes.1.options.nodely: unknown option");
    let keepalive = format!("{file}:7:28: routes.1.options.keepalive: ");
    assert!(lines.iter().any(|line| line.starts_with(&nodely)), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&keepalive)), "{lines:?}");
}

#[tokio::test]
async fn check_warns_of_a_secret_in_plain_text_without_showing_it() {
    let config = Config::new(
        "[connections.lab]\nuri = \"ssh://lab@127.0.0.1\"\noptions = { password = \"hunter2\" }\n",
    );
    let checked = ran(&["check", "--config", &config.file()], "").await.ok();
    let place = format!("{}:3:24: connections.lab.options.password: warning", config.file());
    assert!(checked.stderr.starts_with(&place), "{}", checked.stderr);
    assert!(!checked.stderr.contains("hunter2"), "{}", checked.stderr);
}

#[tokio::test]
async fn plugins_lists_each_file_with_its_state_and_the_reason_of_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("notes.so"), b"only text");
    let dir = folder.path().display().to_string();
    let ran_with = ran(&["plugins", "--plugins", &dir], "").await;
    assert_eq!(ran_with.code, Some(1), "a file in a folder that was named is refused");
    let fault = format!("error: flag --plugins: host.plugins.0: {dir}/notes.so: ");
    assert!(ran_with.stderr.starts_with(&fault), "{}", ran_with.stderr);
    let listed = ran_with.text();
    let row = |name: &str| {
        let found = listed.lines().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("no {name} in\n{listed}")).to_owned()
    };
    assert!(row("FILE").contains("SHA256"));
    assert!(row("notes.so").contains("not_elf"), "{listed}");
    assert!(row("notes.so").contains("is not a whole shared library"), "{listed}");
    assert!(row("libjackfield_tcp.so").contains("running"), "{listed}");
    assert!(row("libjackfield_tcp.so").contains("driver tcp"), "{listed}");

    let json = ran(&["plugins", "--plugins", &dir, "--json"], "").await.text();
    let json: Value = serde_json::from_str(&json).unwrap();
    let refused = &json["plugins"][0];
    assert_eq!(refused["state"], "not_elf");
    assert!(refused["reason"].is_string() && refused["sha256"].is_string(), "{refused}");
}

#[tokio::test]
async fn a_plugin_that_hangs_is_reported_and_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("hangs.so"), &faulty_mode("hangs"));
    let dir = folder.path().display().to_string();
    let cache = format!("host.cache={dir}/cache");
    let set = ["--set", "host.timeouts.init=5s", "--set", &cache];
    let listed = ran(&[&["plugins", "--plugins", &dir][..], &set].concat(), "").await.text();
    let row = listed.lines().find(|line| line.contains("hangs.so")).unwrap();
    assert!(row.contains("trial_hung") && row.contains("within 5s"), "{listed}");
}

#[tokio::test]
async fn drivers_lists_all_and_tells_all_about_one() {
    let all = ran(&["drivers"], "").await.ok().text();
    for name in ["tcp", "tls", "ws", "ssh", "telnet", "echo"] {
        assert!(all.lines().any(|line| line.starts_with(name)), "no {name} in\n{all}");
    }
    let about = ran(&["drivers", "ssh"], "").await.ok().text();
    for part in [
        "kind       layer",
        "roles      client",
        "dial",
        "ssh://  ssh+tcp  port 22",
        "key_file",
        "secret",
        "strict | accept_new | danger_any",
        "exec: ",
        "PARAMETER",
        "exit_status",
    ] {
        assert!(about.contains(part), "no {part:?} in\n{about}");
    }
    for part in ["over       ", " serial ", " tcp ", " tls ", " ws"] {
        let over = about.lines().find(|line| line.trim_start().starts_with("over ")).unwrap();
        assert!(over.contains(part) && !over.contains("http"), "no {part:?} in {over}");
    }
    assert!(!about.contains("Options that it sets"), "{about}");
    let wants = ran(&["drivers", "http"], "").await.ok().text();
    for part in [
        "Options that it sets of what is below",
        "alpn = [\"http/1.1\"]       where version = \"1.1\"",
        "alpn = [\"h2\"]             where version = \"2\"",
        "alpn = [\"h2\",\"http/1.1\"]  otherwise",
    ] {
        assert!(wants.contains(part), "no {part:?} in\n{wants}");
    }
    let transport = ran(&["drivers", "tcp"], "").await.ok().text();
    assert!(transport.contains("over       nothing: it reaches the outside"), "{transport}");
    let by_scheme = ran(&["drivers", "wss"], "").await.ok().text();
    assert!(by_scheme.starts_with("ws: "), "{by_scheme}");
    let handler = ran(&["drivers", "echo"], "").await.ok().text();
    assert!(handler.contains("buffer"), "{handler}");
    let json = ran(&["drivers", "tcp", "--json"], "").await.ok().text();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["options"]["properties"]["nodelay"]["default"], true);
    assert_eq!(json["options"]["properties"]["family"]["default"], "any");
}

#[tokio::test]
async fn completions_ask_the_program_which_knows_its_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = ran(&["completions", shell], "").await.ok().text();
        assert!(script.contains("COMPLETE") && script.contains("jackfield"), "{shell}");
        let mut asking = jackfield(&["--", "jackfield", "rel"]);
        asking.env("COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "1").env("_CLAP_IFS", "\n");
        let answer = run(asking, "").await.ok().text();
        assert!(answer.contains("relay") && !answer.contains("__trial"), "{shell}: {answer}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    for arguments in
        [&["drivers", "--json"][..], &["plugins"], &["completions", "bash"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = jackfield(arguments);
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
    }
}
