//! Data flows one way: a module of the host uses what ranks below it, never above.

use proc_macro2::{TokenStream, TokenTree};

use super::{
    Violation, hold,
    tokens::{self, attribute, inline_module, is_cfg_test, line},
    tree,
};

/// The modules of `jackfield-core` from top to bottom; those in one line have one rank and may use each other. A new
/// module gets its place here. That the API and the commands use the core, and not the other way round, is cargo's to
/// hold, and so is it of `files`, `lock`, `nearest`, `networks`, `pool`, `relay` and `units`, which are crates.
const RANKS: &[&[&str]] = &[
    &["lib"],
    &["reload"],
    &["manager"],
    &["config"],
    &["listener"],
    &["calls"],
    &["route"],
    &["upstream"],
    &["device"],
    &["probe"],
    &["connection"],
    &["stack"],
    &["driver"],
    &["dialogue"],
    &["services"],
    &[
        "addr", "deadline", "error", "events", "files", "handover", "lock", "metrics", "nearest",
        "networks", "parallel", "phase", "pool", "relay", "secret", "session", "shutdown",
        "traces", "units", "work",
    ],
];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|row| row.contains(&module))
}

/// Checks one file; `path` is relative to the repository.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let module = module_path(path);
    let first = module.first().map_or("lib", String::as_str);
    let Some(own) = rank(first) else {
        return vec![Violation::new(path, 1, format!("module `{first}` has no rank (see RANKS)"))];
    };
    let mut used = Vec::new();
    uses(tokens::parse(path, text), module.len(), &mut used);
    used.into_iter()
        .filter_map(|(name, at)| {
            let above = rank(&name).is_some_and(|other| other < own);
            // A name re-exported by the root would hide which module it comes from.
            let hidden = own > 0 && name.starts_with(char::is_uppercase);
            let what = match (above, hidden) {
                (true, _) => format!("`{first}` uses `{name}`, which ranks above it"),
                (_, true) => format!("`{first}` takes `{name}` from the root, not from its module"),
                _ => return None,
            };
            Some(Violation::new(path, at, what))
        })
        .collect()
}

/// `host/core/src/stack/slot.rs` is `["stack", "slot"]`; the root is empty.
fn module_path(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("host/core/src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(Into::into).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

/// The modules of the root that `stream` names, with lines, when it stands `depth` modules deep.
fn uses(stream: TokenStream, depth: usize, found: &mut Vec<(String, usize)>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    let mut of_tests = false;
    while at < trees.len() {
        let rest = &trees[at..];
        if let Some((length, body)) = attribute(rest) {
            of_tests |= is_cfg_test(body);
            at += length;
        } else if let Some(body) = inline_module(rest) {
            // Unit tests may look up: they drive a module through what uses it.
            if !of_tests {
                uses(body.stream(), depth + 1, found);
            }
            of_tests = false;
            at += 3;
        } else if let Some(root) = to_root(rest, depth) {
            first_segments(&rest[root..], found);
            at += root;
        } else {
            if let TokenTree::Group(group) = &trees[at] {
                uses(group.stream(), depth, found);
            }
            at += 1;
        }
    }
}

/// The number of tokens in `crate::`, or in as many `super::` as lead to the root.
fn to_root(trees: &[TokenTree], depth: usize) -> Option<usize> {
    let is = |at: usize, word: &str| {
        matches!(trees.get(at), Some(TokenTree::Ident(name)) if name == word)
            && colons(trees, at + 1)
    };
    if is(0, "crate") {
        return Some(3);
    }
    let supers = (0..).take_while(|count| is(count * 3, "super")).count();
    (supers > 0 && supers == depth).then_some(supers * 3)
}

fn colons(trees: &[TokenTree], at: usize) -> bool {
    let colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(trees.get(at)) && colon(trees.get(at + 1))
}

/// What follows `crate::`: one name, or several in braces.
fn first_segments(trees: &[TokenTree], found: &mut Vec<(String, usize)>) {
    match trees.first() {
        Some(tree @ TokenTree::Ident(name)) => found.push((name.to_string(), line(tree))),
        Some(TokenTree::Group(group)) => {
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            let comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',');
            for part in inside.split(comma) {
                first_segments(part, found);
            }
        }
        _ => {}
    }
}

#[test]
fn host_modules_use_only_what_ranks_below() {
    let violations: Vec<_> = tree::rust_files("host/core/src")
        .iter()
        .filter(|file| !tree::is_test_file(&file.path))
        .flat_map(|file| check(&file.path, &file.text))
        .collect();
    hold(&violations);
}

#[test]
fn an_upward_use_is_seen() {
    let seen = |path: &str, text: &str| {
        check(path, text).iter().map(|found| (found.line, found.what.clone())).collect::<Vec<_>>()
    };
    let upward = "`stack` uses `route`, which ranks above it".to_owned();
    for text in [
        "use crate::route::Route;",
        "use crate::{error::Error, route::Route};",
        "fn f() { g(vec![crate::route::Route::new()]) }",
        "mod inner { use crate::{error, route}; }",
        "mod inner { use super::super::route; }",
        "use super::route;",
    ] {
        assert_eq!(seen("host/core/src/stack.rs", text), [(1, upward.clone())], "{text}");
    }
    assert_eq!(
        seen("host/core/src/stack/slot.rs", "\nuse super::super::route;"),
        [(2, upward.clone())]
    );
    for text in [
        "use crate::driver::Registry;",
        "// use crate::route::Route;",
        "/// See `crate::route`.\nfn f() {}",
        "const A: &str = \"crate::route\";",
        "#[cfg(test)] mod tests { use crate::route; use super::*; }",
        "mod config { use super::super::driver; } use self::config::Options; use route::x;",
    ] {
        assert_eq!(seen("host/core/src/stack.rs", text), [], "{text}");
    }
    assert_eq!(seen("host/core/src/stack/slot.rs", "use super::config::Config;"), []);
    assert_eq!(seen("host/core/src/lib.rs", "use crate::manager::Manager;"), []);
    assert_eq!(seen("host/core/src/stack.rs", "use crate::Route;").len(), 1);
    assert_eq!(
        seen("host/core/src/gadgets.rs", "")[0].1,
        "module `gadgets` has no rank (see RANKS)"
    );
}
