//! The keys of `[traces]`.

use super::plugin::SecretSource;
use super::reference::Reference;
use crate::secret::SecretRef;
use crate::units::Timespan;
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[traces]`: spans of ended sessions and requests, sent to a collector by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector: a URI such as `"http://127.0.0.1:4318"`, below whose path spans are posted to `/v1/traces`, or
    /// `"connections.NAME"` or `"upstreams.NAME"` of drivers that take requests, with their options. Takes a build with
    /// the feature `otlp`. Default: `""`, which sends nothing.
    pub endpoint: String,
    /// The part of traces that is kept, from 0 to 1, of those that begin here; of one that a client has begun the client
    /// says whether it is kept. Default: 1.0.
    pub sample: f64,
    /// Whether a request is part of the trace that its `traceparent` names, and the target is told of it by that field.
    /// Default: true.
    pub propagate: bool,
    /// Spans that may wait to be sent, 1 to 1000000; more are lost and counted. Default: 4096.
    pub queue: u32,
    /// How long the collector may take for one batch. Default: `"10s"`.
    pub timeout: Timespan,
    /// `[traces.headers]`: fields of each request to the collector, by their names, and where their secret values are.
    /// They are read again after a batch that was not taken. Default: none.
    pub headers: BTreeMap<String, SecretSource>,
    /// What the collector calls this host: `service.name`. Default: `"jackfield"`.
    pub service_name: String,
}

impl Default for TracesConfig {
    fn default() -> Self {
        TracesConfig {
            endpoint: String::new(),
            sample: 1.0,
            propagate: true,
            queue: 4096,
            timeout: Timespan::seconds(10),
            headers: BTreeMap::new(),
            service_name: "jackfield".to_owned(),
        }
    }
}

impl TracesConfig {
    /// Who takes the spans, if anybody.
    pub(crate) fn collector(&self) -> Option<Reference> {
        let is_one = |to: &Reference| match to {
            Reference::Uri(uri) => !uri.is_empty(),
            to => matches!(to, Reference::Connection(_) | Reference::Upstream(_)),
        };
        self.endpoint.parse().ok().filter(is_one)
    }

    /// Values out of range, and what this build cannot do.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let is_set = !self.endpoint.is_empty();
        let token = |name: &String| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !name.is_empty() && name.bytes().all(fits)
        };
        let mut ranges = Ranges::new()
            .expect(
                !is_set || cfg!(feature = "otlp"),
                "endpoint",
                "this build has no traces: expected \"\", or a program that is built with the feature otlp",
            )
            .expect(
                !is_set || !cfg!(feature = "otlp") || self.collector().is_some(),
                "endpoint",
                "expected the URI of a collector, such as \"SCHEME://127.0.0.1:4318\", \"connections.NAME\" or \"upstreams.NAME\"",
            )
            .expect((0.0..=1.0).contains(&self.sample), "sample", "expected a number from 0 to 1")
            .expect(
                (1..=1_000_000).contains(&self.queue),
                "queue",
                "expected a whole number from 1 to 1000000",
            )
            .expect(!self.timeout.is_zero(), "timeout", "expected a duration of at least 1ms")
            .expect(!self.service_name.is_empty(), "service_name", "expected a name");
        for name in self.headers.keys().filter(|name| !token(name)) {
            ranges =
                ranges.expect(false, &format!("headers.{name}"), "expected the name of a field");
        }
        let asks = |source: &SecretSource| matches!(source.0, SecretRef::Prompt(_));
        for (name, _) in self.headers.iter().filter(|(_, source)| asks(source)) {
            let expected =
                "expected an env, a file or a command: nobody is asked while the host runs";
            ranges = ranges.expect(false, &format!("headers.{name}"), expected);
        }
        ranges.problems()
    }
}

#[cfg(test)]
mod tests {
    use super::TracesConfig;
    use crate::units::Timespan;

    fn said(config: &TracesConfig) -> Vec<(String, String)> {
        let problems = config.problems().into_iter();
        problems.map(|problem| (problem.key, problem.expected)).collect()
    }

    #[test]
    fn an_endpoint_takes_a_build_that_can_send() {
        assert_eq!(said(&TracesConfig::default()), []);
        let config =
            TracesConfig { endpoint: "connections.collector".to_owned(), ..Default::default() };
        let said = said(&config);
        assert_eq!(said.is_empty(), cfg!(feature = "otlp"), "{said:?}");
        for (key, text) in said {
            assert_eq!(key, "endpoint");
            assert!(text.contains("built with the feature otlp"), "{text}");
        }
    }

    #[test]
    fn values_out_of_range_are_mistakes() {
        let headers = r#"{ "headers": { "a b": { "env": "A" }, "asked": { "prompt": "token" } } }"#;
        let headers: TracesConfig = serde_json::from_str(headers).unwrap();
        let config = TracesConfig {
            sample: 1.5,
            queue: 0,
            timeout: Timespan::seconds(0),
            service_name: String::new(),
            ..headers
        };
        let keys: Vec<_> = said(&config).into_iter().map(|(key, _)| key).collect();
        let expected =
            ["sample", "queue", "timeout", "service_name", "headers.a b", "headers.asked"];
        assert_eq!(keys, expected);
        let nothing = TracesConfig { sample: f64::NAN, ..TracesConfig::default() };
        assert_eq!(said(&nothing).len(), 1);
    }
}
