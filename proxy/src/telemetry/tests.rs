//! What leaves the process for one exchange: counts, a line, spans; and what the other tests of this room make records with.

use std::rc::Rc;
use std::time::Instant;

use http::{HeaderMap, StatusCode, Version};

use super::config::{AccessLog, LogFormat, LogOutput, Metrics, Service, Traces};
use super::record::{Arrival, Record, RequestHead, ResponseHead};
use super::scope::{ListenerScope, RouteScope};
use super::*;
use crate::error::Reason;

/// A directory for one test, removed at its end.
pub(super) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn config(log: Option<LogOutput>) -> config::Telemetry {
    config::Telemetry {
        service: Service { name: "edge".into(), namespace: Some("prod".into()), attributes: Vec::new() },
        otlp: None,
        traces: Traces {
            ratio: 1.0,
            parent_based: true,
            always_errors: true,
            always_slower_than: None,
            queue: 2048,
            interval: Duration::from_millis(20),
        },
        metrics: Metrics { otlp: false, interval: Duration::from_secs(60), scrape: Vec::new() },
        access_log: log.map(|output| AccessLog {
            format: LogFormat::Json,
            output,
            include: Vec::new(),
            fields: Vec::new(),
            redact_query: vec!["token".into(), "key".into()],
        }),
    }
}

pub(super) fn request(path: &str, headers: &[(&str, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    RequestHead {
        uri: path.parse().unwrap(),
        version: Version::HTTP_11,
        host: "api.example.com".into(),
        headers: map,
        ..RequestHead::default()
    }
}

pub(super) fn begin(worker: &Rc<WorkerScope>, request: RequestHead) -> Box<Record> {
    let listener = ListenerScope::new(worker, &"web".into());
    Record::begin(listener, Arrival { peer: "10.0.0.1:4711".parse().unwrap(), request })
}

/// Goes through `GET /users/{id}` with one attempt and this status.
pub(super) fn serve(worker: &Rc<WorkerScope>, record: &mut Record, status: u16) {
    record.enter(RouteScope::new(worker, &"users".into(), "/users/{id}", "app"));
    let mut headers = HeaderMap::new();
    let attempt = record.attempt("10.0.0.5:3000".into(), false, &mut headers);
    attempt.head = Some(Instant::now());
    attempt.ended = attempt.head;
    attempt.status = StatusCode::from_u16(status).ok();
    record.response = Some(ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        headers: HeaderMap::new(),
    });
}

pub(super) fn total(registry: &Registry, name: &str, labels: &[&str]) -> f64 {
    let snapshot = registry.gather();
    let families = snapshot.families.iter().filter(|measured| measured.family.definition().name == name);
    let points = families.flat_map(|measured| &measured.points);
    let matching =
        points.filter(|point| labels.iter().all(|label| point.labels.iter().any(|value| &**value == *label)));
    matching.map(|point| point.value.as_f64()).sum()
}

#[test]
fn an_exchange_is_counted_and_logged_exactly_once() {
    let scratch = Scratch::new("once");
    let path = scratch.file("access.log");
    let registry = Registry::new();
    let telemetry = Telemetry::start(&config(Some(LogOutput::File(path.clone()))), registry.clone()).unwrap();
    let worker = Rc::new(telemetry.worker());
    for _ in 0..100 {
        let mut record = begin(&worker, request("/users/42", &[]));
        assert_eq!(total(&registry, "http.server.active_requests", &[]), 1.0);
        serve(&worker, &mut record, 200);
    }
    // One that was left at once, without a route and a status.
    let mut record = begin(&worker, request("/", &[]));
    record.fail(Reason::ClientClosed);
    drop(record);
    drop(worker);
    telemetry.shutdown();

    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 101);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(total(&registry, "http.server.request.duration", &[]), 101.0);
    assert_eq!(total(&registry, "http.client.request.duration", &[]), 100.0);
    assert_eq!(total(&registry, "tidegate.errors", &["client_closed"]), 1.0);
    assert_eq!(total(&registry, "http.server.active_requests", &[]), 0.0);
    assert_eq!(total(&registry, "tidegate.telemetry.log_lines", &["exported"]), 101.0);
}

#[test]
fn a_session_is_counted_from_its_101_to_its_end() {
    let registry = Registry::new();
    let worker = Rc::new(WorkerScope::silent(&registry).unwrap());
    let mut record = begin(&worker, request("/ws", &[]));
    serve(&worker, &mut record, 101);
    record.switch();
    record.switch();
    (record.request_bytes, record.response_bytes) = (5, 7);
    assert_eq!(total(&registry, "tidegate.websocket.active", &[]), 1.0);
    drop(record);
    assert_eq!(total(&registry, "tidegate.websocket.active", &[]), 0.0);
    assert_eq!(total(&registry, "tidegate.websocket.sessions", &[]), 1.0);
    assert_eq!(total(&registry, "tidegate.websocket.io", &["receive"]), 5.0);
    assert_eq!(total(&registry, "tidegate.websocket.io", &["transmit"]), 7.0);
    assert_eq!(total(&registry, "http.server.request.duration", &["101"]), 1.0);
}

#[test]
fn a_moved_file_is_written_anew_after_reopen_and_another_after_a_reload() {
    let scratch = Scratch::new("reopen");
    let (path, moved, other) = (scratch.file("a.log"), scratch.file("a.log.1"), scratch.file("b.log"));
    let registry = Registry::new();
    let mut telemetry = Telemetry::start(&config(Some(LogOutput::File(path.clone()))), registry.clone()).unwrap();
    let worker = Rc::new(telemetry.worker());
    let line = |expected: f64| {
        drop(begin(&worker, request("/", &[])));
        worker.flush();
        while total(&registry, "tidegate.telemetry.log_lines", &["exported"]) < expected {
            std::thread::yield_now();
        }
    };
    line(1.0);
    std::fs::rename(&path, &moved).unwrap();
    line(2.0);
    telemetry.reopen();
    line(3.0);
    telemetry.reconfigure(&config(Some(LogOutput::File(other.clone())))).unwrap();
    line(4.0);
    let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&moved), lines(&path), lines(&other)), (2, 1, 1));
}

#[test]
fn a_wrong_path_is_an_error_and_changes_nothing() {
    let bad = config(Some(LogOutput::File("/no/such/directory/access.log".into())));
    assert!(matches!(Telemetry::start(&bad, Registry::new()), Err(Error::AccessLog { .. })));
}
