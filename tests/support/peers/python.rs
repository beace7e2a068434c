//! Peers in Python that Debian does not package: a virtual environment beside the build, made by
//! `tests/run`.

use std::{env, path::PathBuf, process::Command};

use crate::support::process::{command, script};

/// What is in the environment, as `pip` takes it.
const PACKAGES: &str = "aioquic==1.7.0 pywebtransport==0.8.1 telnetlib3==5.0.1 pyserial==3.5 \
     sseclient-py==1.9.0 secsgem==0.3.0 paho-mqtt==2.2.0 amqtt==0.12.1 \
     pymodbus==3.16.1 snmpsim==1.2.1 pysnmp==7.1.22 pysmi==1.6.3 \
     netconf==2.1.0 paramiko==3.4.1";

/// `name`, a script of the tests, run by the environment's Python.
pub(crate) fn python(name: &str) -> Command {
    let mut python = environment();
    python.arg(script(name));
    python
}

/// `name`, a module of a package, run by the environment's Python.
pub(crate) fn python_module(name: &str) -> Command {
    let mut python = environment();
    python.args(["-m", name]);
    python
}

/// `name`, a program that a package has installed, run by the environment's Python.
pub(crate) fn python_program(name: &str) -> Command {
    let mut python = environment();
    python.arg(folder().join("bin").join(name));
    python
}

fn environment() -> Command {
    let program = folder().join("bin/python");
    assert!(
        program.is_file() && has_packages(),
        "{} with its packages is not installed, and this test needs it: python3 -m venv {} && \
         {}/bin/pip install {PACKAGES} (tests/run does it)",
        program.display(),
        folder().display(),
        folder().display(),
    );
    let mut python = command(program);
    // Isolated: the caller's variables must not change the peer.
    python.args(["-I", "-u"]);
    python
}

fn folder() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("a target folder").join("peers/python")
}

fn has_packages() -> bool {
    let versions = std::fs::read_dir(folder().join("lib")).into_iter().flatten().flatten();
    let mut libraries = versions.map(|version| version.path().join("site-packages"));
    libraries.any(|library| {
        [
            "aioquic",
            "pywebtransport",
            "telnetlib3",
            "serial",
            "sseclient",
            "secsgem",
            "paho",
            "amqtt",
            "pymodbus",
            "snmpsim",
            "netconf",
        ]
        .iter()
        .all(|name| library.join(name).is_dir())
    })
}
