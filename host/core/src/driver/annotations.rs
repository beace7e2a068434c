//! What the schemas of a plugin say beside the form of its options.

use jackfield_plugin_api::{Apply, PluginManifest};
use serde_json::Value;

/// Warns of wrong annotations, and of a debug build in a release host.
pub(super) fn warn(manifest: &PluginManifest) {
    let plugin = manifest.name.as_str();
    for problem in problems(manifest) {
        tracing::warn!(plugin, "{problem}");
    }
    if manifest.profile == "debug" && !cfg!(debug_assertions) {
        tracing::warn!(plugin, "this plugin is a debug build, which is slow");
    }
}

/// Unknown values of [`Apply::KEY`], which count as its default.
fn problems(manifest: &PluginManifest) -> Vec<String> {
    let drivers = manifest.drivers.iter().map(|it| ("driver", &it.name, &it.options));
    let handlers = manifest.handlers.iter().map(|it| ("handler", &it.name, &it.options));
    let interceptors = manifest.interceptors.iter();
    let interceptors = interceptors.map(|it| ("interceptor", &it.name, &it.options));
    let mut found = Vec::new();
    for (what, name, schema) in drivers.chain(handlers).chain(interceptors) {
        let mut odd = Vec::new();
        walk(schema, &mut odd);
        found.extend(odd.into_iter().map(|value| {
            let (key, default) = (Apply::KEY, Apply::default().as_str());
            let words = WORDS.map(Apply::as_str).join(", ");
            format!("{what} {name}: {key} = {value} is not known, expected {words}; it counts as {default}")
        }));
    }
    found
}

const WORDS: [Apply; 3] = [Apply::Live, Apply::NewSessions, Apply::Restart];

fn walk<'a>(schema: &'a Value, odd: &mut Vec<&'a Value>) {
    match schema {
        Value::Object(table) => {
            for (key, value) in table {
                let known = |value: &Value| WORDS.iter().any(|word| value == word.as_str());
                if key == Apply::KEY && !value.is_object() {
                    odd.extend(Some(value).filter(|value| !known(value)));
                } else {
                    walk(value, odd);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| walk(value, odd)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_word_for_a_change_is_told_with_those_that_there_are() {
        let options = |word: &str| json!({ "properties": { "a": { "x-apply": word }, "b": { "x-apply": "live" } } });
        let manifest = |word: &str| -> PluginManifest {
            let interceptor = json!({ "name": "i", "summary": "", "options": options(word) });
            let abi = json!({ "major": 1, "minor": 0, "required_minor": 0 });
            serde_json::from_value(json!({
                "manifest": 1, "name": "p", "version": "1", "abi": abi, "target": "", "symbol": "",
                "interceptors": [interceptor],
            }))
            .unwrap()
        };
        assert_eq!(problems(&manifest("restart")), Vec::<String>::new());
        let text = "interceptor i: x-apply = \"sometimes\" is not known, expected live, new_sessions, \
                    restart; it counts as new_sessions";
        assert_eq!(problems(&manifest("sometimes")), [text]);
    }
}
