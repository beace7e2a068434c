//! Options of a stack: one table, shared out to its layers and checked against their schemas.
//!
//! A key that is the name of a layer below the top, with a table as its value, holds that layer's
//! options; every other key is the top layer's: `{ key_file = "…", tcp = { nodelay = false } }`.

use super::plan::Plan;
use crate::driver::DriverHandle;
use crate::nearest::did_you_mean;
use crate::secret::{self, Resolver, Secret};
use jackfield_plugin_api::Below;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// What is wrong with one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionProblem {
    /// Keys from the options table down to the value.
    pub path: Vec<String>,
    /// What was expected.
    pub message: String,
    /// The nearest valid name.
    pub suggestion: Option<String>,
}

impl fmt::Display for OptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {}: {}", self.path.join("."), self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, " (did you mean {name:?}?)"),
            None => Ok(()),
        }
    }
}

/// The options of one layer, and where they stand in the whole table.
#[derive(Clone, Debug)]
pub struct LayerOptions {
    /// The layer.
    pub driver: Arc<DriverHandle>,
    /// Its options.
    pub options: Map<String, Value>,
    /// Keys down to them.
    pub path: Vec<String>,
}

/// Shares `options` out to the layers of `plan`, top first.
pub fn share_out(plan: &Plan, options: &Map<String, Value>) -> Vec<LayerOptions> {
    let mut rest = options.clone();
    let mut shared: Vec<LayerOptions> = plan
        .layers
        .iter()
        .enumerate()
        .map(|(position, driver)| {
            let name = driver.name();
            let own = has_option(&plan.layers[0], name);
            let below = position > 0 && !own && rest.get(name).is_some_and(Value::is_object);
            let taken = if below { rest.remove(name) } else { None };
            let (options, path) = match taken {
                Some(Value::Object(options)) => (options, vec![name.to_owned()]),
                _ => (Map::new(), Vec::new()),
            };
            LayerOptions { driver: Arc::clone(driver), options, path }
        })
        .collect();
    if let Some(top) = shared.first_mut() {
        top.options = rest;
        top.path.clear();
    }
    let asks = |layer: &&mut LayerOptions| {
        layer.driver.manifest.query == jackfield_plugin_api::Query::Options
    };
    if let Some(layer) = shared.iter_mut().find(asks) {
        layer.options.extend(plan.query_options.clone());
    }
    for below in 1..shared.len() {
        let (above, rest) = shared.split_at_mut(below);
        if let (Some(above), Some(layer)) = (above.last(), rest.first_mut()) {
            want(above, layer);
        }
    }
    shared
}

/// Sets what `above` wants of the layer below it, as far as that has such options and the user has not
/// set them.
fn want(above: &LayerOptions, layer: &mut LayerOptions) {
    let fits = |wanted: &&Below| {
        wanted.when.iter().all(|(name, value)| above.options.get(name) == Some(value))
    };
    let Some(wanted) = above.driver.manifest.below.iter().find(fits) else { return };
    for (name, value) in &wanted.options {
        if has_option(&layer.driver, name) {
            layer.options.entry(name).or_insert_with(|| value.clone());
        }
    }
}

fn has_option(driver: &DriverHandle, name: &str) -> bool {
    driver.manifest.options.pointer("/properties").is_some_and(|known| known.get(name).is_some())
}

/// Checks one driver's or handler's options against its schema. Secrets may stand as references.
/// `layers` are the names of layers whose tables may stand beside the options.
pub fn check(
    schema: &Value,
    options: &Map<String, Value>,
    path: &[String],
    layers: &[&str],
) -> Vec<OptionProblem> {
    let misplaced: Vec<OptionProblem> = secret::check(options, schema)
        .into_iter()
        .filter(|finding| !finding.problem.is_warning())
        .map(|finding| OptionProblem {
            path: below(path, &finding.pointer),
            message: finding.problem.to_string(),
            suggestion: None,
        })
        .collect();
    if !misplaced.is_empty() {
        return misplaced;
    }
    if options.is_empty() && accepts_none(schema) {
        return Vec::new();
    }
    let instance = Value::Object(secret::placeholders(options, schema));
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the driver's own schema cannot be used: {error}");
            return vec![OptionProblem { path: path.to_vec(), message, suggestion: None }];
        }
    };
    validator
        .iter_errors(&instance)
        .flat_map(|error| problems(&error, schema, path, layers))
        .collect()
}

