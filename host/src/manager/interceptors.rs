//! Interceptors of plugins, each from its table of the configuration.

use super::credentials::Credentials;
use super::parts::Parts;
use super::target_builder::TargetBuilder;
use crate::config::{Config, KeyPath};
use crate::connection::{Interceptor, Plugged};
use crate::driver::Registry;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An interceptor and where it stands among others.
type Placed = (i32, Arc<dyn Interceptor>);

/// Interceptors with their options in place, by the names of the configuration.
#[derive(Default)]
pub(super) struct Interceptors(BTreeMap<String, Placed>);

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Interceptors {
    /// Those that a list names.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub(super) fn all_listed(&self, names: &[String]) -> Result<Vec<Placed>> {
        let find = |name: &String| {
            self.0.get(name).cloned().ok_or_else(|| {
                let near = did_you_mean(name, self.0.keys());
                let hint =
                    near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                Error::new(ErrorKind::NotFound, format!("there is no interceptor {name:?}{hint}"))
            })
        };
        names.iter().map(find).collect()
    }
}

/// All of them; those with mistakes are left out, and the mistakes remembered.
pub(super) async fn interceptors(
    parts: &mut Parts<'_>,
    registry: &Registry,
    config: &Config,
) -> Interceptors {
    let (mut made, none) =
        (Interceptors::default(), (Interceptors::default(), Credentials::default()));
    let builder = TargetBuilder {
        registry,
        interceptors: &none.0,
        credentials: &none.1,
        sources: &parts.loaded.sources,
        programs: parts.programs,
    };
    for (name, interceptor) in &config.interceptors {
        let key = KeyPath::from_iter(["interceptors", name.as_str()]);
        let plugin_name = interceptor.interceptor.as_deref().unwrap_or(name);
        let found = match registry.interceptor(plugin_name) {
            Ok(found) => Arc::clone(found),
            Err(error) => {
                let key = if interceptor.interceptor.is_some() { key.key("use") } else { key };
                parts.fault(&key, error);
                continue;
            }
        };
        let options_key = key.key("options");
        let schema = &found.manifest.options;
        let options = builder.options(&options_key, schema, &interceptor.options).await;
        let Some(options) = parts.keep(options) else { continue };
        match found.configure(options).await {
            Ok(prepared) => {
                let placed: Placed = (found.manifest.order, Arc::new(Plugged::new(prepared)));
                made.0.insert(name.clone(), placed);
            }
            Err(error) => parts.fault(&options_key, error),
        }
    }
    made
}
