//! The Debian package, installed into a root of its own, and the container file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    host::exchange,
    jackfield::{beside, jackfield},
    need::need,
    process::{Process, command, run, tempdir},
};

fn ran(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("COMPRESSION", "none");
    let ran = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {error}");
    String::from_utf8(ran.stdout).unwrap()
}

/// A root with nothing but what the package has put there.
struct Root {
    folder: TempDir,
    package: String,
}

impl Root {
    fn new() -> Self {
        let folder = tempdir();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/debian/build");
        let built = beside("jackfield").parent().unwrap().display().to_string();
        let output = folder.path().display().to_string();
        need("dpkg-deb", "dpkg");
        need("strip", "binutils");
        let package = ran(&script, &[&built, &output]).trim_end().to_owned();
        let root = Root { folder, package };
        fs::create_dir_all(root.path("var/lib/dpkg/updates")).unwrap();
        fs::create_dir_all(root.path("var/lib/dpkg/info")).unwrap();
        for file in ["status", "available"] {
            fs::write(root.path(&format!("var/lib/dpkg/{file}")), "").unwrap();
        }
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        let root = format!("--root={}", self.path("").display());
        // Its scripts are told the root; what it depends on is in the root of this machine.
        let common = ["--force-script-chrootless", "--force-depends", "--log=/dev/null", &root];
        ran(&need("dpkg", "dpkg"), &[&common, arguments].concat())
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "who reads the result must see what was left out")]
async fn the_package_installs_into_a_clean_root_and_the_host_runs_from_there() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: dpkg installs as root only");
        return;
    }
    let root = Root::new();
    root.dpkg(&["--install", &root.package]);
    let users = fs::read_to_string(root.path("etc/passwd")).unwrap();
    assert!(users.contains("jackfield:"), "{users}");
    for page in ["jackfield.1.gz", "jackfield-run.1.gz", "jackfield-upgrade.1.gz"] {
        assert!(root.path("usr/share/man/man1").join(page).exists(), "{page}");
    }
    let bash = "usr/share/bash-completion/completions/jackfield";
    assert!(fs::read_to_string(root.path(bash)).unwrap().contains("COMPLETE"));
    let unit = fs::read_to_string(root.path("usr/lib/systemd/system/jackfield.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/jackfield run"), "{unit}");
    let route =
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n";
    fs::write(root.path("etc/jackfield/conf.d/echo.toml"), route).unwrap();
    let plain = jackfield(&[]);
    let mut installed = command(root.path("usr/bin/jackfield"));
    installed.args(["run", "--config"]).arg(root.path("etc/jackfield/jackfield.toml"));
    installed.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    installed.env("CACHE_DIRECTORY", root.path("cache"));
    let mut host = Process::spawn("jackfield", installed);
    host.logged("ready listeners=1").await.unwrap_or_else(|log| panic!("{log}"));
    let log = host.log();
    let local = log.split("local=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(exchange(local.parse().unwrap(), b"hello").await.unwrap(), b"hello");
    // All drivers of the package, and no others.
    let drivers = fs::read_dir(root.path("usr/lib/jackfield/plugins")).unwrap().count();
    assert!(log.contains(&format!("plugins running={drivers} ")), "{log}");
    drop(host);
    fs::remove_file(root.path("etc/jackfield/conf.d/echo.toml")).unwrap();
    root.dpkg(&["--purge", "jackfield"]);
    for left in ["etc/jackfield", "usr/bin/jackfield", "usr/lib/jackfield", "var/lib/jackfield"] {
        assert!(!root.path(left).exists(), "{left}");
    }
}

#[tokio::test]
async fn completions_know_the_names_of_a_running_host() {
    let toml = "[connections.bastion]\nuri = \"tcp://127.0.0.1:9\"\n[upstreams.web]\ntargets = [\"tcp://127.0.0.1:9\"]\n\
                [devices.core1.paths.console]\nuri = \"tcp://127.0.0.1:9\"\n";
    let place = super::Place::new(toml);
    let host = place.run(&crate::support::jackfield::binary(), &[]).await;
    let asked = async |line: &[&str]| {
        let words = [&["--", "jackfield"], line].concat();
        let mut asking = jackfield(&words);
        asking.env("COMPLETE", "bash").env("JACKFIELD_ADMIN", place.admin());
        asking.env("_CLAP_COMPLETE_INDEX", line.len().to_string()).env("_CLAP_IFS", "\n");
        run(asking, "").await.ok().text()
    };
    let to = asked(&["call", ""]).await;
    for name in ["connections.bastion", "upstreams.web", "devices.core1.console"] {
        assert!(to.lines().any(|line| line == name), "{name}: {to}");
    }
    assert!(asked(&["drivers", "tc"]).await.contains("tcp"));
    assert!(asked(&["drain", ""]).await.contains("web"));
    drop(host);
    // Without a host there are no names, and no complaint.
    assert_eq!(asked(&["drain", "w"]).await.trim(), "");
}

/// Without a program that builds images, what can be read is checked: that the files it takes are there, and that the
/// commands in it are ones that there are.
#[test]
fn the_container_file_takes_files_and_commands_that_there_are() {
    let text = super::repository("config/container/Containerfile");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(lines[0].starts_with("FROM ") && lines[0].ends_with(" AS build"), "{}", lines[0]);
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "ENV",
        "USER",
        "VOLUME",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
        "&&",
    ];
    for line in &lines {
        let word = line.trim_start().split(' ').next().unwrap();
        assert!(known.contains(&word), "{line}");
    }
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/debian/build").exists());
    let rust = super::repository("Cargo.toml");
    let version = rust.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(text.contains(&format!("rust:{version}-")), "expected rust {version}");
    let exec: Vec<Vec<String>> = lines
        .iter()
        .filter_map(|line| line.split_once('['))
        .map(|(_, list)| serde_json::from_str(&format!("[{list}")).unwrap())
        .collect();
    assert_eq!(exec.len(), 4, "{exec:?}");
}
