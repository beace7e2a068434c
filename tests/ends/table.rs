//! The tables in `plugins/README.md`: what the file says must be what the test has seen.

use std::{env, fs};

use crate::tidy::top;

/// Lets the test write what it has seen.
const WRITE: &str = "JACKFIELD_WRITE_TABLE";

const BEGIN: &str = "<!-- ends: written by the tests -->";
const END: &str = "<!-- ends end -->";

/// Holds the tables to what was seen: what a TCP peer sees, what a peer of each kind sees, and what a client sees
/// of what is behind a route.
pub(super) fn hold(tables: &[&str; 3]) {
    let [tcp, near, behind] = tables;
    let wanted = format!(
        "{BEGIN}\n\nA peer of each kind is joined to a TCP peer, which then sees:\n\n{tcp}\n\
         What the peer sees:\n\n{near}\n\
         What a TCP client sees of what is behind a route:\n\n{behind}\n{END}"
    );
    let file = top().join("plugins/README.md");
    let text = fs::read_to_string(&file).expect("plugins/README.md");
    let (before, rest) = text.split_once(BEGIN).expect("a place for the tables");
    let (_, after) = rest.split_once(END).expect("an end of the tables");
    let changed = format!("{before}{wanted}{after}");
    if changed == text {
        return;
    }
    assert!(
        env::var_os(WRITE).is_some(),
        "plugins/README.md differs from what was seen. To let the test write it:\n  \
         {WRITE}=1 cargo test -p jackfield-tests ends::\n{wanted}"
    );
    fs::write(&file, changed).expect("to write plugins/README.md");
}
