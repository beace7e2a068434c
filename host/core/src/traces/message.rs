//! Spans as messages of OTLP 1, `opentelemetry/proto/collector/trace/v1` and what is in it: as far as they are used.

use super::{Span, SpanKind, SpanValue};
use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<OtlpResource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Message)]
struct OtlpResource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<OtlpKeyValue>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<OtlpScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Message)]
struct OtlpScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<OtlpKeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<OtlpStatus>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Message)]
struct OtlpStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Message)]
struct OtlpKeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<OtlpAnyValue>,
}

#[derive(Message)]
struct OtlpAnyValue {
    #[prost(oneof = "OtlpValue", tags = "1, 3")]
    value: Option<OtlpValue>,
}

#[derive(Oneof)]
enum OtlpValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `Status.StatusCode`: it failed. One that did not has no status.
const STATUS_ERROR: i32 = 2;

/// `Span.SpanKind` of what somebody has asked the host for, and of what the host has asked somebody for.
const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;

/// The flag of a span whose trace is kept.
const SAMPLED: u32 = 1;

/// A request with these spans of a service of that name.
pub fn encoded(spans: Vec<Span>, service: &str) -> Bytes {
    let version = env!("CARGO_PKG_VERSION");
    let resource = OtlpResource {
        attributes: [("service.name", service), ("service.version", version)]
            .map(|(key, value)| attribute(key, SpanValue::from(value)))
            .into(),
    };
    let scope = OtlpScope { name: "jackfield".to_owned(), version: version.to_owned() };
    let spans = spans.into_iter().map(OtlpSpan::from).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let of_host = ResourceSpans { resource: Some(resource), scope_spans };
    ExportRequest { resource_spans: vec![of_host] }.encode_to_vec().into()
}

/// How many spans a collector says that it has not taken, and why, in what it has answered with 200. What cannot be read
/// says nothing.
pub fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let partial = ExportResponse::decode(answer).ok()?.partial_success?;
    let count = u64::try_from(partial.rejected_spans).ok().filter(|count| *count > 0)?;
    Some((count, partial.error_message))
}

fn attribute(key: &str, value: SpanValue) -> OtlpKeyValue {
    let value = match value {
        SpanValue::Text(text) => OtlpValue::Text(text),
        SpanValue::Number(number) => OtlpValue::Number(number),
    };
    OtlpKeyValue { key: key.to_owned(), value: Some(OtlpAnyValue { value: Some(value) }) }
}

impl From<Span> for OtlpSpan {
    fn from(span: Span) -> Self {
        let Span { context, kind, name, start, end, attributes, error } = span;
        OtlpSpan {
            trace_id: context.trace().to_vec(),
            span_id: context.id().to_vec(),
            parent_span_id: context.parent().map(|id| id.to_vec()).unwrap_or_default(),
            name,
            kind: match kind {
                SpanKind::Server => KIND_SERVER,
                SpanKind::Client => KIND_CLIENT,
            },
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
            status: error.map(|message| OtlpStatus { message, code: STATUS_ERROR }),
            flags: SAMPLED,
        }
    }
}
