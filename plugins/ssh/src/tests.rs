//! The driver against a scripted server over memory: what OpenSSH does not do on demand.

use crate::{SshDriver, SshOptions};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Host, Level, Request, Result, Role, Session, testing,
};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, Response};
use russh::{Channel, ChannelId, Disconnect, Sig};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Plays the part that the name of the command tells.
struct Scripted {
    rounds: usize,
    reports: mpsc::Sender<String>,
}

impl Scripted {
    fn report(&self, text: impl Into<String>) {
        // A test that has ended needs no report.
        let _ = self.reports.try_send(text.into());
    }
}

type Prompts = &'static [(Cow<'static, str>, bool)];

fn ask(prompts: Prompts) -> Auth {
    Auth::Partial { name: "".into(), instructions: "".into(), prompts: Cow::Borrowed(prompts) }
}

impl server::Handler for Scripted {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok(Some("mind the gap".to_owned()))
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, russh::Error> {
        Ok(if user == "open" { Auth::Accept } else { Auth::reject() })
    }

    /// Three rounds: a hidden question, none at all, then in if the first answer was right.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        const SECRET: Prompts = &[(Cow::Borrowed("Password: "), false)];
        self.rounds += 1;
        let answers: Vec<String> = response
            .into_iter()
            .flatten()
            .map(|answer| String::from_utf8_lossy(&answer).into_owned())
            .collect();
        match (self.rounds, answers.as_slice()) {
            (1, _) => Ok(ask(SECRET)),
            (2, [answer]) if answer == "secret" => Ok(ask(&[])),
            (2, [_]) => Ok(ask(SECRET)),
            (3, []) => Ok(Auth::Accept),
            (_, answers) => {
                self.report(format!("again: {answers:?}"));
                Ok(Auth::reject())
            }
        }
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<server::Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        match command {
            b"refuse" => session.channel_failure(channel)?,
            b"crash" => {
                session.channel_success(channel)?;
                session.exit_signal_request(channel, Sig::SEGV, true, "core dumped", "")?;
                session.close(channel)?;
            }
            b"say nothing" => {
                session.channel_success(channel)?;
                session.close(channel)?;
            }
            b"leave" => {
                let text = "going\ndown for\tmaintenance";
                session.disconnect(Disconnect::ServiceNotAvailable, text, "")?;
            }
            b"call back" => {
                let (handle, reports) = (session.handle(), self.reports.clone());
                tokio::spawn(async move {
                    let tries = [
                        handle.channel_open_session().await.is_ok(),
                        handle.channel_open_agent().await.is_ok(),
                        handle.channel_open_x11("h", 1).await.is_ok(),
                        handle.channel_open_forwarded_tcpip("h", 1, "o", 2).await.is_ok(),
                        handle.channel_open_forwarded_streamlocal("p").await.is_ok(),
                        handle.channel_open_direct_tcpip("h", 1, "o", 2).await.is_ok(),
                        handle.channel_open_direct_streamlocal("p").await.is_ok(),
                    ];
                    let _ = reports.try_send(format!("{tries:?}"));
                });
                session.channel_success(channel)?;
            }
            // "wait", until a signal comes.
            _ => session.channel_success(channel)?,
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        self.report(format!("{signal:?}"));
        session.exit_signal_request(channel, signal, false, "", "")?;
        session.close(channel)
    }
}

struct Lab {
    opened: Result<Session>,
    reports: mpsc::Receiver<String>,
}

async fn lab(options: Value) -> Lab {
    lab_on(options, russh::Preferred::DEFAULT, testing::host()).await
}

/// With a server that offers this, on that host.
async fn lab_on(options: Value, preferred: russh::Preferred, host: Host) -> Lab {
    let (near, far) = testing::carriers(64 * 1024);
    let (sender, reports) = mpsc::channel(64);
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519);
    let config = server::Config {
        keys: vec![key.expect("a key")],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        preferred,
        ..server::Config::default()
    };
    let stream = far.take_stream().expect("a stream");
    let server = Scripted { rounds: 0, reports: sender };
    tokio::spawn(async move {
        match server::run_stream(Arc::new(config), stream, server).await {
            Ok(session) => session.await,
            Err(error) => Err(error),
        }
    });
    let driver = SshDriver::new(host).expect("the driver");
    let options: SshOptions = serde_json::from_value(options).expect("options");
    let endpoint = driver.configure(options, Role::Client).expect("an endpoint");
    let request = Request::new(Address::new("lab", 22), testing::DEADLINE).with_carrier(near);
    Lab { opened: driver.open(&endpoint, request).await, reports }
}

