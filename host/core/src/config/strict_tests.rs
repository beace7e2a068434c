use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::config::model::{ConnectionConfig, PathConfig, UpstreamConfig, sparse};

fn errors<T: DeserializeOwned + Default + JsonSchema>(tree: Value) -> Vec<String> {
    let errors = from_json::<T>(tree).err();
    errors.iter().flat_map(ConfigErrors::errors).map(ToString::to_string).collect()
}

#[test]
fn what_a_program_says_in_json_is_read_as_strictly_as_a_file() {
    let found = errors::<ConnectionConfig>(json!({
        "uri": "tcp://h:1",
        "call_timeout": 5,
        "call_timeouts": { "exec": true },
        "keepalve": "1s",
        "labels": { "rack": 7 },
        "post_bytes": "1MB",
        "reconnect": { "attempts": -2, "initial": 1, "factor": "2" },
        "via": "upstreams.x",
    }));
    let expected = [
        "call_timeout: expected a duration such as \"500ms\", \"10s\" or \"1h30m\" (did you mean \"5s\"?)",
        "call_timeouts.exec: expected a duration such as \"500ms\", \"10s\" or \"1h30m\", found true or false",
        "keepalve: unknown key (did you mean \"keepalive\"?)",
        "labels.rack: expected text in quotes, found a whole number",
        "post_bytes: expected a size such as \"512B\", \"64KiB\" or \"16MiB\" (did you mean \"1MiB\"?)",
        "reconnect.attempts: expected a whole number from -1 to 4294967295",
        "reconnect.factor: expected a number, found text",
        "reconnect.initial: expected true or false, found a whole number",
        "via: expected \"connections.NAME\", \"devices.NAME.PATH\" or a URI: [upstreams] cannot dial",
    ];
    assert_eq!(found, expected.map(|line| format!("configuration: {line}")));
}

#[test]
fn values_of_the_layers_are_read_in_their_forms() {
    let config: ConnectionConfig = from_json(json!({
        "uri": "tcp://h:1", "call_timeout": "5s", "call_timeouts": { "exec": "1m" }, "post_bytes": "2KiB",
        "reconnect": { "attempts": -1, "total": "1h" }, "connect_timeout": "3s",
    }))
    .unwrap();
    let policy = &config.policy;
    assert_eq!((policy.call_timeout.as_secs(), policy.call_timeouts["exec"].as_secs()), (5, 60));
    assert_eq!((policy.post_bytes, policy.connect_limit().as_secs()), (2048, 3));
    let again = &policy.reconnect;
    assert_eq!((again.attempts, again.total.map(|total| total.as_secs())), (None, Some(3600)));
}

/// The options of layers stand in the tables of several things; serde gives no promise for that by itself.
#[test]
fn keys_that_nothing_knows_are_refused_without_the_schema_too() {
    let tree = json!({ "uri": "tcp://h:1", "keepalive": "1s", "keepalve": "1s" });
    assert!(ConnectionConfig::deserialize(&tree).is_err());
    assert!(PathConfig::deserialize(&tree).is_err());
    let tree = json!({ "targets": ["tcp://h:1"], "retry": {}, "retri": {} });
    assert!(UpstreamConfig::deserialize(&tree).is_err());
}

#[test]
fn a_definition_is_kept_with_the_keys_that_differ_from_their_defaults() {
    let tree = json!({
        "uri": "tcp://h:1", "keepalive": "1s", "keepalive_count": 3, "reconnect": { "attempts": -1 },
        "labels": { "rack": "7" }, "call_timeouts": {},
    });
    let config: ConnectionConfig = from_json(tree).unwrap();
    let kept = sparse(&config, serde_json::value::Serializer).unwrap();
    let keys: Vec<&String> = kept.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["keepalive", "labels", "reconnect", "uri"]);
    assert_eq!(from_json::<ConnectionConfig>(kept).unwrap(), config);
}

/// A form whose type goes by another name would be passed over in silence.
#[test]
fn every_form_has_its_type_in_the_schema() {
    let known = SCHEMA["$defs"].as_object().unwrap();
    for form in FORMS {
        assert!(known.contains_key(form.schema), "{}", form.schema);
    }
}
