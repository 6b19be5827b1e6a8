//! What an exchange's parts can ask of its record, and what its upstream sees.

use std::rc::Rc;

use crate::telemetry::metrics::Registry;
use crate::telemetry::scope::WorkerScope;
use crate::telemetry::tests::{begin, request};

use super::*;

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn worker() -> Rc<WorkerScope> {
    Rc::new(WorkerScope::silent(&Registry::new()).unwrap())
}

#[test]
fn the_upstream_sees_the_trace_and_the_correlation_id() {
    let mut record = begin(&worker(), request("/", &[("traceparent", PARENT), ("x-correlation-id", "abc")]));
    let mut headers = std::mem::take(&mut record.request.headers);
    record.attempt("10.0.0.5:3000".into(), false, &mut headers);
    record.attempt("10.0.0.5:3000".into(), false, &mut headers);
    let [first, second] = record.attempts.as_slice() else { panic!("{:?}", record.attempts) };
    assert_ne!(first.span, second.span);
    let expected = format!("00-12345678901234567890123456789012-{:016x}-00", second.span.0);
    assert_eq!(headers["traceparent"], expected);
    assert_eq!(headers["x-correlation-id"], "abc");
}

#[test]
fn records_have_ids_of_their_own() {
    let worker = worker();
    let (one, two) = (begin(&worker, request("/", &[])), begin(&worker, request("/", &[])));
    assert_ne!(one.trace.trace_id, two.trace.trace_id);
    assert_ne!(one.trace.span, two.trace.span);
    assert_ne!(one.correlation.id, two.correlation.id);
}

#[test]
fn the_first_error_stands() {
    let mut record = begin(&worker(), request("/", &[]));
    record.fail(Reason::Timeout);
    record.fail(Reason::ClientClosed);
    assert_eq!(record.error, Some(Reason::Timeout));
}

#[test]
fn a_session_holds_nothing_of_the_buffers_that_its_heads_were_read_into() {
    let buffer = bytes::Bytes::from(b"/chat?x=1 secret hello".to_vec());
    let value = |range| http::HeaderValue::from_maybe_shared(buffer.slice(range)).unwrap();
    let mut record = begin(&worker(), request("/", &[]));
    record.request.uri = Uri::from_maybe_shared(buffer.slice(..9)).unwrap();
    let mut secret = value(10..16);
    secret.set_sensitive(true);
    record.request.headers.insert("authorization", secret);
    record.captured.user_agent = Some(value(17..22));
    let mut headers = HeaderMap::new();
    headers.append("x", value(17..22));
    headers.append("x", value(10..16));
    record.response =
        Some(ResponseHead { status: StatusCode::SWITCHING_PROTOCOLS, version: Version::HTTP_11, headers });
    assert!(!buffer.is_unique());
    record.switch();
    assert!(buffer.is_unique());
    assert_eq!(record.request.uri, "/chat?x=1");
    let secret = &record.request.headers["authorization"];
    assert!(secret == "secret" && secret.is_sensitive());
    assert_eq!(record.captured.user_agent.as_ref().unwrap(), "hello");
    let response = record.response.as_ref().unwrap();
    assert_eq!(response.headers.get_all("x").iter().collect::<Vec<_>>(), ["hello", "secret"]);
}
