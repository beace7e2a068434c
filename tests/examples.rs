//! Every example of the host runs to its end and shows what it is for.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{
    jackfield::beside,
    peers::echo::TcpPeer,
    process::{command, run},
};

/// Each with what it prints, among other things. Those that end with `=` get a URI.
const EXAMPLES: [(&str, &str); 15] = [
    ("balancer", "nobody   ejected  opened 0"),
    ("chat", "ann hears: hello from bob"),
    ("connect=", ": open after "),
    ("connection", "second: hello again"),
    ("device", "ann reads: this is the console"),
    ("dialogue", "show version: version 15.2, up 3 days"),
    ("embed", "echo connected false"),
    ("events", "Reconnecting"),
    ("handler", "lab has \"hello\""),
    ("http_server", "get \"/nothing\" 404"),
    ("lease", "now bob has it"),
    ("manager", "3 of 3 are connected"),
    ("pool", "6 callers, 2 connections"),
    ("probe=", ": answers in Some("),
    ("timers", " ticks; 0 clients are left"),
];

#[test]
fn all_of_them_are_known() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples");
    let files = fs::read_dir(folder).expect("the examples").map(|file| {
        let name = file.expect("an example").file_name();
        name.to_string_lossy().trim_end_matches(".rs").to_owned()
    });
    let known = EXAMPLES.map(|(name, _)| name.trim_end_matches('=').to_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), BTreeSet::from(known));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_runs_to_its_end_and_shows_what_it_is_for() {
    let peer = TcpPeer::echo().await;
    for (name, shown) in EXAMPLES {
        let mut example = command(beside(&format!("examples/{}", name.trim_end_matches('='))));
        if name.ends_with('=') {
            example.arg(peer.uri());
        }
        let ran = run(example, "").await;
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        let text = ran.text();
        assert!(text.contains(shown), "{name} prints\n{text}");
    }
}
