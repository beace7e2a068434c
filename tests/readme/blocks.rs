//! What a README shows: files and commands.

/// A command, and what it prints.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    pub(super) line: String,
    pub(super) expected: Vec<String>,
}

impl Command {
    /// Whether the program goes on beside what follows.
    pub(super) fn is_in_background(&self) -> bool {
        self.line.ends_with('&')
    }

    /// Whether `printed` is what was to be expected.
    pub(super) fn is_printed(&self, printed: &str) -> bool {
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        self.expected.is_empty() || are_like(&self.expected, &lines)
    }
}

/// Whether `lines` are `expected`, in which a line `…` is any number of lines.
fn are_like(expected: &[String], lines: &[&str]) -> bool {
    match expected {
        [] => lines.is_empty(),
        [any, rest @ ..] if any == "…" => {
            (0..=lines.len()).any(|skipped| are_like(rest, &lines[skipped..]))
        }
        [first, rest @ ..] => match lines {
            [line, lines @ ..] => is_like(first, line) && are_like(rest, lines),
            [] => false,
        },
    }
}

/// Whether `line` is `expected`, in which each `…` is any text.
fn is_like(expected: &str, line: &str) -> bool {
    let mut parts = expected.trim_end().split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The fenced blocks of a language.
fn fenced<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let mark = format!("```{language}\n");
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&mark)?;
        let (block, after) = after.split_once("\n```").expect("a fence that ends");
        rest = after;
        Some(block)
    })
}

/// The files, by name.
pub(super) fn files(text: &str) -> Vec<(String, String)> {
    let named = |block: &str| {
        let name = block.lines().next()?.strip_prefix("# ")?.split_whitespace().next()?;
        name.ends_with(".toml").then(|| (name.to_owned(), format!("{block}\n")))
    };
    fenced(text, "toml").filter_map(named).collect()
}

/// The commands, by block.
pub(super) fn commands(text: &str) -> Vec<Vec<Command>> {
    fenced(text, "console").map(block).collect()
}

fn block(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(line), _) => {
                // What a reader is told beside it.
                let line = line.split("   #").next().unwrap_or(line).trim_end();
                commands.push(Command { line: line.to_owned(), expected: Vec::new() });
            }
            (None, Some(command)) => command.expected.push(line.to_owned()),
            (None, None) => panic!("a line before the first command: {line}"),
        }
    }
    commands
}

#[test]
fn what_is_printed_is_compared_line_by_line_with_gaps() {
    let text = "```console\n$ a &\n$ b   # why\none …\n… two\n```\n```toml\n# x.toml\nk = 1\n```\n";
    let blocks = commands(text);
    let [first, second] = blocks[0].as_slice() else { panic!("{blocks:?}") };
    assert!(first.is_in_background() && first.is_printed("anything"));
    assert_eq!(second.line, "b");
    assert!(second.is_printed("one 1\n2 two\n"));
    for wrong in ["one 1\n", "one 1\ntwo 2\n", "one\n2 two\n", "one 1\n2 two\n3\n"] {
        assert!(!second.is_printed(wrong), "{wrong}");
    }
    let gap =
        Command { line: String::new(), expected: ["…".into(), "b".into(), "…".into()].into() };
    assert!(gap.is_printed("b\n") && gap.is_printed("a\nb\nc\nd\n") && !gap.is_printed("a\n"));
    assert_eq!(files(text), [("x.toml".to_owned(), "# x.toml\nk = 1\n".to_owned())]);
}
