//! The table in `plugins/README.md`: what the file says must be what the tests have shown.

use std::{
    any::Any,
    env, fs,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    cases::{CASES, Case},
    subject::Subject,
};
use crate::{support::process::DEADLINE, tidy::top};

/// Lets the tests write what they have shown.
const WRITE: &str = "JACKFIELD_WRITE_TABLE";

const BEGIN: &str = "<!-- conformance: written by the tests -->";
const END: &str = "<!-- conformance ends -->";

const SHOWN: &str = "✓";
const NOT_OFFERED: &str = "–";

/// One case; it only bounds one that has failed already.
const LIMIT: Duration = DEADLINE.saturating_mul(2);

/// Rows are written by tests that run at the same time.
static FILE: Mutex<()> = Mutex::new(());

fn file() -> PathBuf {
    top().join("plugins/README.md")
}

/// Runs the cases of one driver, and holds its row to what they show.
pub(super) async fn row(subject: Subject) {
    let manifest = subject.manifest().await;
    let (mut cells, mut failed) = (Vec::new(), Vec::new());
    for case in CASES {
        if !subject.takes(case, &manifest) {
            cells.push(NOT_OFFERED);
            continue;
        }
        let run = AssertUnwindSafe((case.run)(subject)).catch_unwind();
        match timeout(LIMIT, run).await {
            Err(_) => failed.push(format!("{}: it takes longer than {LIMIT:?}", case.name)),
            Ok(Ok(())) => cells.push(SHOWN),
            Ok(Err(panic)) => failed.push(format!("{}: {}", case.name, why(panic))),
        }
    }
    let name = subject.name;
    assert!(failed.is_empty(), "{name} does not conform:\n  {}", failed.join("\n  "));
    let row = format!("| {name} | {} |", cells.join(" | "));
    hold(&format!("| {name} |"), &row);
}

fn why(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => {
            payload.downcast::<&str>().map_or_else(|_| "?".into(), |text| (*text).into())
        }
    }
}

/// Holds everything but the rows: the head, the drivers, exceptions and what each case shows.
pub(super) async fn frame(subjects: &[fn() -> Subject]) {
    let mut rows = vec![
        format!("| driver | {} |", names().join(" | ")),
        format!("|---|{}", "---|".repeat(CASES.len())),
    ];
    let mut except = Vec::new();
    for subject in subjects {
        let subject = subject();
        rows.push(present(&format!("| {} |", subject.name)));
        for (case, reason) in subject.except {
            assert!(names().contains(case), "{}: there is no case {case:?}", subject.name);
            except.push(format!("- {}, {case}: {reason}.", subject.name));
        }
    }
    assert_eq!(all_drivers().await, sorted(subjects), "each driver has a row");
    let shows = |case: &Case| format!("- **{}**: {}.", case.name, case.shows);
    let shows: Vec<String> = CASES.iter().map(shows).collect();
    let wanted = format!(
        "{BEGIN}\n\n{}\n\nNot offered though the facets would allow it:\n\n{}\n\nWhat each shows:\n\n{}\n\n{END}",
        rows.join("\n"),
        except.join("\n"),
        shows.join("\n")
    );
    replace(|text| {
        let (before, rest) = text.split_once(BEGIN).expect("a place for the table");
        let (_, after) = rest.split_once(END).expect("an end of the table");
        format!("{before}{wanted}{after}")
    });
}

fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

fn sorted(subjects: &[fn() -> Subject]) -> Vec<String> {
    let mut names: Vec<String> = subjects.iter().map(|subject| subject().name.to_owned()).collect();
    names.sort();
    names
}

/// Every driver that a host finds beside its tests, but those that only tests have.
async fn all_drivers() -> Vec<String> {
    let host = crate::support::host::TestHost::start("").await;
    let registry = host.manager().registry();
    let drivers = registry.drivers();
    let of_tests = |plugin: &str| plugin.contains("faulty") || plugin.contains("null");
    let drivers = drivers.filter(|driver| !of_tests(&driver.plugin_name));
    let mut names: Vec<String> = drivers.map(|driver| driver.name().to_owned()).collect();
    names.sort();
    names
}

/// The line of the file that starts so; an empty row where there is none yet.
fn present(start: &str) -> String {
    let text = fs::read_to_string(file()).expect("plugins/README.md");
    let line = text.lines().find(|line| line.starts_with(start));
    line.map_or_else(|| format!("{start}{}", " |".repeat(CASES.len())), str::to_owned)
}

fn hold(start: &str, row: &str) {
    replace(|text| {
        let lines = text.lines().map(|line| if line.starts_with(start) { row } else { line });
        lines.flat_map(|line| [line, "\n"]).collect()
    });
    assert!(present(start) == row, "plugins/README.md has no row for it: run the tests once more");
}

fn replace(change: impl FnOnce(&str) -> String) {
    let _writing = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(file()).expect("plugins/README.md");
    let changed = change(&text);
    if changed == text {
        return;
    }
    assert!(
        env::var_os(WRITE).is_some(),
        "plugins/README.md differs from what the tests have shown. To let them write it:\n  \
         {WRITE}=1 cargo test -p jackfield-tests conformance\n{}",
        difference(&text, &changed)
    );
    fs::write(file(), changed).expect("plugins/README.md");
}

/// The first line that differs.
fn difference(old: &str, new: &str) -> String {
    let mut lines = old.lines().zip(new.lines()).filter(|(old, new)| old != new);
    lines.next().map_or_else(String::new, |(old, new)| format!("- {old}\n+ {new}"))
}
