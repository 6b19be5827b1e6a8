//! The spans that an operator finds for one exchange.

use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use tidegate_abi::SpanStatus;

use super::*;
use crate::error::Reason;
use crate::telemetry::access_log::Ending;
use crate::telemetry::metrics::Registry;
use crate::telemetry::record::{ChildSpan, Record, SpanDetail, Value};
use crate::telemetry::scope::WorkerScope;
use crate::telemetry::tests::{begin, request, serve};
use crate::telemetry::trace_context::SpanId;

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn grow(record: &mut Record) -> Vec<SpanData> {
    let ending = Ending { at: record.started_at, duration: Duration::from_millis(5), sampled: true };
    let mut spans = Vec::new();
    let trail = Trail::of(record, &ending);
    let promised = trail.spans();
    trail.grow(&InstrumentationScope::builder("tidegate").build(), &mut spans);
    assert_eq!(spans.len(), promised);
    spans
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string())
}

fn worker() -> std::rc::Rc<WorkerScope> {
    std::rc::Rc::new(WorkerScope::silent(&Registry::new()).unwrap())
}

#[test]
fn an_exchange_is_a_server_span_with_its_attempts_and_its_plugins_spans_below() {
    let worker = worker();
    let headers =
        [("traceparent", PARENT), ("tracestate", "foo=1"), ("x-request-id", "abc"), ("host", "api.example.com:8443")];
    let mut record = begin(&worker, request("/users/42?a=1", &headers));
    serve(&worker, &mut record, 200);
    serve(&worker, &mut record, 200);
    record.attempts[0].error = Some(Reason::UpstreamClosed);
    record.attempts[0].status = None;
    record.limits.push(("per-client".into(), true));
    record.span.attributes.push(("app.tenant".into(), Value::Text("acme".into())));
    let child = |id, parent, name: &str| ChildSpan {
        id: SpanId(id),
        parent,
        plugin: 0,
        plugin_name: "classify".into(),
        name: name.into(),
        started: Instant::now(),
        ended: None,
        detail: SpanDetail::default(),
    };
    record.spans.push(child(7, None, "classify"));
    record.spans.push(child(8, Some(0), "look up"));
    record.spans[1].detail.status = Some((SpanStatus::Error, "no".into()));
    record.spans[1].detail.events.push((Instant::now(), "asked".into()));
    let own = record.trace.span.0;
    let spans = grow(&mut record);
    let [server, first, second, classify, look_up] = spans.as_slice() else { panic!("{spans:?}") };

    assert_eq!(
        (server.name.as_ref(), &server.span_kind, &server.status),
        ("GET /users/{id}", &SpanKind::Server, &Status::Unset)
    );
    assert_eq!(u64::from_be_bytes(server.parent_span_id.to_bytes()), 0x1234_5678_9012_3456);
    assert!(server.parent_span_is_remote);
    assert_eq!(server.span_context.trace_state().header(), "foo=1");
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/users/42"),
        ("url.query", "a=1"),
        ("url.scheme", "http"),
        ("http.route", "/users/{id}"),
        ("http.response.status_code", "200"),
        ("server.address", "api.example.com"),
        ("client.address", "10.0.0.1"),
        ("network.peer.address", "10.0.0.1"),
        ("network.peer.port", "4711"),
        ("network.protocol.version", "1.1"),
        ("tidegate.route", "users"),
        ("tidegate.upstream", "app"),
        ("tidegate.correlation_id", "abc"),
        ("tidegate.limit.per-client", "allowed"),
        ("app.tenant", "acme"),
    ] {
        assert_eq!(attribute(server, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(attribute(server, "error.type"), None);

    for attempt in [first, second] {
        assert_eq!((attempt.name.as_ref(), &attempt.span_kind), ("GET", &SpanKind::Client));
        assert_eq!(u64::from_be_bytes(attempt.parent_span_id.to_bytes()), own);
        assert_eq!(attribute(attempt, "server.port").as_deref(), Some("3000"));
    }
    assert_eq!(attribute(first, "error.type").as_deref(), Some("upstream_closed"));
    assert!(matches!(first.status, Status::Error { .. }));
    assert_eq!(attribute(first, "http.request.resend_count"), None);
    assert_eq!(attribute(second, "http.request.resend_count").as_deref(), Some("1"));

    assert_eq!(u64::from_be_bytes(classify.parent_span_id.to_bytes()), own);
    assert_eq!(u64::from_be_bytes(look_up.parent_span_id.to_bytes()), 7);
    assert_eq!(attribute(look_up, "tidegate.plugin").as_deref(), Some("classify"));
    assert_eq!(look_up.status, Status::error("no"));
    assert_eq!(look_up.events[0].name, "asked");
    // Never ended by the plugin: ends with the exchange.
    assert_eq!(classify.end_time, server.end_time);
    let trace = server.span_context.trace_id();
    assert!(spans.iter().all(|span| span.span_context.trace_id() == trace && span.span_context.is_sampled()));
}

#[test]
fn requests_of_plugins_are_spans_that_say_what_became_of_them() {
    let worker = worker();
    let mut record = begin(&worker, request("/", &[("x-request-id", "abc")]));
    let own = record.trace.span.0;
    let ask = |record: &mut Record| {
        let mut request = http::Request::get("/check?key=secret").body(()).unwrap();
        let span = record.call_out(&"auth".into(), (&"users".into(), true), &mut request);
        let parent = request.headers()["traceparent"].to_str().unwrap().to_owned();
        assert!(parent.contains(&format!("{:016x}", span.0)), "{parent}");
        assert_eq!(request.headers()["x-request-id"], "abc");
        span
    };
    let (good, bad, _given_up) = (ask(&mut record), ask(&mut record), ask(&mut record));
    record.call_out_ended(good, Some("10.0.0.7:80".into()), Ok(http::StatusCode::OK));
    record.call_out_ended(bad, Some("[::1]:80".into()), Err(Reason::ConnectFailed));
    let spans = grow(&mut record);
    let [server, good, bad, given_up] = spans.as_slice() else { panic!("{spans:?}") };
    for span in [good, bad, given_up] {
        assert_eq!((span.name.as_ref(), &span.span_kind), ("GET", &SpanKind::Client));
        assert_eq!(u64::from_be_bytes(span.parent_span_id.to_bytes()), own);
        assert_eq!(attribute(span, "tidegate.plugin").as_deref(), Some("auth"));
        assert_eq!(attribute(span, "url.path").as_deref(), Some("/check"));
    }
    let errors = [good, bad, given_up].map(|span| attribute(span, "error.type"));
    assert_eq!(errors, [None, Some("connect_failed".to_owned()), Some("cancelled".to_owned())]);
    assert_eq!(attribute(good, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(attribute(bad, "server.address").as_deref(), Some("::1"));
    assert!(attribute(bad, "url.full").is_some_and(|url| url.starts_with("https://[::1]:80/check")));
    assert_eq!((&good.status, given_up.end_time), (&Status::Unset, server.end_time));
    assert!(matches!(bad.status, Status::Error { .. }));
}

#[test]
fn what_failed_says_so_in_the_words_of_the_log() {
    let worker = worker();
    for (status, error, failed, word) in [
        (Some(504), Some(Reason::UpstreamHeadTimeout), true, Some("upstream_head_timeout")),
        (Some(500), None, true, Some("500")),
        (Some(429), Some(Reason::RateLimited), false, Some("rate_limited")),
        (Some(404), None, false, None),
        (None, Some(Reason::ClientClosed), true, Some("client_closed")),
    ] {
        let mut record = begin(&worker, request("/", &[]));
        if let Some(status) = status {
            serve(&worker, &mut record, status);
        }
        record.error = error;
        let server = grow(&mut record).remove(0);
        assert_eq!(matches!(server.status, Status::Error { .. }), failed, "{status:?} {error:?}");
        assert_eq!(attribute(&server, "error.type").as_deref(), word);
    }
}

#[test]
fn a_method_and_a_path_that_a_client_makes_up_are_no_names() {
    let worker = worker();
    let mut head = request(&format!("/{}", "x".repeat(30_000)), &[]);
    head.method = http::Method::from_bytes(b"BREW").unwrap();
    let mut record = begin(&worker, head);
    let server = grow(&mut record).remove(0);
    assert_eq!(server.name, "HTTP");
    assert_eq!(attribute(&server, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(attribute(&server, "http.request.method_original").as_deref(), Some("BREW"));
    assert_eq!(attribute(&server, "url.path").unwrap().len(), 2048);
}
