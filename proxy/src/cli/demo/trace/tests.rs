//! Trees from spans as a collector receives them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::*;

fn span(id: u8, parent: u8, name: &str, kind: SpanKind, microseconds: (u64, u64)) -> Span {
    Span {
        trace_id: vec![0x4b; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: microseconds.0 * 1000,
        end_time_unix_nano: microseconds.1 * 1000,
        ..Span::default()
    }
}

fn with(mut span: Span, key: &str, value: Value) -> Span {
    let value = Some(AnyValue { value: Some(value) });
    span.attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    span
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn whole() -> Vec<Span> {
    let attempt = span(3, 1, "GET", SpanKind::Client, (200, 3100));
    let attempt = with(attempt, "server.address", text("127.0.0.1"));
    let attempt = with(attempt, "server.port", Value::IntValue(41233));
    let attempt = with(attempt, "http.response.status_code", Value::IntValue(200));
    let plugin = span(2, 1, "classify", SpanKind::Internal, (100, 120));
    let plugin = with(plugin, "tidegate.plugin", text("classify"));
    let plugin = with(plugin, "kind", text("api"));
    let server = span(1, 0, "GET /users/{id}", SpanKind::Server, (0, 3200));
    // Not in order, as it may come.
    vec![attempt, with(server, "http.response.status_code", Value::IntValue(200)), plugin]
}

#[test]
fn draws_plugins_and_attempts_under_the_server() {
    let trace = Trace::latest(&whole()).unwrap();
    assert_eq!(
        trace.lines(),
        [
            "trace 4b4b…4b4b   GET /users/{id}  3.2 ms  200",
            "  ├─ classify: classify                   0.0 ms  kind=api",
            "  └─ GET  (attempt 1, 127.0.0.1:41233)    2.9 ms  200",
        ]
    );
}

#[test]
fn draws_spans_below_a_plugins_span() {
    let mut spans = whole();
    spans.push(with(span(4, 2, "look up", SpanKind::Internal, (105, 110)), "tidegate.plugin", text("classify")));
    let lines = Trace::latest(&spans).unwrap().lines();
    assert!(lines[2].starts_with("  │  └─ classify: look up"), "{lines:#?}");
}

#[test]
fn counts_only_spans_that_hang_on_their_server_span() {
    let mut spans = whole();
    assert_eq!(Kinds::of(&spans), Kinds { server: 1, plugin: 1, client: 1 });
    for span in &mut spans {
        if span.kind() == SpanKind::Internal {
            span.parent_span_id = vec![9; 8];
        }
    }
    assert_eq!(Kinds::of(&spans), Kinds { server: 1, plugin: 0, client: 1 });
    assert!(Trace::latest(&spans).is_none());
}
