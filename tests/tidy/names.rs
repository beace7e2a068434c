//! One name, one type: a reader who has met a name in the host knows what it is everywhere.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use super::{
    Violation, hold,
    tokens::{self, attribute, inline_module, is_cfg_test, line},
    tree::{self, File},
};

/// Names that are there more than once, and why: none is.
const ALLOWED: &[(&str, &str)] = &[];

/// A type and where it is.
struct Named {
    name: String,
    path: String,
    line: usize,
}

/// The types of a file, but for those of its tests and those inside functions and traits.
fn types(file: &File) -> Vec<Named> {
    let mut found = Vec::new();
    collect(file, tokens::parse(&file.path, &file.text), &mut found);
    found
}

fn collect(file: &File, stream: TokenStream, found: &mut Vec<Named>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let (mut at, mut of_tests) = (0, false);
    while at < trees.len() {
        let rest = &trees[at..];
        if let Some((length, body)) = attribute(rest) {
            of_tests |= is_cfg_test(body);
            at += length;
            continue;
        }
        if let Some(body) = inline_module(rest) {
            if !of_tests {
                collect(file, body.stream(), found);
            }
            (of_tests, at) = (false, at + 3);
            continue;
        }
        if let [TokenTree::Ident(kind), TokenTree::Ident(name), ..] = rest
            && ["struct", "enum", "union", "trait", "type"].iter().any(|word| kind == word)
            && !of_tests
        {
            let (name, line) = (name.to_string(), line(&rest[1]));
            found.push(Named { name, path: file.path.clone(), line });
        }
        match &rest[0] {
            TokenTree::Group(_) => of_tests = false,
            TokenTree::Punct(punct) if punct.as_char() == ';' => of_tests = false,
            _ => {}
        }
        at += 1;
    }
}

/// Each type whose name another has, and each exception that is none any more.
fn check(files: &[File], allowed: &[(&str, &str)]) -> Vec<Violation> {
    let mut by_name: BTreeMap<String, Vec<Named>> = BTreeMap::new();
    for named in files.iter().flat_map(types) {
        by_name.entry(named.name.clone()).or_default().push(named);
    }
    let is_allowed = |name: &str| allowed.iter().any(|(allowed, _)| *allowed == name);
    let twice = by_name.iter().filter(|(name, all)| all.len() > 1 && !is_allowed(name));
    let twice = twice.flat_map(|(name, all)| {
        let first = format!("{}:{}", all[0].path, all[0].line);
        all[1..].iter().map(move |named| {
            let what = format!("`{name}` is the name of another type, at {first}");
            Violation::new(&named.path, named.line, what)
        })
    });
    let once = |name: &str| by_name.get(name).is_none_or(|all| all.len() < 2);
    let idle = allowed.iter().filter(|(name, _)| once(name)).map(|(name, _)| {
        Violation::new("tests/tidy/names.rs", 1, format!("`{name}` needs no exception any more"))
    });
    twice.chain(idle).collect()
}

#[test]
fn no_two_types_of_the_host_have_one_name() {
    let files: Vec<File> =
        tree::host_sources().into_iter().filter(|file| !tree::is_test_file(&file.path)).collect();
    hold(&check(&files, ALLOWED));
}

#[test]
fn a_name_that_is_there_twice_is_seen() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let files = [
        file("host/src/a.rs", "pub struct Slot<T>(T);\nfn f() { struct Inside; }"),
        file("host/src/b.rs", "mod inner {\n    enum Slot {}\n}\nimpl X { type Inside = (); }"),
        file("host/pool/src/c.rs", "#[cfg(test)]\nmod tests { struct Slot; }\nstruct Other;"),
    ];
    let found = check(&files, &[]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].line), ("host/src/b.rs", 2));
    assert_eq!(found[0].what, "`Slot` is the name of another type, at host/src/a.rs:1");
    assert!(check(&files, &[("Slot", "why")]).is_empty());
    assert_eq!(check(&files, &[("Slot", "why"), ("Other", "why")]).len(), 1);
}
