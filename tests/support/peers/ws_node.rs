//! Node's `ws`, as Debian packages it.

use std::process::Command;

use crate::support::{
    need::{need, need_file},
    process::{command, script},
};

/// Where Debian keeps node's libraries; a node from elsewhere does not look there by itself.
const LIBRARIES: &str = "/usr/share/nodejs";

pub(super) fn server() -> Command {
    node("ws_server.js")
}

pub(super) fn client() -> Command {
    node("ws_client.js")
}

fn node(name: &str) -> Command {
    need_file("/usr/share/nodejs/ws", "node-ws");
    let mut node = command(need("node", "nodejs"));
    node.arg(script(name)).env("NODE_PATH", LIBRARIES).env_remove("NODE_OPTIONS");
    node
}
