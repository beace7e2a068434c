//! Variables of the environment in the values of files: `${NAME}` and `${NAME:-default}`.
//!
//! They stand in values only, never in keys. The default counts where the variable is not set or is empty, and may
//! be empty itself; a variable without one must be set. `$${` is a literal `${`. A value that is nothing but one
//! variable may mean a number or a truth value, as a value from the command line does; it never becomes a list or
//! a table.

use std::borrow::Cow;

use ::config::{Map, Value, ValueKind};

use super::error::ConfigError;
use super::overrides::parse_text;
use super::position::{KeyPath, KeyPlace, Position};

/// Looks up a variable: its text, or `None` where it is not set.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What expanding the values of one file came to.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    /// The text of values that were read as a number or a truth value, for keys that want text.
    pub(super) texts: Vec<(KeyPath, String)>,
    pub(super) errors: Vec<ConfigError>,
}

/// Puts variables in place in all of `values`, whose places are `entries`.
pub(super) fn expand(
    values: &mut Map<String, Value>,
    entries: &[KeyPlace],
    lookup: Lookup<'_>,
) -> Expanded {
    let mut expansion = Expansion { entries, lookup, done: Expanded::default() };
    expansion.table(values, &KeyPath::root());
    expansion.done
}

/// A variable of this process; one that is not UTF-8 counts as not set.
pub(super) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

struct Expansion<'a> {
    entries: &'a [KeyPlace],
    lookup: Lookup<'a>,
    done: Expanded,
}

impl Expansion<'_> {
    fn table(&mut self, table: &mut Map<String, Value>, at: &KeyPath) {
        for (name, value) in table {
            self.value(value, &at.key(name.as_str()));
        }
    }

    fn value(&mut self, value: &mut Value, at: &KeyPath) {
        match &mut value.kind {
            ValueKind::Table(table) => self.table(table, at),
            ValueKind::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    self.value(value, &at.index(index));
                }
            }
            ValueKind::String(text) if text.contains("${") => match expanded(text, self.lookup) {
                Ok((new, is_one)) => {
                    let read = if is_one { parse_text(&new) } else { plain(&new) };
                    match read.kind {
                        ValueKind::I64(_) | ValueKind::Float(_) | ValueKind::Boolean(_) => {
                            self.done.texts.push((at.clone(), new));
                            value.kind = read.kind;
                        }
                        _ => value.kind = ValueKind::String(new),
                    }
                }
                Err(message) => {
                    let error = ConfigError::new(self.place(at), at.clone(), message);
                    self.done.errors.push(error);
                }
            },
            _ => {}
        }
    }

    /// Where the value at `at` stands, or else what is around it.
    fn place(&self, at: &KeyPath) -> Position {
        let mut here = Some(at.clone());
        while let Some(path) = here {
            if let Some(entry) = self.entries.iter().find(|entry| entry.path == path) {
                return entry.value.clone();
            }
            here = path.parent();
        }
        Position::default()
    }
}

fn plain(text: &str) -> Value {
    Value::new(None, ValueKind::String(text.to_owned()))
}

const FORM: &str = "expected ${NAME} or ${NAME:-default}; $${ stands for ${ itself";

/// `text` with its variables in place, and whether it is nothing but one of them.
fn expanded(text: &str, lookup: Lookup<'_>) -> Result<(String, bool), String> {
    let (mut new, mut rest, mut is_one) = (String::new(), text, false);
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(before) = before.strip_suffix('$') {
            new.push_str(before);
            new.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or(FORM)?;
        new.push_str(before);
        new.push_str(&variable(&inside[..end], lookup)?);
        is_one = rest.len() == text.len() && at == 0 && end + 1 == inside.len();
        rest = &inside[end + 1..];
    }
    new.push_str(rest);
    Ok((new, is_one))
}

/// The value of what stands between the braces.
fn variable<'a>(inside: &'a str, lookup: Lookup<'_>) -> Result<Cow<'a, str>, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !begins || !name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_') {
        return Err(FORM.to_owned());
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value.into()),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value.into()),
        (_, Some(default)) => Ok(default.into()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set; ${{{name}:-…}} gives it a default, and $${{ stands for ${{ \
             itself"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("10.0.0.7".to_owned()),
            "PORT" => Some("23".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_have_their_values_defaults_or_an_error() {
        for (text, expected) in [
            ("tcp://${HOST}:${PORT}", "tcp://10.0.0.7:23"),
            ("${HOST}", "10.0.0.7"),
            ("${NONE:-a:-b}", "a:-b"),
            ("x${NONE:-}y", "xy"),
            ("${EMPTY:-full}", "full"),
            ("${EMPTY}", ""),
            ("$${HOST} $HOST $", "${HOST} $HOST $"),
            ("$$${HOST}", "$${HOST}"),
            ("plain", "plain"),
        ] {
            assert_eq!(expanded(text, &lookup).unwrap().0, expected, "{text}");
        }
        for text in ["${", "${}", "${HOST", "${1}", "${a-b}", "${ HOST }"] {
            assert_eq!(expanded(text, &lookup).unwrap_err(), FORM, "{text}");
        }
        assert!(expanded("${NONE}", &lookup).unwrap_err().contains("NONE is not set"));
    }

    #[test]
    fn only_a_value_that_is_one_variable_becomes_a_number() {
        let text = |text: &str| Value::new(None, ValueKind::String(text.to_owned()));
        let mut values = Map::from_iter([
            ("port".to_owned(), text("${PORT}")),
            ("two".to_owned(), text("${PORT}${PORT}")),
            ("list".to_owned(), text("${NONE:-[1]}")),
        ]);
        let expanded = expand(&mut values, &[], &lookup);
        assert!(expanded.errors.is_empty());
        assert_eq!(expanded.texts, [(KeyPath::from_iter(["port"]), "23".to_owned())]);
        assert_eq!(values["port"].kind, ValueKind::I64(23));
        assert_eq!(values["two"].kind, ValueKind::String("2323".to_owned()));
        assert_eq!(values["list"].kind, ValueKind::String("[1]".to_owned()));
    }
}
