//! Files by SFTP.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jackfield_plugin_api::{ErrorKind, Result, Session};
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Lab;
use crate::support::process::{DEADLINE, descendants};

async fn call(session: &Session, operation: &str, params: Value) -> Result<Value> {
    timeout(DEADLINE, session.call(operation, &params)).await.expect("an answer in time")
}

fn names(listed: &Value) -> Vec<&str> {
    let entries = listed["entries"].as_array().expect("entries");
    entries.iter().map(|entry| entry["name"].as_str().expect("a name")).collect()
}

/// What a file can have in it, and not compress or repeat.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).expect("a byte")
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// How often the server's processes have `path` open.
fn open_files(server: Pid, path: &str) -> usize {
    let opened = |pid: Pid| fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    let files = descendants(server).into_iter().filter_map(|pid| opened(pid).ok()).flatten();
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target == Path::new(path)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_told_changed_and_removed() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let folder = lab.sshd.home().join("lab");
    let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    let made = json!({ "path": path("a/b"), "parents": true, "mode": "0750" });
    call(&session, "sftp_mkdir", made.clone()).await.expect("folders");
    call(&session, "sftp_mkdir", made).await.expect("folders that are there already");
    assert_eq!(fs::metadata(path("a/b")).unwrap().permissions().mode() & 0o777, 0o750);

    let put = json!({ "path": path("a/one.txt"), "content": "hi\n", "mode": "0640", "modified": 1_000_000_000 });
    call(&session, "sftp_put", put).await.expect("a file");
    let stat =
        call(&session, "sftp_stat", json!({ "path": path("a/one.txt") })).await.expect("facts");
    assert_eq!(stat["type"], "file");
    assert_eq!(stat["size"], 3);
    assert_eq!(stat["mode"], "0640");
    assert_eq!(stat["modified"], 1_000_000_000);
    let got =
        call(&session, "sftp_get", json!({ "path": path("a/one.txt") })).await.expect("content");
    assert_eq!(got["output"], "hi\n");

    fs::write(path("a/.hidden"), "").unwrap();
    fs::write(path("a/two.log"), "").unwrap();
    symlink("one.txt", path("a/link")).unwrap();
    let listed = call(&session, "sftp_list", json!({ "path": path("a") })).await.expect("a list");
    assert_eq!(names(&listed), [".hidden", "b", "link", "one.txt", "two.log"]);
    let found =
        call(&session, "sftp_glob", json!({ "pattern": path("*/[ot]*.*") })).await.expect("a list");
    assert_eq!(names(&found), [path("a/one.txt"), path("a/two.log")]);
    let link = json!({ "path": path("a/link"), "follow": false });
    assert_eq!(call(&session, "sftp_stat", link).await.expect("facts")["type"], "link");
    let target = call(&session, "sftp_readlink", json!({ "path": path("a/link") })).await;
    assert_eq!(target.expect("a path")["path"], "one.txt");

    let rename =
        |replace| json!({ "from": path("a/one.txt"), "to": path("a/two.log"), "replace": replace });
    let error = call(&session, "sftp_rename", rename(false)).await.expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    call(&session, "sftp_rename", rename(true)).await.expect("it is replaced");
    assert_eq!(fs::read(path("a/two.log")).unwrap(), b"hi\n");
    let set = json!({ "path": path("a/two.log"), "mode": "0600", "size": 1 });
    call(&session, "sftp_setstat", set).await.expect("it is set");
    assert_eq!(fs::metadata(path("a/two.log")).unwrap().len(), 1);
    for name in ["a/two.log", "a/link", "a/.hidden", "a/b", "a"] {
        call(&session, "sftp_remove", json!({ "path": path(name) })).await.expect(name);
    }
    let error =
        call(&session, "sftp_stat", json!({ "path": path("a") })).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let home = call(&session, "sftp_realpath", json!({ "path": "." })).await.expect("a path");
    assert!(home["path"].as_str().is_some_and(|home| home.starts_with('/')), "{home}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_names_of_statuses() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let error =
        call(&session, "sftp_get", json!({ "path": "/nowhere" })).await.expect_err("nothing");
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, Some(2)), "{error}");
    assert!(error.to_string().contains("status=no_such_file"), "{error}");
    assert!(error.to_string().contains("path=/nowhere"), "{error}");
    let error = call(&session, "sftp_get", json!({ "path": "/" })).await.expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let many = json!({ "path": "/usr/bin", "max_entries": 3 });
    let error = call(&session, "sftp_list", many).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let much = json!({ "path": "/dev/zero", "max_output": 100_000 });
    let error = call(&session, "sftp_get", much).await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let error =
        call(&session, "sftp_get", json!({ "path": "/", "lenght": 1 })).await.expect_err("unknown");
    assert!(error.to_string().contains("lenght"), "{error}");
    let both = json!({ "sftp_get": { "path": "/x" }, "exec": "true" });
    let error = session.open_stream(&both).await.expect_err("two of them");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_streams_both_ways_byte_for_byte() {
    let lab = Lab::new().await;
    // Small windows and odd blocks, so that each border is met.
    let session = lab.session(&json!({ "sftp_window": 70_001, "sftp_block": 7_001 })).await;
    let path = lab.sshd.home().join("big.bin");
    let sent = content(1_234_567);
    let put = json!({ "sftp_put": { "path": path, "size": sent.len(), "sync": true } });
    let writing = session.open_stream(&put).await.expect("a stream");
    let mut stream = writing.take_stream().expect("a stream");
    stream.write_all(&sent).await.expect("it is taken");
    assert!(!path.exists(), "it must not be there before it is whole");
    timeout(DEADLINE, stream.shutdown()).await.expect("in time").expect("it is put in place");
    assert!(fs::read(&path).unwrap() == sent);
    let left: Vec<_> =
        fs::read_dir(lab.sshd.home()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");

    let reading =
        session.open_stream(&json!({ "sftp_get": { "path": path } })).await.expect("a stream");
    assert_eq!(reading.info().facts["size"], sent.len());
    let mut got = Vec::new();
    reading.take_stream().expect("a stream").read_to_end(&mut got).await.expect("all of it");
    assert!(got == sent);
    let part = json!({ "sftp_get": { "path": path, "offset": 1_000_000, "length": 12_345 } });
    let reading = session.open_stream(&part).await.expect("a stream");
    let mut got = Vec::new();
    reading.take_stream().expect("a stream").read_to_end(&mut got).await.expect("a part");
    assert!(got == sent[1_000_000..1_012_345]);
    // A file that has no size, as those of the kernel.
    let told =
        call(&session, "sftp_get", json!({ "path": "/proc/self/status" })).await.expect("content");
    assert!(told["output"].as_str().unwrap().contains("VmPeak"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_never_in_place() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let path = lab.sshd.home().join("kept.txt");
    fs::write(&path, "before").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let entries = || fs::read_dir(lab.sshd.home()).unwrap().count();
    let before = entries();
    // Dropped in the middle.
    let put = json!({ "sftp_put": { "path": path } });
    let writing = session.open_stream(&put).await.expect("a stream");
    let mut stream = writing.take_stream().expect("a stream");
    stream.write_all(&content(100_000)).await.expect("it is taken");
    assert_eq!(entries(), before + 1);
    drop((stream, writing));
    timeout(DEADLINE, async {
        while entries() > before {
            call(&session, "sftp_stat", json!({ "path": path })).await.expect("facts");
        }
    })
    .await
    .expect("what was left is removed");
    // Another number of bytes than was said.
    let put = json!({ "sftp_put": { "path": path, "size": 7 } });
    let writing = session.open_stream(&put).await.expect("a stream");
    let mut stream = writing.take_stream().expect("a stream");
    stream.write_all(b"short").await.expect("it is taken");
    let error = jackfield_plugin_api::Error::from(stream.shutdown().await.expect_err("too short"));
    assert!(error.to_string().contains("expected=7"), "{error}");
    assert_eq!((fs::read(&path).unwrap(), entries()), (b"before".to_vec(), before));
    // Whole at last, with the permissions that were there.
    call(&session, "sftp_put", json!({ "path": path, "content": "after" })).await.expect("a file");
    assert_eq!(fs::read(&path).unwrap(), b"after");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_is_gone_on_with() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "sftp_window": 65_536 })).await;
    let path = lab.sshd.home().join("slow.bin");
    let sent = content(500_000);
    let put = json!({ "sftp_put": { "path": path, "resume": true, "size": sent.len() } });
    let part = lab.sshd.home().join(".slow.bin.part");
    let writing = session.open_stream(&put).await.expect("a stream");
    assert_eq!(writing.info().facts["offset"], 0);
    let mut stream = writing.take_stream().expect("a stream");
    stream.write_all(&sent[..300_000]).await.expect("it is taken");
    drop((stream, writing));
    let settled = async {
        while fs::metadata(&part).map_or(0, |it| it.len()) < 300_000 {
            call(&session, "sftp_stat", json!({ "path": "." })).await.expect("facts");
        }
    };
    timeout(DEADLINE, settled).await.expect("what was written is kept");
    let writing = session.open_stream(&put).await.expect("a stream");
    let offset = writing.info().facts["offset"].as_u64().expect("an offset");
    assert_eq!(offset, 300_000 - 65_536);
    let mut stream = writing.take_stream().expect("a stream");
    let rest = &sent[usize::try_from(offset).unwrap()..];
    stream.write_all(rest).await.expect("it is taken");
    stream.shutdown().await.expect("it is put in place");
    assert!(fs::read(&path).unwrap() == sent && !part.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_transfers_close_their_files_and_give_their_turn_back() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "sftp_transfers": 2 })).await;
    let zero = json!({ "sftp_get": { "path": "/dev/zero" } });
    for _ in 0..20 {
        let open = || async { session.open_stream(&zero).await.expect("a stream") };
        let (one, other) = (open().await, open().await);
        let error = session.open_stream(&zero).await.expect_err("a third");
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        let mut buffer = [0; 1000];
        one.take_stream().expect("a stream").read_exact(&mut buffer).await.expect("zeros");
        drop((one, other));
    }
    // OpenSSH's server has room for 100 open files, and is not asked for more than two.
    let closed = async {
        while open_files(lab.sshd.pid(), "/dev/zero") > 0 {
            call(&session, "sftp_stat", json!({ "path": "." })).await.expect("facts");
        }
    };
    timeout(DEADLINE, closed).await.expect("all are closed");
    // The conversation ends with the session's drain, though it is kept for the next operation until then.
    timeout(DEADLINE, session.drain()).await.expect("in time").expect("drained");
    assert_eq!(session.info().facts["channels"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_ends_transfers_with_an_error() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let zero = json!({ "sftp_get": { "path": "/dev/zero" } });
    let reading = session.open_stream(&zero).await.expect("a stream");
    let mut stream = reading.take_stream().expect("a stream");
    stream.read_exact(&mut [0; 100]).await.expect("zeros");
    assert!(lab.sshd.kill_sessions() > 0);
    let rest = async {
        while stream.read(&mut [0; 65_536]).await? > 0 {}
        std::io::Result::Ok(())
    };
    let error = timeout(DEADLINE, rest).await.expect("in time").expect_err("it is cut off");
    assert_eq!(jackfield_plugin_api::Error::from(error).kind(), ErrorKind::Closed);
}
