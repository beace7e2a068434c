//! Logging in as the last step of opening a stack.

use super::options::{self, OptionProblem};
use crate::dialogue::{self, Login};
use crate::secret::Resolver;
use serde_json::{Map, Value};

/// What a configuration says of logging in, with its secrets.
///
/// # Errors
/// Every key at fault.
pub async fn login(
    config: &Map<String, Value>,
    resolver: &Resolver,
) -> Result<Login, Vec<OptionProblem>> {
    let problem = |path: Vec<String>, message: String| {
        vec![OptionProblem { path, message, suggestion: None }]
    };
    let schema = schema();
    let text = options::prepare(schema, config, &[], &[], resolver).await?;
    // The parser's own words may show a value.
    let login: Login = serde_json::from_str(text.expose())
        .map_err(|_| problem(Vec::new(), "is not of the right kind".to_owned()))?;
    login.check().map_err(|error| {
        let key = error.context().find(|(key, _)| *key == "option");
        let path = key.map(|(_, name)| name.to_owned());
        problem(path.into_iter().collect(), error.message().to_owned())
    })?;
    Ok(login)
}

/// Which keys there are.
pub fn schema() -> &'static Value {
    dialogue::operation("login").map_or(&Value::Null, |operation| &operation.params)
}
