//! [`Names`]: what objects are called, from files of MIB modules.
//!
//! Of a module (RFC 2578, RFC 1155) only what gives a number a name is read: `name OBJECT-TYPE … ::= { parent 1 }` and
//! its kin. What else stands there is passed over, right or not.

use crate::ber::Fault;
use crate::oid::Oid;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::fs;

/// Bytes of all files together.
const MOST_BYTES: u64 = 16 << 20;
/// Names of all files together.
const MOST_NAMES: usize = 1 << 18;
/// The longest word for which a near name is looked for.
const LONGEST: usize = 64;
/// Parents of parents.
const DEPTH: usize = 64;

/// Words behind a name that is given a number.
const MACROS: [&str; 9] = [
    "OBJECT-TYPE",
    "OBJECT-IDENTITY",
    "MODULE-IDENTITY",
    "NOTIFICATION-TYPE",
    "OBJECT-GROUP",
    "NOTIFICATION-GROUP",
    "MODULE-COMPLIANCE",
    "AGENT-CAPABILITIES",
    "OBJECT",
];

/// What all modules begin at (RFC 2578 §2).
const ROOTS: [(&str, &[u32]); 18] = [
    ("ccitt", &[0]),
    ("iso", &[1]),
    ("joint-iso-ccitt", &[2]),
    ("zeroDotZero", &[0, 0]),
    ("org", &[1, 3]),
    ("dod", &[1, 3, 6]),
    ("internet", &[1, 3, 6, 1]),
    ("directory", &[1, 3, 6, 1, 1]),
    ("mgmt", &[1, 3, 6, 1, 2]),
    ("mib-2", &[1, 3, 6, 1, 2, 1]),
    ("transmission", &[1, 3, 6, 1, 2, 1, 10]),
    ("experimental", &[1, 3, 6, 1, 3]),
    ("private", &[1, 3, 6, 1, 4]),
    ("enterprises", &[1, 3, 6, 1, 4, 1]),
    ("snmpV2", &[1, 3, 6, 1, 6]),
    ("snmpDomains", &[1, 3, 6, 1, 6, 1]),
    ("snmpProxys", &[1, 3, 6, 1, 6, 2]),
    ("snmpModules", &[1, 3, 6, 1, 6, 3]),
];

/// Names and numbers.
#[derive(Debug, Default)]
pub struct Names {
    by_number: HashMap<Vec<u32>, String>,
    by_name: HashMap<String, Vec<u32>>,
}

/// What a module says about a name.
struct Definition {
    module: String,
    name: String,
    parent: Option<String>,
    numbers: Vec<u32>,
}

impl Names {
    /// Reads files.
    pub(crate) fn of_files(paths: &[String]) -> Result<Self> {
        let mut definitions = Vec::new();
        let mut bytes = 0;
        for path in paths {
            let failed = |error: std::io::Error| {
                Error::new(ErrorKind::Config, format!("{path}: {error}"))
                    .with("option", "mib_files")
            };
            bytes += fs::metadata(path).map_err(failed)?.len();
            if bytes > MOST_BYTES {
                let text = format!("{path}: the files have more than {MOST_BYTES} bytes together");
                return Err(Error::option("mib_files", text));
            }
            let text = fs::read(path).map_err(failed)?;
            let found = read(&String::from_utf8_lossy(&text), &mut definitions);
            if found == 0 {
                return Err(Error::option(
                    "mib_files",
                    format!("{path}: expected a MIB module with names in it"),
                ));
            }
            if definitions.len() > MOST_NAMES {
                return Err(Error::option(
                    "mib_files",
                    format!("{path}: there are more than {MOST_NAMES} names"),
                ));
            }
        }
        Ok(if paths.is_empty() { Names::default() } else { Names::of(&definitions) })
    }

    /// Of the text of modules.
    pub fn of_text(text: &str) -> Self {
        let mut definitions = Vec::new();
        read(text, &mut definitions);
        definitions.truncate(MOST_NAMES);
        Names::of(&definitions)
    }

    fn of(definitions: &[Definition]) -> Self {
        let mut names = Names::default();
        for (name, numbers) in ROOTS {
            names.by_name.insert(name.to_owned(), numbers.to_vec());
            names.by_number.insert(numbers.to_vec(), name.to_owned());
        }
        let mut by_name: HashMap<&str, &Definition> = HashMap::new();
        let mut in_module: HashMap<(&str, &str), &Definition> = HashMap::new();
        for it in definitions {
            by_name.entry(&it.name).or_insert(it);
            in_module.entry((&it.module, &it.name)).or_insert(it);
        }
        for it in definitions {
            let Some(numbers) = numbers(it, &by_name, &in_module, DEPTH) else { continue };
            names.by_number.entry(numbers.clone()).or_insert_with(|| it.name.clone());
            names.by_name.insert(format!("{}::{}", it.module, it.name), numbers.clone());
            names.by_name.entry(it.name.clone()).or_insert(numbers);
        }
        names
    }

    /// What an object is called: the name of the nearest that has one, with the numbers behind it.
    pub fn name(&self, oid: &Oid) -> Option<String> {
        if self.by_number.is_empty() {
            return None;
        }
        let numbers = oid.numbers();
        for length in (1..=numbers.len()).rev() {
            if let Some(name) = self.by_number.get(&numbers[..length]) {
                let rest = numbers[length..].iter().map(|number| format!(".{number}"));
                return Some(std::iter::once(name.clone()).chain(rest).collect());
            }
        }
        None
    }

