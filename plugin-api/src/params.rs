//! Parameters of operations: from JSON to a type, with an error that names the wrong parameter.

use crate::error::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The parameters of an operation that has none.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// Reads parameters as a type; null stands for none. A type with `deny_unknown_fields` refuses what
/// it does not know.
///
/// # Errors
/// [`ErrorKind::Config`], naming the parameter and what was expected.
pub fn params<T: DeserializeOwned>(params: Value) -> Result<T> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_json::from_value(params).map_err(|error| Error::new(ErrorKind::Config, error.to_string()))
}
