//! A network of a test's own, with nothing but its loopback interface: for peers whose port cannot be chosen, and for
//! addresses as a reader types them.

use std::{env, process::Stdio};

use crate::support::{need::need, process::command};

/// Runs a test of this program that is ignored elsewhere, in a network (and with mounts) of its own.
pub(crate) fn of_its_own(test: &str) {
    need("unshare", "util-linux");
    need("ip", "iproute2");
    let mut inside = command("unshare");
    inside.args(["--net", "--mount"]);
    if !rustix::process::getuid().is_root() {
        inside.arg("--map-root-user");
    }
    inside.arg(env::current_exe().expect("this program"));
    inside.args([test, "--exact", "--ignored", "--nocapture"]);
    let output = inside.stdin(Stdio::null()).output().expect("to be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{error}");
}
