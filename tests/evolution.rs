//! Plugins and hosts of neighbouring ABI minors: see `tests/evolution/run`, which does the work.

use std::process::Command;

use crate::tidy::top;

#[test]
fn an_older_and_a_newer_minor_work_together_both_ways() {
    let output = Command::new(top().join("tests/evolution/run")).output().expect("python3");
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{said}{errors}");
    assert_eq!(said.matches("100 of 100 starts load all").count(), 2, "{said}");
    for pair in ["1.0 x plugin 1.1", "1.1 x plugin 1.0"] {
        assert!(said.contains(&format!("host {pair}: works")), "{said}");
    }
}
