//! Python's `websockets`, as Debian packages it.

use std::process::Command;

use crate::support::{
    need::need_file,
    process::{command, script},
};

const PYTHON: &str = "/usr/bin/python3";
const LIBRARY: &str = "/usr/lib/python3/dist-packages/websockets";
const PACKAGE: &str = "python3-websockets";

pub(super) fn server() -> Command {
    python("ws_server.py")
}

pub(super) fn client() -> Command {
    python("ws_client.py")
}

fn python(name: &str) -> Command {
    need_file(LIBRARY, PACKAGE);
    // Isolated and from the system: a virtual environment of the caller must not change the peer.
    let mut python = command(need_file(PYTHON, PACKAGE));
    python.args(["-I", "-u"]).arg(script(name));
    python
}
