//! The exporter against collectors that work, refuse, hang and are not there: every span is counted exactly once.

mod collector;

use std::rc::Rc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use self::collector::{Answer, Collector};
use crate::telemetry::config::{self, Otlp, OtlpProtocol};
use crate::telemetry::metrics::Registry;
use crate::telemetry::scope::WorkerScope;
use crate::telemetry::tests::{begin, config, request, serve, total};
use crate::telemetry::{SHUTDOWN, Telemetry};

fn towards(endpoint: &str, protocol: OtlpProtocol) -> config::Telemetry {
    let mut config = config(None);
    config.otlp = Some(Otlp {
        endpoint: endpoint.parse().unwrap(),
        protocol,
        headers: vec![("authorization".parse().unwrap(), "Bearer abc".parse().unwrap())],
        timeout: Duration::from_secs(10),
    });
    config.metrics.otlp = true;
    config
}

/// Exchanges of two spans each.
fn exchanges(worker: &Rc<WorkerScope>, count: usize) {
    for _ in 0..count {
        let mut record = begin(worker, request("/users/42?token=secret", &[]));
        serve(worker, &mut record, 200);
    }
}

fn spans(registry: &Registry, label: &str) -> f64 {
    total(registry, "tidegate.telemetry.spans", &[label])
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn every_span_and_the_last_metrics_arrive_over_both_protocols() {
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        let collector = Collector::start(Answer::Ok);
        let registry = Registry::new();
        let telemetry = Telemetry::start(&towards(&collector.endpoint(), protocol), registry.clone()).unwrap();
        let worker = Rc::new(telemetry.worker());
        exchanges(&worker, 700);
        drop(worker);
        telemetry.shutdown();

        let received = collector.received();
        let batches = received.iter().filter(|request| request.is_for("traces"));
        let batches: Vec<_> = batches.map(|r| ExportTraceServiceRequest::decode(&*r.message).unwrap()).collect();
        let resources: Vec<_> = batches.iter().flat_map(|batch| &batch.resource_spans).collect();
        let all: Vec<_> = resources.iter().flat_map(|r| &r.scope_spans).flat_map(|scope| &scope.spans).collect();
        assert_eq!(all.len(), 1400, "{protocol:?}");
        assert!(batches.len() >= 2);
        let ids: std::collections::HashSet<_> = all.iter().map(|span| &span.span_id).collect();
        assert_eq!(ids.len(), 1400);
        let resource = format!("{:?}", resources[0].resource);
        assert!(["service.name", "edge", "service.namespace", "prod"].iter().all(|word| resource.contains(word)));
        let span = format!("{:?}", all[0]);
        assert!(span.contains("token=REDACTED") && !span.contains("secret"), "{span}");
        assert_eq!((spans(&registry, "exported"), spans(&registry, "dropped")), (1400.0, 0.0));

        let pushes: Vec<_> = received.iter().filter(|request| request.is_for("metrics")).collect();
        assert_eq!(pushes.len(), 1);
        let push = format!("{:?}", ExportMetricsServiceRequest::decode(&*pushes[0].message).unwrap());
        assert!(push.contains("http.server.request.duration") && push.contains("tidegate.telemetry.spans"));
        assert!(received.iter().all(|request| request.authorization == "Bearer abc"));
    }
}

#[test]
fn a_collector_that_refuses_costs_its_spans_and_they_are_counted() {
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        let collector = Collector::start(Answer::Refuse);
        let registry = Registry::new();
        let telemetry = Telemetry::start(&towards(&collector.endpoint(), protocol), registry.clone()).unwrap();
        let worker = Rc::new(telemetry.worker());
        exchanges(&worker, 10);
        worker.flush();
        until("rejected", || spans(&registry, "rejected") == 20.0);
        drop(worker);
        telemetry.shutdown();
        assert_eq!((spans(&registry, "exported"), spans(&registry, "dropped")), (0.0, 20.0), "{protocol:?}");
        assert_eq!(total(&registry, "tidegate.telemetry.metric_exports", &["rejected"]), 1.0);
    }
}

#[test]
fn a_collector_that_is_not_there_costs_its_spans_and_they_are_counted() {
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        // Bound and closed again: nobody listens.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let registry = Registry::new();
        let telemetry = Telemetry::start(&towards(&format!("http://{address}"), protocol), registry.clone()).unwrap();
        let worker = Rc::new(telemetry.worker());
        exchanges(&worker, 10);
        worker.flush();
        until("unreachable", || spans(&registry, "unreachable") == 20.0);
        drop(worker);
        telemetry.shutdown();
        assert_eq!((spans(&registry, "exported"), spans(&registry, "dropped")), (0.0, 20.0), "{protocol:?}");
    }
}

#[test]
fn a_collector_that_hangs_holds_up_neither_workers_nor_the_end() {
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        let collector = Collector::start(Answer::Never);
        let registry = Registry::new();
        let telemetry = Telemetry::start(&towards(&collector.endpoint(), protocol), registry.clone()).unwrap();
        let worker = Rc::new(telemetry.worker());
        // 8,000 spans, and room for 2,048.
        exchanges(&worker, 4000);
        assert_eq!(spans(&registry, "queue_full"), 8000.0 - 2048.0);
        drop(worker);
        let began = Instant::now();
        telemetry.shutdown();
        assert!(began.elapsed() < SHUTDOWN * 3, "{:?}", began.elapsed());
        assert_eq!((spans(&registry, "exported"), spans(&registry, "dropped")), (0.0, 8000.0), "{protocol:?}");
        assert_eq!(spans(&registry, "shutdown"), 2048.0);
    }
}

#[test]
fn a_reload_goes_over_to_the_new_collector_and_loses_nothing() {
    let (old, new) = (Collector::start(Answer::Ok), Collector::start(Answer::Ok));
    let registry = Registry::new();
    let first = towards(&old.endpoint(), OtlpProtocol::HttpProtobuf);
    let mut telemetry = Telemetry::start(&first, registry.clone()).unwrap();
    let worker = Rc::new(telemetry.worker());
    let mut under_way = begin(&worker, request("/", &[]));
    exchanges(&worker, 5);
    // Nothing that the exporter depends on has changed.
    let mut ratio = first;
    ratio.traces.ratio = 0.5;
    telemetry.reconfigure(&ratio).unwrap();
    telemetry.reconfigure(&towards(&new.endpoint(), OtlpProtocol::HttpProtobuf)).unwrap();
    exchanges(&worker, 7);
    serve(&worker, &mut under_way, 200);
    drop(under_way);
    drop(worker);
    telemetry.shutdown();
    assert_eq!((old.spans(), new.spans()), (12, 14));
    assert_eq!((spans(&registry, "exported"), spans(&registry, "dropped")), (26.0, 0.0));
}