/// In without credentials.
async fn open() -> (Session, mpsc::Receiver<String>) {
    let lab = lab(json!({ "user": "open", "agent": false, "host_keys": "danger_any" })).await;
    (lab.opened.expect("a session"), lab.reports)
}

async fn exec(session: &Session, command: &str) -> Result<Value> {
    session.call("exec", &json!({ "command": command })).await
}

fn by_questions(password: &str) -> Value {
    json!({ "user": "lab", "password": password, "host_keys": "danger_any" })
}

#[tokio::test]
async fn hidden_questions_get_the_password_and_empty_rounds_are_passed() {
    let lab = lab(by_questions("secret")).await;
    let session = lab.opened.expect("a session");
    assert_eq!(session.info().facts["auth"], "keyboard-interactive");
    let event = session.next_event().await.expect("events").expect("the banner");
    assert_eq!((event.name.as_str(), &event.data["text"]), ("banner", &json!("mind the gap")));
}

#[tokio::test]
async fn a_wrong_password_is_not_given_twice() {
    let mut lab = lab(by_questions("wr0ng")).await;
    let error = lab.opened.expect_err("a denial");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
    assert_eq!(lab.reports.recv().await.as_deref(), Some("again: [\"\"]"));
    assert!(error.to_string().contains("no answer for \"Password:\""), "{error}");
}

#[tokio::test]
async fn old_algorithms_are_warned_of_where_they_are_used() {
    let options = |cipher: &str| {
        json!({ "user": "open", "agent": false, "host_keys": "danger_any",
                "algorithms": { "cipher": cipher } })
    };
    for (cipher, warned) in [("+aes128-cbc", true), ("aes128-ctr", false)] {
        let name = cipher.trim_start_matches('+');
        let only = russh::cipher::Name::try_from(name).expect("a cipher");
        let preferred =
            russh::Preferred { cipher: Cow::Owned(vec![only]), ..russh::Preferred::DEFAULT };
        let host = testing::TestHost::new();
        let lab = lab_on(options(cipher), preferred, host.host()).await;
        assert_eq!(lab.opened.expect("a session").info().facts["cipher"], name);
        let lines = host.lines();
        let told =
            lines.iter().any(|line| line.level == Level::Warn && line.message.contains(name));
        assert_eq!(told, warned, "{lines:?}");
    }
}

#[tokio::test]
async fn how_a_command_ends_is_told_as_far_as_the_server_tells() {
    let (session, _reports) = open().await;
    let done = exec(&session, "crash").await.expect("a result");
    assert_eq!((&done["signal"], &done["exit_status"]), (&json!("SEGV"), &Value::Null));
    let done = exec(&session, "say nothing").await.expect("a result");
    assert_eq!((&done["signal"], &done["exit_status"]), (&Value::Null, &Value::Null));
    let error = exec(&session, "refuse").await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn signals_arrive_by_their_names() {
    let (session, mut reports) = open().await;
    let stream = session.open_stream(&json!({ "exec": "wait" })).await.expect("a stream");
    stream.call("signal", &json!({ "name": "SIGUSR1" })).await.expect("sent");
    assert_eq!(reports.recv().await.as_deref(), Some("USR1"));
    let mut bytes = stream.take_stream().expect("its bytes");
    // What it says was cut off.
    let error = bytes.read(&mut [0; 8]).await.expect_err("no end");
    assert!(error.to_string().contains("USR1"), "{error}");
    assert_eq!(stream.info().facts["exit_signal"], "USR1");
}

#[tokio::test]
async fn a_command_over_its_time_gets_sigterm() {
    let (session, mut reports) = open().await;
    let params = json!({ "command": "wait", "timeout_ms": 50 });
    let error = session.call("exec", &params).await.expect_err("a time-out");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(reports.recv().await.as_deref(), Some("TERM"));
}

#[tokio::test]
async fn channels_towards_us_are_refused() {
    let (session, mut reports) = open().await;
    let _stream = session.open_stream(&json!({ "exec": "call back" })).await.expect("a stream");
    assert_eq!(reports.recv().await, Some(format!("{:?}", [false; 7])));
}

#[tokio::test]
async fn a_server_that_leaves_says_why_in_one_line() {
    let (session, _reports) = open().await;
    let stream = session.open_stream(&json!({ "exec": "wait" })).await.expect("a stream");
    let mut bytes = stream.take_stream().expect("its bytes");
    let left = exec(&session, "leave").await.expect_err("a loss");
    let read = Error::from(bytes.read(&mut [0; 8]).await.expect_err("a loss"));
    for error in [left, read, session.ping().await.expect_err("a loss")] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.to_string().contains("going down for maintenance"), "{error}");
    }
}
