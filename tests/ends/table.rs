//! The table in `plugins/README.md`: what the file says must be what the tests have seen.

use std::{
    env, fs,
    sync::{Mutex, PoisonError},
};

use super::{COLUMNS, kind::NOTES};
use crate::tidy::top;

/// Lets the tests write what they have seen.
const WRITE: &str = "JACKFIELD_WRITE_TABLE";

const BEGIN: &str = "<!-- ends: written by the tests -->";
const END: &str = "<!-- ends end -->";

/// Rows are written by tests that run at the same time.
static FILE: Mutex<()> = Mutex::new(());

const MARKS: [&str; 7] = ["¹", "²", "³", "⁴", "⁵", "⁶", "⁷"];

/// A cell with the mark of its note.
pub(super) fn marked(text: &str, note: Option<usize>) -> String {
    note.map_or_else(|| text.to_owned(), |number| format!("{text} {}", MARKS[number]))
}

/// Holds a row to what was seen.
pub(super) fn row(name: &str, cells: &[String]) {
    let start = format!("| {name} |");
    let row = format!("{start} {} |", cells.join(" | "));
    replace(|text| {
        let lines = text.lines().map(|line| if line.starts_with(&start) { &*row } else { line });
        lines.flat_map(|line| [line, "\n"]).collect()
    });
    let is_there = read().lines().any(|line| line == row);
    assert!(is_there, "plugins/README.md has no row for {name}: run the tests once more");
}

/// Holds everything but the rows.
pub(super) fn frame(names: &[String]) {
    let text = read();
    let present = |name: &String| {
        let start = format!("| {name} |");
        let line = text.lines().find(|line| line.starts_with(&start));
        line.map_or_else(|| format!("{start}{}", " |".repeat(COLUMNS.len())), str::to_owned)
    };
    let rows: Vec<String> = names.iter().map(present).collect();
    let heads: Vec<&str> = COLUMNS.iter().map(|column| column.name()).collect();
    let notes: Vec<String> =
        MARKS.iter().zip(NOTES).map(|(mark, note)| format!("{mark} {note}")).collect();
    let wanted = format!(
        "{BEGIN}\n\n| a peer | {} |\n|---|{}\n{}\n\n{}\n\n{END}",
        heads.join(" | "),
        "---|".repeat(COLUMNS.len()),
        rows.join("\n"),
        notes.join("<br>\n")
    );
    replace(|text| {
        let (before, rest) = text.split_once(BEGIN).expect("a place for the table");
        let (_, after) = rest.split_once(END).expect("an end of the table");
        format!("{before}{wanted}{after}")
    });
}

fn read() -> String {
    fs::read_to_string(top().join("plugins/README.md")).expect("plugins/README.md")
}

fn replace(change: impl FnOnce(&str) -> String) {
    let _writing = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read();
    let changed = change(&text);
    if changed == text {
        return;
    }
    let mut lines = text.lines().zip(changed.lines()).filter(|(old, new)| old != new);
    let first = lines.next().map_or_else(String::new, |(old, new)| format!("- {old}\n+ {new}"));
    assert!(
        env::var_os(WRITE).is_some(),
        "plugins/README.md differs from what the tests have seen. To let them write it:\n  \
         {WRITE}=1 cargo test -p jackfield-tests ends::\n{first}"
    );
    fs::write(top().join("plugins/README.md"), changed).expect("plugins/README.md");
}
