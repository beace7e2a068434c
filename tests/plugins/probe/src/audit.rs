//! Interceptors that write down what passes, and refuse, rename or answer what they are told to.

use jackfield_plugin_api::{
    Call, Error, ErrorKind, Event, Host, Interceptor, InterceptorInfo, Next, Result,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Options.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditOptions {
    /// What it is called in events and results.
    pub tag: String,
    /// Operations that it does not let pass.
    pub refuse: Vec<String>,
    /// Operations that become others.
    pub rename: BTreeMap<String, String>,
    /// Operations that it answers itself.
    pub answer: BTreeMap<String, Value>,
}

/// Of order 0.
#[derive(Debug)]
pub struct Audit {
    host: Host,
    options: AuditOptions,
}

/// The same, further outside.
#[derive(Debug)]
pub struct Outer(Audit);

impl Interceptor for Audit {
    const INFO: InterceptorInfo = InterceptorInfo::new("probe-audit", "Writes down what passes");
    type Options = AuditOptions;

    fn new(host: Host, options: AuditOptions) -> Result<Self> {
        if options.tag == "forbidden" {
            return Err(Error::option("tag", "expected another word"));
        }
        Ok(Audit { host, options })
    }

    async fn call(&self, mut call: Call, next: Next) -> Result<Value> {
        let AuditOptions { tag, refuse, rename, answer } = &self.options;
        let Call { connection, driver, operation, params, .. } = &call;
        let data = json!({
            "tag": tag, "connection": connection, "driver": driver, "operation": operation,
            "params": params,
        });
        self.host.event(&Event::new("called", data));
        if operation == "panic" {
            panic!("told to");
        }
        if refuse.contains(operation) {
            let text = format!("{tag} does not let {operation} pass");
            return Err(Error::new(ErrorKind::Denied, text));
        }
        if let Some(answer) = answer.get(operation) {
            return Ok(answer.clone());
        }
        if let Some(other) = rename.get(operation) {
            call.operation.clone_from(other);
        }
        let mut result = next.run(call).await?;
        if let Some(fields) = result.as_object_mut() {
            let tags = fields.entry("tags").or_insert_with(|| json!([]));
            if let Some(tags) = tags.as_array_mut() {
                tags.push(tag.clone().into());
            }
        }
        Ok(result)
    }
}

impl Interceptor for Outer {
    const INFO: InterceptorInfo =
        InterceptorInfo::new("probe-outer", "Writes down what passes, further outside").order(-10);
    type Options = AuditOptions;

    fn new(host: Host, options: AuditOptions) -> Result<Self> {
        Audit::new(host, options).map(Outer)
    }

    async fn call(&self, call: Call, next: Next) -> Result<Value> {
        self.0.call(call, next).await
    }
}