/// Keywords of a schema that say nothing of a table without keys.
const OF_KEYS: [&str; 9] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "properties",
    "additionalProperties",
];

/// Whether a table without options is seen to be right without compiling the schema, which takes longer than all else.
fn accepts_none(schema: &Value) -> bool {
    let Value::Object(keywords) = schema else { return false };
    keywords.iter().all(|(name, said)| match name.as_str() {
        "type" => said == "object",
        "required" => said.as_array().is_some_and(Vec::is_empty),
        name => OF_KEYS.contains(&name) || name.starts_with("x-"),
    })
}

/// A whole stack's options: what is wrong with them, and whether secrets in them are read by running
/// programs.
pub fn look_over(plan: &Plan, options: &Map<String, Value>) -> (Vec<OptionProblem>, bool) {
    let names: Vec<&str> = plan.layers.iter().skip(1).map(|layer| layer.name()).collect();
    let (mut problems, mut programs) = (Vec::new(), false);
    for (position, layer) in share_out(plan, options).into_iter().enumerate() {
        let schema = &layer.driver.manifest.options;
        let beside: &[&str] = if position == 0 { &names } else { &[] };
        problems.extend(check(schema, &layer.options, &layer.path, beside));
        programs |= !secret::programs(&layer.options, schema).is_empty();
    }
    (problems, programs)
}

/// Options that were checked, with their secrets in them, as JSON for the driver.
///
/// # Errors
/// Every option at fault, or the first secret that cannot be read.
pub async fn prepare(
    schema: &Value,
    options: &Map<String, Value>,
    path: &[String],
    layers: &[&str],
    resolver: &Resolver,
) -> Result<Secret, Vec<OptionProblem>> {
    let found = check(schema, options, path, layers);
    if !found.is_empty() {
        return Err(found);
    }
    let resolved = resolver.resolve_options(options, schema).await.map_err(|mut error| {
        let path = below(path, error.pointer.as_deref().unwrap_or_default());
        error.pointer = None;
        vec![OptionProblem { path, message: error.to_string(), suggestion: None }]
    })?;
    Ok(resolved.expose_json())
}

/// The keys of a JSON pointer after those of `path`.
fn below(path: &[String], pointer: &str) -> Vec<String> {
    let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    path.iter().cloned().chain(steps).collect()
}

fn problems(
    error: &jsonschema::ValidationError<'_>,
    schema: &Value,
    path: &[String],
    layers: &[&str],
) -> Vec<OptionProblem> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let full = below(path, &error.instance_path().to_string());
    let Kind::AdditionalProperties { unexpected } = error.kind() else {
        // The value itself stays out: it may be a secret in the wrong place.
        let message = error.masked().to_string();
        return vec![OptionProblem { path: full, message, suggestion: None }];
    };
    let known: Vec<&str> = schema
        .pointer("/properties")
        .and_then(Value::as_object)
        .map(|known| known.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let all: Vec<&str> = known.iter().chain(layers).copied().collect();
    unexpected
        .iter()
        .map(|name| {
            let mut path = full.clone();
            path.push(name.clone());
            let suggestion = did_you_mean(name, all.iter().copied()).map(str::to_owned);
            let message = format!("unknown option; known: {}", known.join(" "));
            OptionProblem { path, message, suggestion }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_options_are_right_without_the_schema_only_where_it_says_nothing_of_them() {
        let none = Map::new();
        let plain = json!({ "$schema": "x", "type": "object", "title": "T", "required": [], "x-a": 1,
            "properties": { "a": { "type": "string" } }, "additionalProperties": false });
        assert!(accepts_none(&plain));
        assert_eq!(check(&plain, &none, &[], &[]), []);
        for (keyword, said) in [
            ("required", json!(["a"])),
            ("minProperties", json!(1)),
            ("anyOf", json!([{ "required": ["a"] }])),
            ("not", json!({})),
            ("type", json!("array")),
        ] {
            let mut schema = plain.clone();
            schema[keyword] = said;
            assert_eq!(check(&schema, &none, &[], &[]).len(), 1, "{schema}");
        }
        assert_eq!(check(&json!(false), &none, &[], &[]).len(), 1);
        assert_eq!(check(&json!({ "type": "nothing" }), &none, &[], &[]).len(), 1);
    }
}
