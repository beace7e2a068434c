//! The driver on pseudo terminals. They have no modem lines and no parity.

use crate::{SerialDriver, SerialOptions};
use jackfield_plugin_api::{Address, Driver, ErrorKind, Request, Result, Role, Session, testing};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The far end of a line and the path of ours.
fn line() -> (File, String) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&far).and_then(|()| unlockpt(&far)).expect("its other end");
    let path = ptsname(&far, Vec::new()).expect("its name").into_string().expect("UTF-8");
    (File::from(far), path)
}

async fn open(path: &str, options: SerialOptions) -> Result<Session> {
    let driver = SerialDriver::new(testing::host())?;
    let endpoint = driver.configure(options, Role::Client)?;
    let address = Address::at_path(path.to_owned());
    driver.open(&endpoint, Request::new(address, testing::DEADLINE)).await
}

#[tokio::test]
async fn every_byte_passes_unchanged_both_ways() {
    let (mut far, path) = line();
    let session = open(&path, SerialOptions::default()).await.expect("a session");
    assert_eq!(session.info().peer, Some(path));
    assert_eq!(session.info().facts["baud"], 115_200);
    let mut stream = session.take_stream().expect("a stream");
    let all: Vec<u8> = (0..=255).collect();
    stream.write_all(&all).await.expect("room");
    let mut back = vec![0; 256];
    far.read_exact(&mut back).expect("all of it");
    assert_eq!(back, all);
    far.write_all(&all).expect("room");
    back.fill(0);
    stream.read_exact(&mut back).await.expect("all of it");
    assert_eq!(back, all);
    drop(far);
    let gone = stream.read(&mut back).await.expect_err("a line that is gone is no end");
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn settings_change_while_it_runs_and_are_restored() {
    let (far, path) = line();
    let keep = File::options().read(true).write(true).open(&path).expect("a terminal");
    let mut before = tcgetattr(&keep).expect("its settings");
    before.local_modes |= LocalModes::ECHO;
    before.set_speed(1200).expect("a speed");
    tcsetattr(&keep, OptionalActions::Now, &before).expect("taken");
    let session = open(&path, SerialOptions { baud: 9600, ..Default::default() }).await;
    let session = session.expect("a session");
    let now = tcgetattr(&keep).expect("its settings");
    assert_eq!(now.output_speed(), 9600);
    assert!(!now.local_modes.contains(LocalModes::ECHO));
    let set = session.call("set", &json!({ "baud": 57600, "flow": "software" })).await;
    let set = set.expect("taken");
    assert_eq!((&set["baud"], &set["flow"]), (&json!(57600), &json!("software")));
    assert_eq!(tcgetattr(&keep).expect("its settings").output_speed(), 57600);
    session.call("break", &json!({ "milliseconds": 1 })).await.expect("a break");
    let stream = session.take_stream();
    drop(session);
    assert_eq!(tcgetattr(&keep).expect("its settings").output_speed(), 57600);
    drop(stream);
    let after = tcgetattr(&keep).expect("its settings");
    assert_eq!(after.output_speed(), 1200);
    assert!(after.local_modes.contains(LocalModes::ECHO));
    drop(far);
}

#[tokio::test]
async fn a_line_has_one_user_at_a_time() {
    let (_far, path) = line();
    let first = open(&path, SerialOptions::default()).await.expect("a session");
    let error = open(&path, SerialOptions::default()).await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    drop(first);
    open(&path, SerialOptions::default()).await.expect("free again");
}

#[tokio::test]
async fn modem_lines_that_are_not_there_are_unsupported() {
    let (_far, path) = line();
    let session = open(&path, SerialOptions::default()).await.expect("a session");
    let set_lines = json!({ "dtr": true });
    for (operation, params) in [("lines", json!({})), ("set_lines", set_lines)] {
        let error = session.call(operation, &params).await.expect_err("no modem lines");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    assert!(session.next_event().await.expect("no error").is_none());
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ttyUSB0").display().to_string();
    std::fs::write(&file, "").expect("a file");
    let cases = [
        (file.as_str(), ErrorKind::Config, "not a terminal"),
        ("/dev/null", ErrorKind::Config, "not a terminal"),
        (&format!("{file}1"), ErrorKind::NotFound, &format!("nearest={file}")),
        ("", ErrorKind::Config, "serial:///dev/"),
    ];
    for (path, kind, text) in cases {
        let error = open(path, SerialOptions::default()).await.expect_err(path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_far_end_that_does_not_read_stops_the_writer_and_gets_all() {
    let (mut far, path) = line();
    let session = open(&path, SerialOptions::default()).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let want = sent.clone();
    let writing = tokio::spawn(async move { stream.write_all(&sent).await.map(|()| stream) });
    tokio::task::yield_now().await;
    assert!(!writing.is_finished(), "nothing bounds what is held");
    let reading = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; 300_000];
        far.read_exact(&mut all).map(|()| (all, OwnedFd::from(far)))
    });
    let (all, _far) = reading.await.expect("no panic").expect("all of it");
    assert!(all == want, "the bytes came changed");
    writing.await.expect("no panic").expect("all written");
}

#[tokio::test]
async fn a_purge_throws_away_what_the_line_does_not_take() {
    let (mut far, path) = line();
    let session = open(&path, SerialOptions::default()).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let writing = tokio::spawn(async move {
        stream.write_all(&[b'x'; 300_000]).await?;
        stream.write_all(b"new").await.map(|()| stream)
    });
    // It is stuck until the queue is emptied, and what it still holds is a part of that.
    while !writing.is_finished() {
        session.call("purge", &json!({ "output": true })).await.expect("thrown away");
        tokio::task::yield_now().await;
    }
    let _stream = writing.await.expect("no panic").expect("written");
    let mut rest = Vec::new();
    while !rest.ends_with(b"new") {
        let mut piece = [0; 4096];
        let count = far.read(&mut piece).expect("bytes");
        rest.extend_from_slice(&piece[..count]);
    }
    assert!(rest.len() < 100_000, "{} bytes came out", rest.len());
    let error = session.call("purge", &json!({ "all": true })).await.expect_err("a mistake");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn a_line_may_keep_its_modem_lines_when_it_is_closed() {
    let (_far, path) = line();
    let keep = File::options().read(true).write(true).open(&path).expect("a terminal");
    let hangs_up = || {
        let now = tcgetattr(&keep).expect("its settings");
        now.control_modes.contains(ControlModes::HUPCL)
    };
    for hupcl in [false, true] {
        let options = SerialOptions { hupcl: Some(hupcl), ..Default::default() };
        let session = open(&path, options).await.expect("a session");
        session.call("set", &json!({ "baud": 9600 })).await.expect("taken");
        assert_eq!(hangs_up(), hupcl);
        drop(session);
        assert_eq!(hangs_up(), hupcl, "what is restored undoes it");
        drop(open(&path, SerialOptions::default()).await.expect("a session"));
        assert_eq!(hangs_up(), hupcl, "it is changed unasked");
    }
}

#[tokio::test]
async fn a_break_begins_and_ends_as_it_is_told() {
    let (_far, path) = line();
    let session = open(&path, SerialOptions::default()).await.expect("a session");
    for on in [true, false] {
        session.call("set_break", &json!({ "on": on })).await.expect("taken");
    }
    let error = session.call("set_break", &json!({})).await.expect_err("a mistake");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}
