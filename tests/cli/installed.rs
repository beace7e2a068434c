//! Where plugins and a configuration are looked for: beside the program, never in the working directory.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use super::ECHO;
use crate::support::jackfield::{Config, beside, binary, jackfield};
use crate::support::process::{command, run, tempdir};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `plugins` of the copy `program`, from a working directory that has plugins and a configuration.
async fn plugins(program: &Path) -> String {
    let away = tempdir();
    copy(&beside("libjackfield_echo.so"), &away.path().join("plugins/libjackfield_echo.so"));
    fs::write(away.path().join("jackfield.toml"), "wrong = true\n").unwrap();
    let mut here: Command = command(program);
    here.arg("plugins").current_dir(away.path()).env("XDG_CACHE_HOME", away.path().join("cache"));
    run(here, "").await.ok().text()
}

#[tokio::test]
async fn drivers_beside_the_program_are_found_and_the_working_directory_gives_none() {
    let folder = tempdir();
    let program = folder.path().join("jackfield");
    copy(&binary(), &program);
    copy(&beside("libjackfield_tcp.so"), &folder.path().join("libjackfield_tcp.so"));
    let found = plugins(&program).await;
    assert!(found.contains("driver tcp") && !found.contains("echo"), "{found}");
}

#[tokio::test]
async fn so_are_those_of_an_installation() {
    let folder = tempdir();
    let program = folder.path().join("bin/jackfield");
    copy(&binary(), &program);
    let place = folder.path().join("lib/jackfield/plugins");
    copy(&beside("libjackfield_tcp.so"), &place.join("tcp.so"));
    let found = plugins(&program).await;
    assert!(found.contains("driver tcp") && !found.contains("echo"), "{found}");
    let looked_in = format!("{} /usr/lib/jackfield/plugins", place.display());
    assert!(found.contains(&looked_in), "{found}");
}

#[tokio::test]
async fn a_variable_names_the_configuration_and_a_flag_wins_over_it() {
    let (good, bad) = (Config::new(ECHO), Config::new("wrong = true\n"));
    let mut named = jackfield(&["check"]);
    named.env("JACKFIELD_CONFIG", good.file());
    assert!(run(named, "").await.ok().text().contains("ok: 1 routes"));
    let file = good.file();
    let mut flagged = jackfield(&["check", "--config", &file]);
    flagged.env("JACKFIELD_CONFIG", bad.file());
    run(flagged, "").await.ok();
    let mut wrong = jackfield(&["check"]);
    wrong.env("JACKFIELD_CONFIG", bad.file());
    let wrong = run(wrong, "").await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.starts_with(&bad.file()), "{}", wrong.stderr);
}
