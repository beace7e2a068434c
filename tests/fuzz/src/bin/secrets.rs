//! References to secrets in options, as JSON.
#![no_main]

use jackfield::secret::{SecretRef, check, placeholders};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let _ = SecretRef::detect(&value);
    let Value::Object(options) = value else { return };
    let schema = json!({ "properties": {
        "password": { "type": "string", "writeOnly": true },
        "headers": { "additionalProperties": { "type": "string", "writeOnly": true } },
        "name": { "type": "string" },
    } });
    let _ = (check(&options, &schema), placeholders(&options, &schema));
});
