//! The servers, as processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Quic,
    WebTransport,
}

impl Scheme {
    pub(crate) fn named(name: &str) -> Self {
        if name == "quic" { Scheme::Quic } else { Scheme::WebTransport }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scheme::Quic => "quic",
            Scheme::WebTransport => "webtransport",
        }
    }

    pub(crate) fn python(self) -> &'static str {
        match self {
            Scheme::Quic => "aioquic 1.7.0",
            Scheme::WebTransport => "pywebtransport 0.8.1",
        }
    }
}

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `jackfield run`.
    Host,
    /// This program with the driver.
    Driver,
    /// Python.
    Python,
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

/// A certificate for `localhost`, and its key, as files in `folder`.
pub(crate) fn certificate(folder: &Path) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(folder.join("crt"), made.cert.pem()).expect("a file");
    fs::write(folder.join("key"), made.signing_key.serialize_pem()).expect("a file");
    let only_us = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("key"), only_us).expect("a private file");
}

impl Server {
    pub(crate) async fn start(kind: Kind, scheme: Scheme, folder: &Path) -> Self {
        let (certificate, key) = (folder.join("crt"), folder.join("key"));
        let this = std::env::current_exe().expect("this program");
        let (mut command, before) = match kind {
            Kind::Driver => {
                let mut command = Command::new(this);
                command.args(["serve", scheme.name()]).arg(certificate).arg(key);
                (command, "listening on ")
            }
            Kind::Host => {
                let toml = format!(
                    "[handlers.echo]\n[[routes]]\nlisten = \"{}://127.0.0.1:0\"\n\
                     to = \"handlers.echo\"\n\
                     options = {{ certificate_file = {certificate:?}, key_file = {key:?} }}\n",
                    scheme.name()
                );
                let file = folder.join("jackfield.toml");
                fs::write(&file, toml).expect("a file");
                let mut command = Command::new(this.with_file_name("jackfield"));
                command.arg("run").arg("--config").arg(file);
                (command, "local=\"127.0.0.1:")
            }
            Kind::Python => {
                let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../support/scripts");
                let script = match scheme {
                    Scheme::Quic => "quic_server.py",
                    Scheme::WebTransport => "wt_pywebtransport.py",
                };
                let mut command = Command::new(python(&this));
                command.args(["-I", "-u"]).arg(scripts.join(script));
                command.arg("--cert").arg(certificate).arg("--key").arg(key);
                (command, "listening on ")
            }
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server that starts");
        let port = port_of(&mut child, before, kind == Kind::Host);
        Server { child, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The processor time it has taken, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("the state of a process");
        let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
        let field = |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse().ok());
        // User and system time, fields 14 and 15 of the whole line, in ticks of 10 ms.
        let ticks: [Option<f64>; 2] = [field(11), field(12)];
        ticks.into_iter().map(|ticks| ticks.expect("a number")).sum::<f64>() / 100.0
    }

    /// Its memory in KiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the state of a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a field");
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python(this: &Path) -> PathBuf {
    let target = this.ancestors().nth(2).expect("a target folder");
    let python = target.join("peers/python/bin/python");
    assert!(python.is_file(), "{} is missing: tests/run makes it", python.display());
    python
}

/// Reads the log until it tells the port, and then on, so that the server never waits for a reader.
fn port_of(child: &mut Child, before: &str, errors: bool) -> u16 {
    let out = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>);
    let err = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>);
    let (main, other) = if errors { (err, out) } else { (out, err) };
    let mut other = other.expect("a pipe");
    std::thread::spawn(move || std::io::copy(&mut other, &mut std::io::sink()));
    let mut lines = BufReader::new(main.expect("a pipe")).lines();
    let port = loop {
        let line = lines.next().expect("a line with the port").expect("text");
        if let Some((_, rest)) = line.split_once(before) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            break digits.parse().expect("a port");
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    port
}
