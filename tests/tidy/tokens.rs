//! Rust source as tokens with lines: comments are gone, strings are told from code.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The tokens of a file, or a failed test that names it.
pub(super) fn parse(path: &str, text: &str) -> TokenStream {
    TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path} is not Rust: {error}"))
}

/// A module written inside another: `mod name { … }`.
pub(super) fn inline_module(trees: &[TokenTree]) -> Option<&Group> {
    match trees {
        [TokenTree::Ident(word), TokenTree::Ident(_), TokenTree::Group(body), ..]
            if *word == "mod" && body.delimiter() == Delimiter::Brace =>
        {
            Some(body)
        }
        _ => None,
    }
}

/// Whether the tokens begin with an attribute, `#[…]` or `#![…]`, and how many they are.
pub(super) fn attribute(trees: &[TokenTree]) -> Option<(usize, &Group)> {
    let is = |tree: Option<&TokenTree>, character| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == character);
    let length = 1 + usize::from(is(trees.get(1), '!'));
    match trees.get(length) {
        Some(TokenTree::Group(body))
            if is(trees.first(), '#') && body.delimiter() == Delimiter::Bracket =>
        {
            Some((length + 1, body))
        }
        _ => None,
    }
}

/// Whether an attribute is a documentation comment, which is prose and not code.
pub(super) fn is_doc(attribute: &Group) -> bool {
    matches!(attribute.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
}

/// Whether an attribute is `cfg(test)`.
pub(super) fn is_cfg_test(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// A token's line, from 1.
pub(super) fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

/// What a rule looks at: words and strings of a file without documentation and without what is
/// compiled for its own tests only.
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: usize,
    /// Whether it stands in a literal.
    pub(super) literal: bool,
}

/// All words of `stream`.
pub(super) fn words(stream: TokenStream) -> Vec<Word> {
    let mut found = Vec::new();
    collect(stream, &mut found);
    found
}

fn collect(stream: TokenStream, found: &mut Vec<Word>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    let mut of_tests = false;
    while at < trees.len() {
        if let Some((length, body)) = attribute(&trees[at..]) {
            of_tests |= is_cfg_test(body);
            if !is_doc(body) {
                collect(body.stream(), found);
            }
            at += length;
            continue;
        }
        if of_tests {
            // The item an attribute belongs to ends with its braces or a semicolon.
            let ends = match &trees[at] {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(punct) => punct.as_char() == ';',
                _ => false,
            };
            of_tests = !ends;
            at += 1;
            continue;
        }
        match &trees[at] {
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Ident(name) => push(found, &name.to_string(), &trees[at], false),
            TokenTree::Literal(literal) => push(found, &literal.to_string(), &trees[at], true),
            TokenTree::Punct(_) => {}
        }
        at += 1;
    }
}

fn push(found: &mut Vec<Word>, text: &str, tree: &TokenTree, literal: bool) {
    found.push(Word { text: text.into(), line: line(tree), literal });
}
