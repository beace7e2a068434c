//! [`Definition`]: a named connection, said step by step.

use super::Manager;
use super::named::Existing;
use crate::config;
use crate::connection::Managed;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A connection that is to be defined: what the file says in `[connections.NAME]`, key by key. Nothing happens
/// before [`Definition::register`].
#[derive(Debug)]
#[must_use = "a definition does nothing before it is registered"]
pub struct Definition<'a> {
    manager: &'a Manager,
    name: String,
    keys: Map<String, Value>,
    existing: Existing,
}

impl Manager {
    /// Begins the definition of the connection `name` to `uri`.
    ///
    /// ```no_run
    /// # use jackfield_core as jackfield;
    /// # async fn run(manager: jackfield::manager::Manager, password: &str) -> jackfield_plugin_api::Result<()> {
    /// use jackfield::calls::Calls;
    /// let sdf = manager.define("sdf", "ssh://user@sdf.org").option("password", password).register().await?;
    /// println!("{}", sdf.exec("ls -la").await?.stdout);
    /// # Ok(())
    /// # }
    /// ```
    pub fn define(&self, name: &str, uri: &str) -> Definition<'_> {
        let keys = Map::from_iter([("uri".to_owned(), uri.into())]);
        Definition { manager: self, name: name.to_owned(), keys, existing: Existing::Refuse }
    }
}

impl Definition<'_> {
    /// Sets a key of the definition, as `config/jackfield.toml` has it under `[connections.NAME]`: `via`,
    /// `call_timeout` (`"5s"`), `login`, `reconnect` and the others.
    pub fn key(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// Sets an option of its driver; one of a layer below as a table by the layer's name. A secret may be a
    /// text or a reference (`{ "env": "NAME" }`).
    pub fn option(self, key: &str, value: impl Into<Value>) -> Self {
        self.within("options", key, value.into())
    }

    /// Sets a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.within("labels", key, value.into())
    }

    /// What becomes of another definition with that name, unless it is equal. Default:
    /// [`Existing::Refuse`].
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    fn within(mut self, table: &str, key: &str, value: Value) -> Self {
        let table = self.keys.entry(table).or_insert_with(|| Map::new().into());
        if let Value::Object(table) = table {
            table.insert(key.to_owned(), value);
        }
        self
    }

    /// Defines the connection. It is opened when it is first needed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a key, URI, driver or option that is wrong, or a name that is taken.
    pub async fn register(self) -> Result<Arc<Managed>> {
        let Definition { manager, name, keys, existing } = self;
        let config = config::from_json(Value::Object(keys))
            .map_err(|errors| Error::new(ErrorKind::Config, format!("{name}: {errors}")))?;
        manager.define_connection(&name, config, existing).await
    }
}
