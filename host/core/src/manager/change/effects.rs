//! What changes of options do, by the schemas of their drivers, handlers and interceptors.

use crate::config::diff::{Effect, ObjectId, ObjectKind, OptionEffects};
use crate::driver::Registry;
use crate::stack::Plan;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::{Apply, Role};
use serde_json::Value;
use std::sync::Arc;

/// Asks the schemas of what is loaded.
pub(super) struct SchemaEffects(pub(super) Arc<Registry>);

impl OptionEffects for SchemaEffects {
    fn of_option(&self, object: &ObjectId, value: &Value, keys: &[String]) -> Effect {
        let named = |key: &str| value[key].as_str().unwrap_or(&object.name);
        match object.kind {
            ObjectKind::Handler => {
                let found = self.0.handler(named("handler")).ok();
                found.map(|found| of(&found.manifest.options, keys))
            }
            ObjectKind::Interceptor => {
                let found = self.0.interceptor(named("use")).ok();
                found.map(|found| of(&found.manifest.options, keys))
            }
            ObjectKind::Route => self.of_stack(&value["listen"], Role::Server, false, keys),
            _ => {
                let is_carried = value.get("via").is_some();
                self.of_stack(&value["uri"], Role::Client, is_carried, keys)
            }
        }
        .unwrap_or_default()
    }
}

impl SchemaEffects {
    /// Of an option of a stack: of its top layer, or of the layer whose table it stands in.
    fn of_stack(
        &self,
        uri: &Value,
        role: Role,
        is_carried: bool,
        keys: &[String],
    ) -> Option<Effect> {
        let uri: StackUri = uri.as_str()?.parse().ok()?;
        let plan = Plan::new(&uri, &self.0, role, is_carried).ok()?;
        let (top, below) = plan.layers.split_first()?;
        let first = keys.first()?;
        let own = top.manifest.options["properties"].get(first).is_some();
        let inside = below.iter().position(|layer| layer.name() == first).filter(|_| !own);
        let (layer, at, keys) = match inside {
            Some(at) => (&below[at], at + 1, &keys[1..]),
            None => (top, 0, keys),
        };
        let effect = of(&layer.manifest.options, keys);
        // A listener's transport was told its options when it began to listen.
        let is_bound = role == Role::Server && at + 1 == plan.layers.len();
        Some(if is_bound && effect != Effect::Live { Effect::Restart } else { effect })
    }
}

fn of(schema: &Value, keys: &[String]) -> Effect {
    keys.first().map_or_else(Effect::default, |key| Apply::of(schema, key).into())
}
