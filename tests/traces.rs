//! Spans of sessions and requests at a collector of the test, which reads them by the messages that OpenTelemetry publishes.

use std::{collections::HashMap, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::{
    reload::Changing,
    support::{
        host::{TestHost, exchange, load},
        peers::echo::{Refusing, TcpPeer},
        process::{DEADLINE, tempdir},
    },
};

const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A server of HTTP/1.1 that tells what it is asked, and answers each request with the next of these statuses; after the
/// last one with 200, and none is no answer.
struct HttpPeer {
    peer: TcpPeer,
    asked: mpsc::Receiver<(String, Vec<u8>)>,
}

impl HttpPeer {
    async fn start(statuses: &'static [Option<u16>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, asked) = mpsc::channel(64);
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let peer = TcpPeer::serve_on(listener, move |mut stream, _| {
            let (tell, count) = (tell.clone(), std::sync::Arc::clone(&count));
            async move {
                while let Some((head, body)) = request(&mut stream).await {
                    let index = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let status = statuses.get(index).copied().unwrap_or(Some(200));
                    let _ = tell.send((head, body)).await;
                    let Some(status) = status else { return std::future::pending().await };
                    let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        HttpPeer { peer, asked }
    }

    fn uri(&self) -> String {
        format!("http://{}", self.peer.address())
    }

    async fn next(&mut self) -> (String, Vec<u8>) {
        timeout(DEADLINE, self.asked.recv()).await.expect("a request").expect("a request")
    }

    /// The spans of the next request, and of those that have come since, each with its resource.
    async fn batches(&mut self) -> Vec<ResourceSpans> {
        let mut all = vec![batch(&self.next().await)];
        while let Ok(asked) = self.asked.try_recv() {
            all.push(batch(&asked));
        }
        all
    }

    async fn spans(&mut self) -> Vec<Span> {
        let scopes = self.batches().await.into_iter().flat_map(|batch| batch.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn batch((head, body): &(String, Vec<u8>)) -> ResourceSpans {
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let mut sent = ExportTraceServiceRequest::decode(&**body).unwrap();
    assert_eq!(sent.resource_spans.len(), 1);
    sent.resource_spans.remove(0)
}

/// A head in lower case and the content after it.
async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &Option<Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("an attribute of another kind: {other:?}"),
    };
    span.attributes
        .iter()
        .map(|attribute| (&*attribute.key, text(&attribute.value.as_ref().unwrap().value)))
        .collect()
}

/// The only span of that name.
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut all = spans.iter().filter(|span| span.name == name);
    let found = all.next().unwrap_or_else(|| panic!("no span {name}: {spans:?}"));
    assert!(all.next().is_none(), "several spans {name}: {spans:?}");
    found
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A host with traces to a collector, and a route for each pair of what it listens on and where that leads.
fn config(collector: &str, more: &str, routes: &[(&str, String)]) -> String {
    let routes = routes.iter().map(|(scheme, to)| {
        format!("[[routes]]\nlisten = \"{scheme}://127.0.0.1:0\"\nto = \"{to}\"\n")
    });
    format!("[traces]\nendpoint = \"{collector}\"\n{more}\n{}", routes.collect::<String>())
}

/// A route to a handler, which is no target: there is one span for each session.
fn echo() -> [(&'static str, String); 1] {
    [("tcp", "handlers.echo".to_owned())]
}

/// Asks for `/a?b=c` with these fields, and reads the answer to its end.
async fn ask(host: &TestHost, fields: &str) -> String {
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    let asked =
        format!("GET /a?b=c HTTP/1.1\r\nHost: x.test:81\r\nConnection: close\r\n{fields}\r\n");
    client.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_span() {
    let (mut collector, peer) = (HttpPeer::start(&[]).await, TcpPeer::echo().await);
    let more = "service_name = \"edge\"";
    let host =
        TestHost::start(&config(&collector.uri(), more, &[("tcp", peer.uri().to_string())])).await;
    let listener = host.manager().listeners()[0].listen.clone();
    exchange(host.address(0), b"hello").await.unwrap();
    // What is left is sent at the end.
    assert_eq!(host.shutdown().await, 0);
    let batches = collector.batches().await;
    let resource = &batches[0].resource.as_ref().unwrap().attributes;
    assert!(resource.iter().any(|it| it.key == "service.name"
        && it.value.as_ref().unwrap().value == Some(Value::StringValue("edge".to_owned()))));
    let spans: Vec<_> = batches.iter().flat_map(|it| it.scope_spans[0].spans.clone()).collect();
    let span = named(&spans, "session");
    let known = attributes(span);
    for (key, value) in [
        ("jackfield.listener", &*listener),
        ("jackfield.bytes_in", "5"),
        ("jackfield.bytes_out", "5"),
        ("network.peer.address", "127.0.0.1"),
    ] {
        assert_eq!(known.get(key).map(String::as_str), Some(value), "{key} in {known:?}");
    }
    assert!(known["jackfield.target"].contains(&peer.address().to_string()), "{known:?}");
    assert!(!failed(span) && span.parent_span_id.is_empty());
    assert!(span.trace_id.len() == 16 && span.span_id.len() == 8);
    assert!(0 < span.start_time_unix_nano && span.start_time_unix_nano <= span.end_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_of_the_clients_trace_and_the_target_hears_of_it() {
    let (mut collector, mut target) = (HttpPeer::start(&[]).await, HttpPeer::start(&[]).await);
    let host = TestHost::start(&config(&collector.uri(), "", &[("http", target.uri())])).await;
    let answer = ask(&host, &format!("traceparent: {CLIENT}\r\ntracestate: v=1\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (told, _) = target.next().await;
    host.shutdown().await;
    let spans = collector.spans().await;
    let span = named(&spans, "GET");
    assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331");
    let onward = format!("traceparent: 00-{}-{}-01\r\n", hex(&span.trace_id), hex(&span.span_id));
    assert!(told.contains(&onward) && told.contains("tracestate: v=1\r\n"), "{told}");
    assert_eq!(told.matches("traceparent").count(), 1, "{told}");
    let known = attributes(span);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("url.path", "/a"),
        ("server.address", "x.test"),
        ("server.port", "81"),
        ("network.peer.address", "127.0.0.1"),
    ] {
        assert_eq!(known.get(key).map(String::as_str), Some(value), "{key} in {known:?}");
    }
    // Values of queries may be secret.
    assert!(!known["url.query"].contains('c'), "{known:?}");
    assert!(!failed(span));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_no_trace_begins_one_and_none_where_it_is_not_kept() {
    let mut target = HttpPeer::start(&[]).await;
    for (more, fields, flags) in [
        ("", "", "-01\r\n"),
        ("", "traceparent: 00-nothing\r\ntracestate: v=1\r\n", "-01\r\n"),
        ("sample = 0.0", "", "-00\r\n"),
    ] {
        let mut collector = HttpPeer::start(&[]).await;
        let host =
            TestHost::start(&config(&collector.uri(), more, &[("http", target.uri())])).await;
        ask(&host, fields).await;
        let (told, _) = target.next().await;
        let line = told.lines().find(|line| line.starts_with("traceparent: 00-"));
        assert!(line.is_some_and(|line| format!("{line}\r\n").ends_with(flags)), "{told}");
        assert!(!told.contains("tracestate"), "{told}");
        host.shutdown().await;
        if more.is_empty() {
            assert!(named(&collector.spans().await, "GET").parent_span_id.is_empty());
        } else {
            assert!(collector.asked.try_recv().is_err(), "a span of a trace that is not kept");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_traces_or_without_propagation_the_field_passes_as_it_is() {
    let (collector, mut target) = (HttpPeer::start(&[]).await, HttpPeer::start(&[]).await);
    let route = [("http", target.uri())];
    let plain = config("", "", &route);
    for toml in [plain, config(&collector.uri(), "propagate = false", &route)] {
        let host = TestHost::start(&toml).await;
        ask(&host, &format!("traceparent: {CLIENT}\r\n")).await;
        let (told, _) = target.next().await;
        assert!(told.contains(&format!("traceparent: {CLIENT}\r\n")), "{told}");
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_not_reached_is_an_error() {
    let (mut collector, nobody) = (HttpPeer::start(&[]).await, Refusing::new());
    let to = nobody.address();
    let routes = [("http", format!("http://{to}")), ("tcp", format!("tcp://{to}"))];
    let host = TestHost::start(&config(&collector.uri(), "", &routes)).await;
    let answer = ask(&host, "").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let _ = exchange(host.address(1), b"x").await;
    host.shutdown().await;
    let spans = collector.spans().await;
    let listens =
        |span: &&Span, scheme: &str| attributes(span)["jackfield.listener"].starts_with(scheme);
    let request = named(&spans, "GET");
    let session = spans.iter().find(|span| span.name == "session" && listens(span, "tcp")).unwrap();
    assert_eq!(attributes(request)["http.response.status_code"], "502");
    for span in [request, session] {
        assert!(failed(span), "{span:?}");
        assert_eq!(attributes(span)["error.type"], "unreachable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_at_a_target_is_a_span_of_its_session_or_request() {
    let (mut collector, nobody) = (HttpPeer::start(&[]).await, Refusing::new());
    let (web, raw) = (HttpPeer::start(&[]).await, TcpPeer::echo().await);
    let upstream = |name: &str, scheme: &str, good: String| {
        let (bad, good) = (format!("{scheme}://{}", nobody.address()), good);
        format!(
            "[upstreams.{name}]\ntargets = [{{ uri = \"{bad}\" }}, {{ uri = \"{good}\", priority = 1 }}]\n"
        )
    };
    let more = upstream("web", "http", web.uri()) + &upstream("raw", "tcp", raw.uri().to_string());
    let routes = [
        ("http", "upstreams.web".to_owned()),
        ("tcp", "upstreams.raw".to_owned()),
        ("tcp", raw.uri().to_string()),
    ];
    let host = TestHost::start(&config(&collector.uri(), &more, &routes)).await;
    let answer = ask(&host, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    exchange(host.address(1), b"x").await.unwrap();
    exchange(host.address(2), b"x").await.unwrap();
    host.shutdown().await;
    let spans = collector.spans().await;
    let asked = |to: &str| {
        let is_it = |span: &&Span| {
            span.name != "connect"
                && attributes(span).get("jackfield.route").is_some_and(|it| it == to)
                && (span.name == "GET" || !to.contains("web"))
        };
        spans.iter().find(is_it).unwrap_or_else(|| panic!("no span to {to}: {spans:?}"))
    };
    let attempts = |of: &Span| {
        let mut all: Vec<_> = spans
            .iter()
            .filter(|span| span.name == "connect" && span.parent_span_id == of.span_id)
            .collect();
        all.sort_by_key(|span| attributes(span)["jackfield.attempt"].clone());
        assert!(all.iter().all(|it| it.trace_id == of.trace_id && it.kind() == SpanKind::Client));
        all
    };
    for (name, good) in [("web", web.peer.address()), ("raw", raw.address())] {
        let tried = attempts(asked(&format!("upstreams.{name}")));
        let [bad, well] = tried[..] else { panic!("{name}: {tried:?}") };
        let said = attributes(bad);
        assert!(failed(bad) && said["error.type"] == "unreachable", "{said:?}");
        assert!(said["jackfield.target"].contains(&nobody.address().to_string()), "{said:?}");
        assert_eq!((&*said["jackfield.upstream"], &*said["jackfield.attempt"]), (name, "1"));
        let said = attributes(well);
        assert!(!failed(well) && !said.contains_key("error.type"), "{said:?}");
        assert_eq!(said["server.address"], "127.0.0.1");
        assert_eq!(said["server.port"], good.port().to_string());
        assert_eq!(said["jackfield.attempt"], "2");
    }
    let tried = attempts(asked(&raw.uri().to_string()));
    let [only] = tried[..] else { panic!("{tried:?}") };
    assert!(!failed(only) && !attributes(only).contains_key("jackfield.upstream"), "{only:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_nothing_up_and_what_has_no_room_is_counted() {
    let mut collector = HttpPeer::start(&[None]).await;
    let more = "queue = 1\n[host]\nshutdown_timeout = \"0s\"\n[handlers.echo]";
    let host = TestHost::start(&config(&collector.uri(), more, &echo())).await;
    exchange(host.address(0), b"one").await.unwrap();
    assert_eq!(collector.spans().await.len(), 1);
    // From here on the sender waits for an answer: one span has room.
    for _ in 0..4 {
        assert_eq!(exchange(host.address(0), b"more").await.unwrap(), b"more");
    }
    let manager = host.manager().clone();
    crate::reload::soon("three lost spans", async || manager.traces_dropped() == 3).await;
    // Much less than the collector has for its answer.
    timeout(Duration::from_secs(8), host.shutdown()).await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_the_spans_only() {
    let nobody = Refusing::new();
    let collector = format!("http://{}", nobody.address());
    let host = TestHost::start(&config(&collector, "[handlers.echo]", &echo())).await;
    for _ in 0..3 {
        assert_eq!(exchange(host.address(0), b"x").await.unwrap(), b"x");
    }
    let manager = host.manager().clone();
    host.shutdown().await;
    assert_eq!(manager.traces_dropped(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_sent_again_where_the_collector_may_take_it_later_and_lost_where_it_refuses() {
    let mut collector = HttpPeer::start(&[Some(503), Some(200), Some(400)]).await;
    let folder = tempdir();
    std::fs::write(folder.path().join("token"), "Bearer t1\n").unwrap();
    let file = folder.path().join("token");
    let more = format!("headers = {{ Authorization = {{ file = {file:?} }} }}\n[handlers.echo]");
    let host = TestHost::start(&config(&collector.uri(), &more, &echo())).await;
    exchange(host.address(0), b"x").await.unwrap();
    let (head, body) = collector.next().await;
    assert!(head.contains("authorization: bearer t1\r\n"), "{head}");
    // Read again, since that one was not taken.
    std::fs::write(&file, "Bearer t2\n").unwrap();
    let (head, again) = collector.next().await;
    assert!(head.contains("authorization: bearer t2\r\n"), "{head}");
    assert_eq!(body, again);
    let manager = host.manager().clone();
    assert_eq!(manager.traces_dropped(), 0);
    exchange(host.address(0), b"x").await.unwrap();
    host.shutdown().await;
    assert_eq!(collector.spans().await.len(), 1);
    assert_eq!(manager.traces_dropped(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_and_ends_traces() {
    let (mut collector, peer) = (HttpPeer::start(&[]).await, TcpPeer::echo().await);
    let routes = [("tcp", peer.uri().to_string())];
    let off = config("", "", &routes);
    let changing = Changing::start(&off).await;
    let address = changing.manager.listeners()[0].local.as_ref().unwrap().socket().unwrap();
    exchange(address, b"before").await.unwrap();
    changing.reload(&config(&collector.uri(), "", &routes)).await;
    exchange(address, b"traced").await.unwrap();
    changing.reload(&off).await;
    exchange(address, b"after").await.unwrap();
    changing.manager.shutdown().await;
    let spans = collector.spans().await;
    assert_eq!(attributes(named(&spans, "session"))["jackfield.bytes_in"], "6");
    assert!(collector.asked.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_the_configuration_has_its_own_options() {
    let (mut collector, peer) = (HttpPeer::start(&[]).await, TcpPeer::echo().await);
    let toml = config("connections.collector", "", &[("tcp", peer.uri().to_string())]);
    let toml = format!("{toml}[connections.collector]\nuri = \"{}\"\n", collector.uri());
    let host = TestHost::start(&toml).await;
    exchange(host.address(0), b"x").await.unwrap();
    host.shutdown().await;
    named(&collector.spans().await, "session");
}

#[tokio::test]
async fn what_cannot_take_spans_is_a_mistake_with_its_place() {
    for (endpoint, said) in [
        ("htp://127.0.0.1:4318", "did you mean"),
        ("connections.nobody", "there is no [connections.nobody]"),
        ("handlers.h", "expected the URI of a collector"),
        ("127.0.0.1:4318", "expected the URI of a collector"),
    ] {
        let folder = tempdir();
        let file = folder.path().join("jackfield.toml");
        std::fs::write(&file, config(endpoint, "", &[])).unwrap();
        let loaded = jackfield::config::load(&[file], &jackfield::config::Overrides::new());
        let text = match loaded {
            Ok(loaded) => {
                let started = jackfield::manager::Manager::start(&loaded).await;
                started.expect_err("a mistake").to_string()
            }
            Err(errors) => errors.to_string(),
        };
        assert!(text.contains(said) && text.contains("toml:2:12"), "{endpoint}: {text}");
    }
    load(tempdir().path(), &config("", "sample = 0.25", &[]));
}
