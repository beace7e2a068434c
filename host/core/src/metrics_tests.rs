use super::*;

fn series(metrics: &Metrics) -> Vec<(String, Labels, Reading)> {
    let all = metrics.snapshot().series.into_iter();
    all.map(|one| (one.name, one.labels, one.reading)).collect()
}

fn label(name: &str, value: &str) -> Labels {
    Labels::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn counters_add_gauges_replace_and_histograms_sort() {
    let metrics = Metrics::default();
    let own = metrics.of("p");
    for value in [1.0, 2.5] {
        own.record("counter", "asked_total", r#"{"code": 200}"#, value);
        own.record("gauge", "open", "null", value);
        own.record("histogram", "took:seconds", "{}", value);
    }
    own.record("histogram", "took:seconds", "{}", 2e6);
    own.record("counter", "asked_total", r#"{"code": "404"}"#, 0.0);
    let found = series(&metrics);
    let counter = |value| Reading::Counter { value };
    assert_eq!(found[0], ("asked_total".to_owned(), label("code", "200"), counter(3.5)));
    assert_eq!(found[1], ("asked_total".to_owned(), label("code", "404"), counter(0.0)));
    assert_eq!(found[2], ("open".to_owned(), Labels::new(), Reading::Gauge { value: 2.5 }));
    let Reading::Histogram { count, sum, buckets } = &found[3].2 else { panic!("{found:?}") };
    assert_eq!((*count, *sum), (3, 2_000_003.5));
    let at = |bound: f64| buckets.iter().find(|(le, _)| *le == bound).map(|(_, count)| *count);
    assert_eq!([at(0.5), at(1.0), at(2.5), at(1e6)], [Some(0), Some(1), Some(2), Some(2)]);
    assert!(metrics.snapshot().dropped.is_empty());
}

#[test]
fn what_breaks_a_rule_is_counted_and_leaves_no_series() {
    let metrics = Metrics::default();
    let own = metrics.of("p");
    own.record("counter", "good", "{}", 1.0);
    let many: Map<String, Value> = (0..17).map(|n| (format!("l{n}"), n.into())).collect();
    let many = Value::Object(many).to_string();
    let long = format!("{{\"l\": \"{}\"}}", "x".repeat(MAX_VALUE + 1));
    let wrong = [
        ("sum", "a", "{}", 1.0),
        ("counter", "", "{}", 1.0),
        ("counter", "1a", "{}", 1.0),
        ("counter", "a b", "{}", 1.0),
        ("counter", "é", "{}", 1.0),
        ("counter", "a", "[]", 1.0),
        ("counter", "a", "{", 1.0),
        ("counter", "a", r#"{"a-b": "x"}"#, 1.0),
        ("counter", "a", r#"{"a:b": "x"}"#, 1.0),
        ("counter", "a", r#"{"__name__": "x"}"#, 1.0),
        ("counter", "a", r#"{"plugin": "other"}"#, 1.0),
        ("histogram", "a", r#"{"le": "1"}"#, 1.0),
        ("counter", "a", r#"{"l": {}}"#, 1.0),
        ("counter", "a", &many, 1.0),
        ("counter", "a", &long, 1.0),
        ("counter", "a", "{}", -1.0),
        ("gauge", "a", "{}", f64::NAN),
        ("gauge", "a", "{}", f64::INFINITY),
        ("gauge", "good", "{}", 1.0),
    ];
    for (kind, name, labels, value) in wrong {
        own.record(kind, name, labels, value);
    }
    own.record("counter", &"n".repeat(MAX_NAME + 1), "{}", 1.0);
    assert_eq!(series(&metrics).len(), 1);
    let dropped = Dropped { full: 0, invalid: wrong.len() as u64 + 1 };
    assert_eq!(metrics.snapshot().dropped, BTreeMap::from([("p".to_owned(), dropped)]));
}

#[test]
fn one_plugin_and_all_together_have_only_so_many_series() {
    let metrics = Metrics::new(MetricLimits { per_plugin: 2, in_all: 3 });
    let (first, second) = (metrics.of("first"), metrics.of("second"));
    for n in 0..4 {
        first.record("counter", "c", &format!("{{\"n\": {n}}}"), 1.0);
        second.record("counter", "c", &format!("{{\"n\": {n}}}"), 1.0);
    }
    // What is there goes on, and a plugin that is loaded again has what it had.
    metrics.of("first").record("counter", "c", r#"{"n": 0}"#, 1.0);
    let snapshot = metrics.snapshot();
    let found: Vec<_> =
        snapshot.series.iter().map(|one| (&*one.plugin, &one.labels["n"])).collect();
    assert_eq!(
        found,
        [("first", &"0".to_owned()), ("first", &"1".to_owned()), ("second", &"0".to_owned())]
    );
    assert_eq!(snapshot.series[0].reading, Reading::Counter { value: 2.0 });
    assert_eq!(snapshot.dropped["first"], Dropped { full: 2, invalid: 0 });
    assert_eq!(snapshot.dropped["second"], Dropped { full: 3, invalid: 0 });
}
