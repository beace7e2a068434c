//! One `--config` file with all that it includes: the parts of one layer.
//!
//! A file is read first, then what its `include` names, pattern by pattern, each in the order of names; an included
//! file may include others, whose patterns are meant from its own folder. Parts of one layer add up and never
//! overlap: their routes are one list, and an object or a key that two of them have is a mistake with both places.
//! Only another `--config` wins over what stands there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::config::{Map, Value, ValueKind};
use sha2::{Digest, Sha256};

use super::document::{self, Document};
use super::error::ConfigError;
use super::position::{KeyPath, KeyPlace, Origin, Position};
use super::resolve;

/// Files that one layer may have.
const MAX_FILES: usize = 4096;

const INCLUDE: &str = "include";

/// Tables whose entries are objects: each stands in one file.
const OBJECTS: [&str; 7] =
    ["connections", "credentials", "devices", "handlers", "interceptors", "plugins", "upstreams"];

/// The files that were read, what was in them, and where more may come.
#[derive(Clone, Debug, Default)]
pub(super) struct FilesRead {
    /// In the order in which they were read, each once.
    pub(super) files: Vec<PathBuf>,
    /// Where a change of a file is seen: the folders of the files, and those that are searched for more.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Over names and texts, those that cannot be read included.
    pub(super) digest: Sha256,
    /// Those that have nothing in them.
    pub(super) empty: Vec<PathBuf>,
}

impl FilesRead {
    fn note(&mut self, file: &Path, text: &Result<String, String>) {
        self.files.push(file.to_owned());
        self.folders.insert(folder_of(file));
        let (kind, text) = match text {
            Ok(text) => ("file", text),
            Err(error) => ("none", error),
        };
        if kind == "file" && text.trim().is_empty() {
            self.empty.push(file.to_owned());
        }
        for part in [kind.as_bytes(), file.as_os_str().as_encoded_bytes(), text.as_bytes()] {
            self.digest.update((part.len() as u64).to_be_bytes());
            self.digest.update(part);
        }
    }
}

/// The folder that a file stands in.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Reads `file` and what it includes.
///
/// # Errors
/// Those for which the rest cannot be read.
pub(super) fn read(file: &Path, read: &mut FilesRead) -> Result<Document, Vec<ConfigError>> {
    let mut layer = LayerReader { read, seen: BTreeSet::new() };
    let text = layer.text(file);
    layer.part(file, text)
}

struct LayerReader<'a> {
    read: &'a mut FilesRead,
    /// Files of this layer, so that none is a part of it twice.
    seen: BTreeSet<PathBuf>,
}

