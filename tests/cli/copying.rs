//! `cp`: files to, from and between devices.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::login;
use crate::support::{
    jackfield::{Config, ran},
    peers::sshd::{Sshd, USER},
    process::{Ran, tempdir},
};

/// Runs `cp` with leave to log in to `sshd`.
async fn cp(sshd: &Sshd, arguments: &[&str]) -> Ran {
    let login = login(sshd);
    let line: Vec<&str> = ["cp"].into_iter().chain(login[1..].iter().map(String::as_str)).collect();
    ran(&[&line, arguments].concat(), "").await
}

/// A path of the account's home as a URI.
fn remote(sshd: &Sshd, path: &str) -> String {
    format!("ssh://{USER}@127.0.0.1:{}/~/{path}", sshd.port())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A folder with a few files in it.
fn tree(folder: &Path) -> PathBuf {
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("below/empty")).unwrap();
    fs::write(tree.join("one"), "1").unwrap();
    fs::write(tree.join("below/two"), vec![b'2'; 300_000]).unwrap();
    fs::set_permissions(tree.join("one"), fs::Permissions::from_mode(0o700)).unwrap();
    let times = fs::FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    fs::File::options().write(true).open(tree.join("one")).unwrap().set_times(times).unwrap();
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_go_there_and_back_with_all_that_is_in_them() {
    let sshd = Sshd::start().await;
    let here = tempdir();
    let tree = tree(here.path());
    cp(&sshd, &["-rp", text(&tree), &remote(&sshd, "")]).await.ok();
    let there = sshd.home().join("tree");
    assert_eq!(names(&there), ["below", "one"]);
    assert_eq!(names(&there.join("below")), ["empty", "two"]);
    let back = here.path().join("back");
    cp(&sshd, &["-rp", &remote(&sshd, "tree"), text(&back)]).await.ok();
    assert_eq!(fs::read(back.join("below/two")).unwrap(), vec![b'2'; 300_000]);
    let known = fs::metadata(back.join("one")).unwrap();
    assert_eq!(known.permissions().mode() & 0o777, 0o700);
    let changed = known.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(changed.as_secs(), 1_000_000_000);
    // Without -r a folder is a mistake of its own, and the rest is copied.
    let ran = cp(&sshd, &[text(&tree), text(&tree.join("one")), &remote(&sshd, "below/")]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_patterns_and_devices_stand_where_paths_do() {
    let sshd = Sshd::start().await;
    let here = tempdir();
    for name in ["a.log", "b.log", "c.txt"] {
        fs::write(sshd.home().join(name), name).unwrap();
    }
    let logs = here.path().join("logs");
    fs::create_dir(&logs).unwrap();
    cp(&sshd, &[&remote(&sshd, "*.log"), text(&logs)]).await.ok();
    assert_eq!(names(&logs), ["a.log", "b.log"]);
    // A name of the configuration, and from device to device.
    let config = Config::new(&format!(
        "[connections.lab]\nuri = \"ssh://{USER}@127.0.0.1:{}\"\n\
         options = {{ key_file = {:?}, known_hosts = {:?} }}\n\
         [upstreams.all]\ntargets = [\"connections.lab\"]\n",
        sshd.port(),
        sshd.key(),
        sshd.known_hosts()
    ));
    let file = config.file();
    let named = |from: &str, to: &str| {
        let line = ["cp", from, to, "--config", &file].map(str::to_owned);
        async move { ran(&line.each_ref().map(String::as_str), "").await }
    };
    named("connections.lab:c.txt", "connections.lab:copy.txt").await.ok();
    assert_eq!(fs::read(sshd.home().join("copy.txt")).unwrap(), b"c.txt");
    named("connections.lab:*.log", "connections.lab:").await.ok();
    let several = named("connections.lab:*.log", "connections.lab:c.txt").await;
    assert_eq!(several.code, Some(1), "{}", several.stderr);
    assert!(several.stderr.contains("expected a folder"), "{}", several.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_destination_that_fails_is_one_line_and_others_get_theirs() {
    let (one, other) = (Sshd::start().await, Sshd::start().await);
    let here = tempdir();
    let file = here.path().join("firmware.bin");
    fs::write(&file, vec![7; 1_000_000]).unwrap();
    let known = here.path().join("known_hosts");
    let both =
        [one.known_hosts(), other.known_hosts()].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&known, both.concat()).unwrap();
    for sshd in [&one, &other] {
        sshd.authorize(&one.key());
    }
    fs::create_dir(one.home().join("flash")).unwrap();
    let (there, missing) = (remote(&one, "flash/"), remote(&other, "flash/"));
    let key = format!("key_file={}", one.key().display());
    let known = format!("known_hosts={}", known.display());
    let line = ["cp", text(&file), "--to", &there, "--to", &missing, "-o", &key, "-o", &known];
    let failed = ran(&line, "").await;
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let errors: Vec<&str> =
        failed.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", failed.stderr);
    assert!(
        errors[0].contains(&other.port().to_string()) && errors[0].contains("no such folder"),
        "{errors:?}"
    );
    assert_eq!(fs::read(one.home().join("flash/firmware.bin")).unwrap(), vec![7; 1_000_000]);
    assert_eq!(names(&one.home().join("flash")), ["firmware.bin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_attempt_has_left_is_gone_on_with_if_it_is_the_same() {
    let sshd = Sshd::start().await;
    let here = tempdir();
    let file = here.path().join("big.bin");
    let content: Vec<u8> = (0..6_000_000u32).flat_map(u32::to_le_bytes).take(6_000_000).collect();
    fs::write(&file, &content).unwrap();
    let part = sshd.home().join(".big.bin.part");
    for left in [content[..5_000_000].to_vec(), vec![0; 5_000_000], vec![0; 7_000_000]] {
        fs::write(&part, left).unwrap();
        cp(&sshd, &["--resume", text(&file), &remote(&sshd, "big.bin")]).await.ok();
        assert!(fs::read(sshd.home().join("big.bin")).unwrap() == content && !part.exists());
    }
    // The other way round.
    let back = here.path().join("back");
    fs::create_dir(&back).unwrap();
    for left in [content[..5_000_000].to_vec(), vec![0; 5_000_000]] {
        fs::write(back.join(".big.bin.part"), left).unwrap();
        cp(&sshd, &["--resume", &remote(&sshd, "big.bin"), text(&back)]).await.ok();
        assert!(fs::read(back.join("big.bin")).unwrap() == content);
        assert_eq!(names(&back), ["big.bin"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told_and_left_out() {
    let sshd = Sshd::start().await;
    let here = tempdir();
    let tree = tree(here.path());
    symlink("one", tree.join("link")).unwrap();
    symlink("/nowhere", tree.join("dead")).unwrap();
    symlink("below", tree.join("folder")).unwrap();
    let copied = cp(&sshd, &["-r", text(&tree), &remote(&sshd, "copy")]).await;
    assert_eq!(copied.code, Some(1), "{}", copied.stderr);
    assert_eq!(
        copied.stderr.lines().filter(|line| line.starts_with("error: ")).count(),
        2,
        "{}",
        copied.stderr
    );
    assert_eq!(names(&sshd.home().join("copy")), ["below", "link", "one"]);
    assert_eq!(fs::read(sshd.home().join("copy/link")).unwrap(), b"1");
    let missing = cp(&sshd, &[&remote(&sshd, "missing"), text(here.path())]).await;
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    assert!(missing.stderr.contains("there is no such file"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_is_told_from_a_failure() {
    let here = tempdir();
    let file = text(here.path()).to_owned();
    for (arguments, words) in [
        (vec!["cp", &file], "expected SRC"),
        (vec!["cp", &file, "ssh://h/%zz"], "hexadecimal"),
        (vec!["cp", &file, "connections.none:x"], "none"),
    ] {
        let done = ran(&arguments, "").await;
        assert_eq!(done.code, Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains(words), "{arguments:?}: {}", done.stderr);
    }
    let tcp = ran(&["cp", &file, "tcp://127.0.0.1:1/tmp/"], "").await;
    assert_eq!(tcp.code, Some(1));
    assert!(tcp.stderr.contains("expected a driver with files"), "{}", tcp.stderr);
}
