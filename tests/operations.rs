//! What runs the host: a service manager, upgrades of the program, a user of its own, packages, and what watches it.

mod datagrams;
mod packages;
mod sockets;
mod systemd;
mod upgrades;
mod users;
mod watching;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::support::{
    jackfield::{jackfield, ran},
    process::{Process, Ran, tempdir},
};

/// A file of the repository.
fn repository(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A folder with a configuration and a place for the admin socket.
struct Place {
    folder: TempDir,
}

impl Place {
    /// With `toml` after the keys for the cache and the admin socket.
    fn new(toml: &str) -> Self {
        let folder = tempdir();
        let place = Place { folder };
        place.write(toml);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, toml: &str) {
        let admin = self.admin();
        let cache = self.path("cache");
        let text = format!("host.cache = {cache:?}\nadmin.listen = [\"unix:{admin}\"]\n{toml}");
        fs::write(self.path("jackfield.toml"), text).unwrap();
    }

    fn admin(&self) -> String {
        self.path("run/admin.sock").display().to_string()
    }

    /// `program run` on the configuration, with these variables.
    fn command(&self, program: &Path, variables: &[(&str, String)]) -> std::process::Command {
        let file = self.path("jackfield.toml").display().to_string();
        let plain = jackfield(&["run", "--config", &file]);
        let mut command = crate::support::process::command(program);
        command.args(plain.get_args().skip_while(|argument| *argument != "run"));
        command.current_dir("/");
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        command
    }

    async fn run(&self, program: &Path, variables: &[(&str, String)]) -> Process {
        let mut process = Process::spawn("jackfield", self.command(program, variables));
        process.logged("ready listeners=").await.unwrap_or_else(|log| panic!("{log}"));
        process
    }

    /// Runs a command that asks the host.
    async fn ask(&self, arguments: &[&str]) -> Ran {
        let admin = self.admin();
        ran(&[arguments, &["--admin", &admin]].concat(), "").await
    }
}
