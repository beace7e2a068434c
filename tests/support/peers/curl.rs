//! curl, told nothing by its configuration file or by proxies in the environment.

use std::path::Path;

use crate::support::{
    need::need,
    process::{Ran, command, run},
};

/// Runs curl with `arguments`, trusting `ca` only where one is given.
pub(crate) async fn curl(ca: Option<&Path>, arguments: &[&str]) -> Ran {
    let mut curl = command(need("curl", "curl"));
    curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "50"]);
    if let Some(ca) = ca {
        curl.arg("--cacert").arg(ca);
    }
    curl.args(arguments);
    run(curl, "").await
}
