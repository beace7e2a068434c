//! Interceptors of plugins, each from its table of the configuration.

use super::becoming::Becoming;
use super::parts::Parts;
use super::target_builder::TargetBuilder;
use crate::config::KeyPath;
use crate::config::diff::{Changes, ObjectId, ObjectKind};
use crate::config::model::InterceptorConfig;
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

/// All of a configuration; those that `changes` does not name are those of `before`. Those with mistakes are left
/// out, and the mistakes remembered.
pub(super) async fn interceptors(
    parts: &mut Parts<'_>,
    registry: &Arc<Registry>,
    (changes, before): (&Changes, &Interceptors),
) -> Interceptors {
    let mut made = Interceptors::default();
    let becoming = Becoming::default();
    let builder = TargetBuilder {
        registry: Arc::clone(registry),
        interceptors: Arc::default(),
        credentials: Arc::default(),
        becoming: &becoming,
        sources: &parts.loaded.sources,
        programs: parts.programs,
    };
    for (name, config) in &parts.loaded.config.interceptors {
        let is_same = changes.of(&ObjectId::new(ObjectKind::Interceptor, name)).is_none();
        if is_same {
            // One that is not there waits for its plugin.
            if let Some(placed) = before.0.get(name) {
                made.0.insert(name.clone(), placed.clone());
            }
            continue;
        }
        if let Some(placed) = interceptor(parts, &builder, name, config).await {
            made.0.insert(name.clone(), placed);
        }
    }
    made
}

async fn interceptor(
    parts: &mut Parts<'_>,
    builder: &TargetBuilder<'_>,
    name: &str,
    config: &InterceptorConfig,
) -> Option<Placed> {
    let key = KeyPath::from_iter(["interceptors", name]);
    let plugin_name = config.interceptor.as_deref().unwrap_or(name);
    let found = match builder.registry.interceptor(plugin_name) {
        Ok(found) => Arc::clone(found),
        Err(error) => {
            let key = if config.interceptor.is_some() { key.key("use") } else { key };
            parts.fault(&key, error);
            return None;
        }
    };
    let options_key = key.key("options");
    let schema = &found.manifest.options;
    let options = builder.options(&options_key, schema, &config.options).await;
    let options = parts.keep(options)?;
    match found.configure(options).await {
        Ok(prepared) => Some((found.manifest.order, Arc::new(Plugged::new(prepared)))),
        Err(error) => {
            parts.fault(&options_key, error);
            None
        }
    }
}
