//! Standard output and standard error. A reader that has gone away ends output, quietly.

pub(super) use super::log::complain;

use super::failure::{Failure, Outcome};
use super::log;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

/// Writes an answer to standard output, after what was said before.
pub(super) fn print(text: &str) -> Outcome {
    log::flush();
    print_bytes(text.as_bytes())
}

/// As [`print`], for anything.
pub(super) fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::run(format!("standard output: {error}"))),
    }
}

/// Writes one JSON document to standard output.
pub(super) fn print_json(value: &serde_json::Value) -> Outcome {
    print(&format!("{value:#}\n"))
}

/// Columns of the terminal that standard output is; `None` if it is none.
pub(super) fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok())??;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Rows with aligned columns, each line after `indent`. The last column is wrapped at `width`.
pub(super) fn table(rows: &[Vec<String>], indent: usize, width: Option<usize>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| Some(row.get(at)?.chars().count())).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths).take(columns.saturating_sub(1)) {
            line.push_str(&format!("{cell:width$}  "));
        }
        let start = line.chars().count();
        let last = row.get(columns.saturating_sub(1)).map_or("", String::as_str);
        for (number, piece) in wrap(last, room(width, start)).into_iter().enumerate() {
            if number > 0 {
                line.push('\n');
                line.push_str(&" ".repeat(start));
            }
            line.push_str(&piece);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The least room for a wrapped column; a narrower terminal breaks lines by itself.
const LEAST: usize = 24;

fn room(width: Option<usize>, start: usize) -> usize {
    match width {
        Some(width) if width >= start + LEAST => width - start,
        _ => usize::MAX,
    }
}

/// `text` at word borders in lines of at most `room` characters, if its words are that short.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_the_last_one_is_wrapped() {
        let rows = [
            vec!["a".to_owned(), "one two three four five six seven".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows, 2, None), "  a     one two three four five six seven\n  long\n");
        let wrapped = "  a     one two three four five\n        six seven\n  long\n";
        assert_eq!(table(&rows, 2, Some(33)), wrapped);
    }
}
