//! Templates: the keys of `[templates.NAME]` are also those of each connection, device, path of a device and upstream
//! that says `extends = "NAME"`.
//!
//! They are put in place on the merged tree, before anything is read from it: so a template may hold whatever those
//! that extend it may, each key is checked where it is used, and a change of a template is a change of those.
//! Tables are merged, and what the nearer one says wins; lists are replaced whole.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::position::{KeyPath, SourceMap};
use super::reference::is_name;
use crate::nearest::did_you_mean;

const TEMPLATES: &str = "templates";
const EXTENDS: &str = "extends";

/// The key `extends`, which is taken out of files before they are read further. Nothing else may say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Extends;

impl<'de> Deserialize<'de> for Extends {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("only files have templates to extend: write its keys out"))
    }
}

/// Where objects stand that may extend a template, and where objects in them that may, too.
const OBJECTS: [(&str, Option<&str>); 3] =
    [("connections", None), ("devices", Some("paths")), ("upstreams", None)];

/// Puts templates in place in `tree`, and in `sources` and `texts` where their keys stand. Answers what is wrong.
pub(super) fn expand(
    tree: &mut Value,
    sources: &mut SourceMap,
    texts: &mut BTreeMap<KeyPath, String>,
) -> Vec<ConfigError> {
    let Value::Object(tree) = tree else { return Vec::new() };
    let templates = match tree.remove(TEMPLATES) {
        Some(Value::Object(templates)) => templates,
        Some(other) => {
            // What is no table is told with its place by who reads the tree.
            tree.insert(TEMPLATES.to_owned(), other);
            Map::new()
        }
        None => Map::new(),
    };
    let mut placing = Placing { templates: &templates, sources, texts, errors: Vec::new() };
    for name in templates.keys().filter(|name| !is_name(name)) {
        let key = KeyPath::from_iter([TEMPLATES, name]);
        placing.wrong(&key, "expected a name of a-z, 0-9, _ . and -".to_owned(), None);
    }
    for (table, inner) in OBJECTS {
        let Some(Value::Object(objects)) = tree.get_mut(table) else { continue };
        for (name, object) in objects {
            let Value::Object(object) = object else { continue };
            let at = KeyPath::from_iter([table, name]);
            placing.object(object, &at);
            let Some((inner, Value::Object(below))) =
                inner.and_then(|inner| Some((inner, object.get_mut(inner)?)))
            else {
                continue;
            };
            for (name, object) in below {
                if let Value::Object(object) = object {
                    placing.object(object, &at.key(inner).key(name));
                }
            }
        }
    }
    placing.errors
}

struct Placing<'a> {
    templates: &'a Map<String, Value>,
    sources: &'a mut SourceMap,
    texts: &'a mut BTreeMap<KeyPath, String>,
    errors: Vec<ConfigError>,
}

impl Placing<'_> {
    /// Adds to `object` what the template has that it extends, then what that one extends, and so on.
    fn object(&mut self, object: &mut Map<String, Value>, at: &KeyPath) {
        let (mut next, mut said) = (object.remove(EXTENDS), at.key(EXTENDS));
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = next {
            let Value::String(name) = name else {
                return self.wrong(&said, "expected the name of a template".to_owned(), None);
            };
            if seen.contains(&name) {
                let text = format!("the template {name:?} extends itself, by {}", seen.join(", "));
                return self.wrong(&said, text, None);
            }
            let Some(template) = self.templates.get(&name) else {
                let near = did_you_mean(&name, self.templates.keys()).map(str::to_owned);
                return self.wrong(&said, format!("there is no template {name:?}"), near);
            };
            let from = KeyPath::from_iter([TEMPLATES, &name]);
            let Value::Object(template) = template else {
                return self.wrong(&from, "expected a table".to_owned(), None);
            };
            let mut template = template.clone();
            next = template.remove(EXTENDS);
            add(object, template);
            self.place(&from, at);
            said = from.key(EXTENDS);
            seen.push(name);
        }
    }

    /// What stands at `from` stands at `to`, too, as far as nothing else is written there.
    fn place(&mut self, from: &KeyPath, to: &KeyPath) {
        let below = self.texts.range(from..).take_while(|(key, _)| key.is_within(from));
        let copied: Vec<_> = below
            .map(|(key, text)| {
                let rest = key.segments().iter().skip(from.segments().len());
                (rest.fold(to.clone(), |key, name| key.key(name)), text.clone())
            })
            .filter(|(key, _)| !self.sources.contains(key))
            .collect();
        self.texts.extend(copied);
        self.sources.inherit(from, to);
    }

    fn wrong(&mut self, key: &KeyPath, message: String, near: Option<String>) {
        let place = self.sources.locate(key);
        self.errors.push(ConfigError::new(place, key.clone(), message).suggest(near));
    }
}

/// Adds to `object` what it has not; tables are merged.
fn add(object: &mut Map<String, Value>, template: Map<String, Value>) {
    for (key, value) in template {
        match (object.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(more)) => add(own, more),
            (Some(_), _) => {}
            (None, value) => drop(object.insert(key, value)),
        }
    }
}

#[cfg(test)]
#[path = "templates_tests.rs"]
mod tests;
