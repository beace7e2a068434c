//! Options of a stack: one table, shared out to its layers and checked against their schemas.
//!
//! A key that is the name of a layer below the top, with a table as its value, holds that layer's
//! options; every other key is the top layer's: `{ key_file = "…", tcp = { nodelay = false } }`.

use super::plan::Plan;
use crate::driver::DriverHandle;
use crate::nearest::did_you_mean;
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
    shared
}

fn has_option(driver: &DriverHandle, name: &str) -> bool {
    driver.manifest.options.pointer("/properties").is_some_and(|known| known.get(name).is_some())
}

/// Checks one layer's options against a schema. Secrets may stand as references: what is checked in
/// their place is that one may stand there.
pub fn check(
    schema: &Value,
    options: &Map<String, Value>,
    path: &[String],
    layers: &[&str],
) -> Vec<OptionProblem> {
    let mut instance = Value::Object(options.clone());
    hide_secret_references(&mut instance, schema);
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

fn hide_secret_references(instance: &mut Value, schema: &Value) {
    let (Some(fields), Some(known)) =
        (instance.as_object_mut(), schema.pointer("/properties").and_then(Value::as_object))
    else {
        return;
    };
    for (name, value) in fields {
        let secret = known.get(name).is_some_and(is_secret);
        if secret && value.is_object() {
            *value = Value::String(String::new());
        }
    }
}

/// Whether a property's schema marks a secret, directly or as one of its alternatives.
pub fn is_secret(schema: &Value) -> bool {
    schema.get("x-secret") == Some(&Value::Bool(true))
        || schema
            .get("anyOf")
            .and_then(Value::as_array)
            .is_some_and(|alternatives| alternatives.iter().any(is_secret))
}

fn problems(
    error: &jsonschema::ValidationError<'_>,
    schema: &Value,
    path: &[String],
    layers: &[&str],
) -> Vec<OptionProblem> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let pointer = error.instance_path().to_string();
    let mut full = path.to_vec();
    full.extend(pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")));
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