impl LayerReader<'_> {
    fn text(&mut self, file: &Path) -> Result<String, String> {
        self.seen.insert(std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()));
        let text = document::read_text(file);
        self.read.note(file, &text);
        text
    }

    fn part(
        &mut self,
        file: &Path,
        text: Result<String, String>,
    ) -> Result<Document, Vec<ConfigError>> {
        let mut whole = document::parse(file, text)?;
        let mut errors = Vec::new();
        for (pattern, place) in whole.take_includes() {
            let found = match self.matching(file, &pattern, &place) {
                Ok(found) => found,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            for name in found {
                let canonical = std::fs::canonicalize(&name).unwrap_or_else(|_| name.clone());
                if self.seen.contains(&canonical) {
                    continue;
                }
                if self.seen.len() >= MAX_FILES {
                    let message = format!("expected at most {MAX_FILES} files together");
                    errors.push(include_error(&place, message));
                    return Err(errors);
                }
                let text = self.text(&name);
                if let Err(message) = &text {
                    errors.push(include_error(&place, format!("{}: {message}", name.display())));
                    continue;
                }
                match self.part(&name, text) {
                    Ok(part) => errors.extend(whole.add_part(part)),
                    Err(more) => errors.extend(more),
                }
            }
        }
        if errors.is_empty() { Ok(whole) } else { Err(errors) }
    }

    /// The files that a pattern of `file` names, by name. One without `*`, `?` and `[` must be there.
    fn matching(
        &mut self,
        file: &Path,
        pattern: &str,
        place: &Position,
    ) -> Result<Vec<PathBuf>, ConfigError> {
        let at = resolve(&folder_of(file), pattern);
        let wild = |path: &Path| path.to_string_lossy().contains(['*', '?', '[']);
        if !wild(Path::new(pattern)) {
            return Ok(vec![at]);
        }
        let fixed = at.ancestors().skip(1).find(|above| !wild(above));
        self.read.folders.extend(fixed.map(Path::to_owned));
        let options = glob::MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..glob::MatchOptions::default()
        };
        let paths = glob::glob_with(&at.to_string_lossy(), options);
        let paths =
            paths.map_err(|error| include_error(place, format!("expected a pattern: {error}")))?;
        let mut found = Vec::new();
        for path in paths.take(MAX_FILES) {
            let path = path.map_err(|error| include_error(place, error.to_string()))?;
            self.read.folders.insert(folder_of(&path));
            if !path.is_dir() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

fn include_error(place: &Position, message: String) -> ConfigError {
    ConfigError::new(place.clone(), KeyPath::from_iter([INCLUDE]), message)
}

impl Document {
    /// The patterns that this file includes, each with its place. What is no list of texts is told by the schema.
    fn take_includes(&mut self) -> Vec<(String, Position)> {
        let list = self.layer.0.get(INCLUDE).cloned().and_then(|list| list.into_array().ok());
        let places = &self.entries;
        let place = |index: usize| {
            let at = KeyPath::from_iter([INCLUDE]).index(index);
            let entry = places.iter().find(|entry| entry.path == at);
            entry.map(|entry| entry.value.clone()).unwrap_or_default()
        };
        let texts = list.into_iter().flatten().enumerate();
        texts
            .filter_map(|(index, value)| match value.kind {
                ValueKind::String(text) if !text.is_empty() => Some((text, place(index))),
                _ => None,
            })
            .collect()
    }

    /// Adds what an included file says.
    fn add_part(&mut self, mut part: Document) -> Vec<ConfigError> {
        part.layer.0.remove(INCLUDE);
        part.entries.retain(|entry| entry.path.segments().first().is_none_or(|key| key != INCLUDE));
        let mut routes = self.layer.0.get(document::ROUTES).cloned();
        let mut routes = routes.take().and_then(|list| list.into_array().ok()).unwrap_or_default();
        part.add_routes_to(&mut routes);
        if let Some(all) = part.layer.0.remove(document::ROUTES) {
            self.layer.0.insert(document::ROUTES.to_owned(), all);
        }
        let mut join = Join { first: &self.entries, second: &part.entries, errors: Vec::new() };
        join.tables(&mut self.layer.0, part.layer.0, &KeyPath::root());
        let errors = join.errors;
        self.entries.extend(part.entries);
        self.texts.extend(part.texts);
        self.errors.extend(part.errors);
        errors
    }
}

/// Joins two parts of a layer.
struct Join<'a> {
    first: &'a [KeyPlace],
    second: &'a [KeyPlace],
    errors: Vec<ConfigError>,
}

impl Join<'_> {
    fn tables(&mut self, to: &mut Map<String, Value>, from: Map<String, Value>, at: &KeyPath) {
        for (name, value) in from {
            let below = at.key(name.as_str());
            let Some(there) = to.get_mut(&name) else {
                to.insert(name, value);
                continue;
            };
            let is_object = matches!(at.segments(), [table] if OBJECTS.contains(&table.as_str()));
            match (&mut there.kind, value.kind) {
                (ValueKind::Table(there), ValueKind::Table(more)) if !is_object => {
                    self.tables(there, more, &below);
                }
                _ => self.twice(&below),
            }
        }
    }

    fn twice(&mut self, at: &KeyPath) {
        let (first, second) = (key_place(self.first, at), key_place(self.second, at));
        let message = format!(
            "{at} is set already, at {first}; each stands in one file of those that are included together"
        );
        self.errors.push(ConfigError::new(second, at.clone(), message));
    }
}

/// Where the name of a key stands: of a table without a line of its own, where its first key does.
fn key_place(entries: &[KeyPlace], at: &KeyPath) -> Position {
    let own = entries.iter().find(|entry| entry.path == *at);
    let inside = || entries.iter().find(|entry| entry.path.is_within(at));
    let entry = own.or_else(inside);
    entry.map_or_else(|| Position::whole(Origin::Default), |entry| entry.key.clone())
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
