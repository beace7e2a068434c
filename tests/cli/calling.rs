//! `jackfield call`: parameters by the operation's schema, results for people and for programs.

use serde_json::Value;

use super::{line, login};
use crate::support::{
    jackfield::{Config, ran},
    peers::sshd::Sshd,
};

#[tokio::test]
async fn a_result_is_shown_as_the_command_wrote_it() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let command = "command=printf out; printf err >&2; exit 7";
    let called = ran(&line("call", &login, &["exec", command]), "").await;
    assert_eq!(called.code, Some(7));
    assert_eq!(called.text(), "out");
    assert_eq!(called.stderr, "err");

    let called = ran(&line("call", &login, &["exec", command, "--json"]), "").await;
    assert_eq!(called.code, Some(7));
    let json: Value = serde_json::from_str(&called.text()).unwrap();
    assert_eq!((json["stdout"].as_str(), json["exit_status"].as_u64()), (Some("out"), Some(7)));
}

#[tokio::test]
async fn what_has_a_stream_is_printed_as_it_comes() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let get = ["sftp_get", "path=/etc/passwd", "--stream"];
    let got = ran(&line("call", &login, &get), "").await.ok().text();
    assert_eq!(got, std::fs::read_to_string("/etc/passwd").unwrap());
    let none = ran(&line("call", &login, &["sftp_stat", "path=/", "--stream"]), "").await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("sftp_stat"), "{}", none.stderr);
}

#[tokio::test]
async fn parameters_have_the_types_of_the_schema() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    // Text that looks like a number, a number, a table, a flag.
    let more = [
        "exec",
        "command=cat; echo -n $JACKFIELD_TEST",
        "stdin=12",
        "timeout_ms=60000",
        "env.JACKFIELD_TEST=34",
        "binary=false",
    ];
    assert_eq!(ran(&line("call", &login, &more), "").await.ok().text(), "1234");
    let params = ["exec", "--params", "{\"command\": \"cat\", \"stdin\": \"from JSON\"}"];
    assert_eq!(ran(&line("call", &login, &params), "").await.ok().text(), "from JSON");
}

#[tokio::test]
async fn a_signal_is_no_success() {
    let sshd = Sshd::start().await;
    let login = login(&sshd);
    let called = ran(&line("call", &login, &["exec", "command=kill -TERM $$"]), "").await;
    assert_eq!(called.code, Some(1));
    assert_eq!(called.stderr, "ended by signal TERM\n");
}

#[tokio::test]
async fn a_named_connection_is_called_via_another_and_other_mistakes_are_no_matter() {
    let sshd = Sshd::start().await;
    let options = format!(
        "{{ key_file = \"{}\", known_hosts = \"{}\" }}",
        sshd.key().display(),
        sshd.known_hosts().display()
    );
    let uri = format!("ssh://tester@127.0.0.1:{}", sshd.port());
    let config = Config::new(&format!(
        "[connections.bastion]\nuri = \"{uri}\"\noptions = {options}\n\
         [connections.inner]\nuri = \"{uri}\"\noptions = {options}\nvia = \"connections.bastion\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         [handlers.echo]\noptions = {{ buffer = 0 }}\n"
    ));
    let file = config.file();
    let arguments = ["call", "connections.inner", "exec", "command=echo in", "--config", &file];
    assert_eq!(ran(&arguments, "").await.ok().text(), "in\n");
    let refused = ran(&["connect", "connections.inner", "-o", "user=x", "-c", &file], "").await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--set connections.inner.options"), "{}", refused.stderr);
}