    /// Reads numbers, or a name with numbers behind it: `1.3.6.1`, `ifDescr.1`, `IF-MIB::ifDescr`.
    ///
    /// # Errors
    /// What was expected, and the nearest name.
    pub fn oid(&self, text: &str) -> Result<Oid, Fault> {
        if text.starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
            return Oid::parse(text);
        }
        if self.by_name.is_empty() {
            return Err(format!(
                "expected numbers joined by dots, such as 1.3.6.1, not {text:?}; names need `mib_files`"
            ));
        }
        let (name, rest) = text.split_once('.').map_or((text, ""), |(name, rest)| (name, rest));
        let numbers = self.by_name.get(name).ok_or_else(|| match self.nearest(name) {
            Some(nearest) => format!("no module has the name {name:?}; did you mean {nearest:?}?"),
            None => format!("no module has the name {name:?}"),
        })?;
        let mut numbers = numbers.clone();
        if !rest.is_empty() {
            let number = |part: &str| part.parse().ok();
            let more: Option<Vec<u32>> = rest.split('.').map(number).collect();
            numbers.extend(
                more.ok_or_else(|| format!("expected numbers behind {name}, not {rest:?}"))?,
            );
        }
        Oid::new(numbers)
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        // How near two long words are takes long to find out.
        if name.len() > LONGEST {
            return None;
        }
        let near = |known: &String| (strsim::damerau_levenshtein(known, name), known.len());
        let known = self.by_name.keys().filter(|known| known.len().abs_diff(name.len()) <= 3);
        known
            .map(|it| (near(it), it))
            .min()
            .filter(|((far, _), _)| *far <= 3)
            .map(|(_, it)| it.as_str())
    }
}

/// The numbers of a name, by those of its parents.
fn numbers(
    it: &Definition,
    by_name: &HashMap<&str, &Definition>,
    in_module: &HashMap<(&str, &str), &Definition>,
    depth: usize,
) -> Option<Vec<u32>> {
    let mut all = match &it.parent {
        None => Vec::new(),
        Some(parent) => {
            let here =
                in_module.get(&(&it.module, parent)).or_else(|| by_name.get(parent.as_str()));
            match here.filter(|other| other.name != it.name) {
                Some(other) => numbers(other, by_name, in_module, depth.checked_sub(1)?)?,
                None => ROOTS.iter().find(|(name, _)| name == parent)?.1.to_vec(),
            }
        }
    };
    all.extend_from_slice(&it.numbers);
    (all.len() <= crate::oid::MOST && !all.is_empty()).then_some(all)
}

/// Reads the definitions of modules. Gives how many were found.
fn read(text: &str, definitions: &mut Vec<Definition>) -> usize {
    let before = definitions.len();
    let mut module = String::new();
    let mut current: Option<&str> = None;
    let mut words = Words { rest: text }.peekable();
    let mut last = "";
    while let Some(word) = words.next() {
        match word {
            "DEFINITIONS" => last.clone_into(&mut module),
            "::=" => {
                if words.next_if_eq(&"{").is_some()
                    && let Some(name) = current.take()
                    && let Some((parent, numbers)) = path(&mut words)
                {
                    let (module, name) = (module.clone(), name.to_owned());
                    definitions.push(Definition { module, name, parent, numbers });
                }
                current = None;
            }
            _ if MACROS.contains(&word) && last.starts_with(|c: char| c.is_ascii_lowercase()) => {
                current = Some(last);
            }
            _ => {}
        }
        last = word;
    }
    definitions.len() - before
}

/// What stands in braces: `parent 1`, `iso org(3) 6` or numbers alone.
fn path<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(Option<String>, Vec<u32>)> {
    let (mut parent, mut numbers) = (None, Vec::new());
    let mut word = words.next()?;
    // A first word without a number of its own is the parent.
    let mut pending: Option<&str> = None;
    loop {
        match word {
            "}" => break,
            "(" => {
                numbers.push(words.next()?.parse().ok()?);
                pending = None;
                (words.next()? == ")").then_some(())?;
            }
            _ => {
                if let Some(name) = pending.take() {
                    if parent.is_some() || !numbers.is_empty() {
                        return None;
                    }
                    parent = Some(name.to_owned());
                }
                match word.parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => pending = Some(word),
                }
            }
        }
        if numbers.len() > crate::oid::MOST {
            return None;
        }
        word = words.next()?;
    }
    match pending {
        Some(name) if parent.is_none() && numbers.is_empty() => {
            Some((Some(name.to_owned()), numbers))
        }
        Some(_) => None,
        None if numbers.is_empty() => None,
        None => Some((parent, numbers)),
    }
}

/// Words and signs of a module, without comments and texts.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("--") {
                let end = [comment.find('\n'), comment.find("--").map(|at| at + 2)];
                let end = end.into_iter().flatten().min().unwrap_or(comment.len());
                self.rest = &comment[end..];
            } else if let Some(text) = self.rest.strip_prefix('"') {
                let end = text.find('"').map_or(text.len(), |at| at + 1);
                self.rest = &text[end..];
            } else {
                break;
            }
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let first = self.rest.chars().next()?;
        let length = if self.rest.starts_with("::=") {
            3
        } else if is_word(first) {
            let mut end = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
            // A comment may stand right behind a word.
            if let Some(comment) = self.rest[..end].find("--").filter(|at| *at > 0) {
                end = comment;
            }
            end
        } else {
            first.len_utf8()
        };
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(word)
    }
}
