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
    record.attempt("10.0.0.5:3000".into(), &mut headers);
    record.attempt("10.0.0.5:3000".into(), &mut headers);
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
