//! Peers in JavaScript that Debian does not package: modules beside the build, installed by `tests/run`.

use std::{env, path::PathBuf, process::Command};

use crate::support::{
    need::need,
    process::{command, script},
};

/// What is installed, as `npm` takes it.
const MODULES: &str = "aedes@1.2.0";

/// `name`, a script of the tests, run by node with those modules.
pub(crate) fn node(name: &str) -> Command {
    let program = need("node", "nodejs");
    let modules = folder().join("node_modules");
    assert!(
        modules.join("aedes").is_dir(),
        "{} is not installed, and this test needs it: npm install --prefix {} {MODULES} (tests/run does it)",
        modules.join("aedes").display(),
        folder().display(),
    );
    let mut node = command(program);
    node.arg(script(name)).env("NODE_PATH", modules).env_remove("NODE_OPTIONS");
    node
}

fn folder() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("a target folder").join("peers/node")
}
