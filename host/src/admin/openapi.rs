//! The OpenAPI document, made of the table of endpoints and of the schemas of the configuration.

use super::conditions::Tagged;
use super::endpoints::{ENDPOINTS, Endpoint};
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::config::TargetConfig;
use crate::config::model::{
    ConnectionConfig, DeviceConfig, HandlerConfig, PathConfig, RouteConfig, UpstreamConfig,
};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// `GET /v1/openapi.json`.
pub(super) async fn document(_: AdminRequest) -> Result<Reply, ApiProblem> {
    Ok(Reply::ok(made()))
}

fn made() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let at = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        at[endpoint.method.to_lowercase()] = operation(endpoint, &mut schemas);
    }
    let mut all: Map<String, Value> = schemas.take_definitions(true);
    all.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Jackfield admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A running host, looked at and changed over its Unix socket. What a user may do is said by \
                            [admin] in the configuration; x-jackfield-role is the least role for each operation.",
        },
        "paths": paths,
        "components": { "schemas": all },
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let in_path = endpoint.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        )
    });
    let in_query = endpoint.query.iter().map(|(name, about)| {
        json!({ "name": name, "in": "query", "description": about, "schema": { "type": "string" } })
    });
    let is_tagged = Tagged::has_tag(endpoint);
    let condition = (is_tagged && endpoint.method != "GET").then(|| {
        let about = "the etag of what was looked at: 412 if it has changed since";
        json!({ "name": "if-match", "in": "header", "description": about, "schema": { "type": "string" } })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).chain(condition).collect();
    let kind = match endpoint.path {
        "/v1/events" => "text/event-stream",
        "/metrics" => "application/openmetrics-text",
        "/healthz" | "/readyz" => "text/plain",
        _ => "application/json",
    };
    let mut made = json!({
        "summary": endpoint.about,
        "x-jackfield-role": endpoint.role.as_str(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "done", "content": { kind: {} } },
            "default": {
                "description": "refused or failed",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if is_tagged {
        let about = "another one after each change; for if-match";
        made["responses"]["200"]["headers"] =
            json!({ "etag": { "description": about, "schema": { "type": "string" } } });
    }
    if let Some(schema) = body(endpoint, schemas) {
        made["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    made
}

/// The schema of the body that an endpoint takes.
fn body(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Option<Value> {
    if !matches!(endpoint.method, "PUT" | "POST") {
        return None;
    }
    let call = |more: Value| {
        let mut properties = json!({
            "operation": { "type": "string" }, "params": { "type": "object" },
            "timeout": { "type": "string", "description": "such as 30s" },
        });
        if let (Some(properties), Some(more)) = (properties.as_object_mut(), more.as_object()) {
            properties.extend(more.clone());
        }
        json!({ "type": "object", "required": ["operation"], "properties": properties })
    };
    let reason = json!({ "type": "string" });
    Some(match endpoint.path {
        "/v1/connections/{name}" => schemas.subschema_for::<ConnectionConfig>().to_value(),
        "/v1/devices/{name}" => schemas.subschema_for::<DeviceConfig>().to_value(),
        "/v1/devices/{name}/paths/{path}" => schemas.subschema_for::<PathConfig>().to_value(),
        "/v1/upstreams/{name}" => schemas.subschema_for::<UpstreamConfig>().to_value(),
        "/v1/handlers/{name}" => schemas.subschema_for::<HandlerConfig>().to_value(),
        "/v1/routes" => schemas.subschema_for::<RouteConfig>().to_value(),
        "/v1/targets/{upstream}" => schemas.subschema_for::<TargetConfig>().to_value(),
        "/v1/call" => call(json!({ "to": { "type": "string" } })),
        "/v1/connections/{name}/call" => call(json!({})),
        "/v1/connections/{name}/close" | "/v1/devices/{name}/paths/{path}/close" => {
            json!({ "type": "object", "properties": { "code": { "type": "integer", "minimum": 0 }, "reason": reason } })
        }
        "/v1/connections/{name}/ticket" | "/v1/devices/{name}/paths/{path}/ticket" => json!({
            "type": "object",
            "properties": {
                "mode": { "enum": ["writer", "observer"] },
                "stream": { "type": "integer", "minimum": 0, "description": "the stream to go on with" },
            },
        }),
        "/v1/leases/{name}/take" | "/v1/leases/{name}/held/{id}" => json!({
            "type": "object",
            "properties": { "for": { "type": "string", "description": "how long, such as 1m, which is the default; at most 24h" } },
        }),
        "/v1/metrics/targets" => json!({
            "type": "object",
            "properties": { "for": { "type": "string", "description": "how long, such as 10m; default 1m, at most 1h" } },
        }),
        "/v1/leases/{name}/break" => {
            json!({ "type": "object", "properties": { "reason": reason } })
        }
        "/v1/targets/{upstream}/{name}/weight" | "/v1/targets/{upstream}/{name}/enable" => {
            let weight = json!({ "type": "integer", "minimum": 0, "maximum": 1000 });
            json!({ "type": "object", "properties": { "weight": weight } })
        }
        "/v1/log" => json!({
            "type": "object", "required": ["level"],
            "properties": {
                "level": { "enum": ["error", "warn", "info", "debug", "trace"] },
                "driver": { "type": "string" },
                "for": { "type": "string", "description": "how long, such as 10m, which is the default; at most 24h" },
            },
        }),
        _ => return None,
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "pointer": { "type": "string", "description": "where in the body" },
            "parameter": { "type": "string", "description": "which of the query" },
            "nearest": { "type": "string", "description": "the nearest valid name" },
            "errors": { "type": "array", "items": { "type": "object" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below a value.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(table) => {
                found.extend(table.get("$ref").and_then(Value::as_str));
                table.values().for_each(|below| references(below, found));
            }
            Value::Array(list) => list.iter().for_each(|below| references(below, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = made();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{found:?}");
        for reference in found {
            let at = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
            assert!(document.pointer(at).is_some(), "{reference}");
        }
        for endpoint in ENDPOINTS {
            let at = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
            assert!(at["summary"].is_string(), "{} {}", endpoint.method, endpoint.path);
        }
    }
}
