//! The scrape: conventions, both formats, exemplars, other listeners; and that OTLP says the same.
//! What real Prometheus tools think of it is shown by `tests/scripts/promtool.sh`.

use tidegate_tests::{Connection, Metrics, collector, eventually, get, origin, proxy, raw};

#[tokio::test]
async fn names_units_and_labels_follow_the_convention() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http1(proxy.address()).await;
    client.get("/bytes/1000").await;
    client.send(tidegate_tests::request("POST", "/").body("hello".into()).unwrap()).await;
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 2.0);
    let labels = [
        ("http_request_method", "GET"),
        ("http_response_status_code", "200"),
        ("network_protocol_version", "1.1"),
        ("url_scheme", "http"),
        ("tidegate_listener", "web"),
    ];
    for name in [
        "http_server_request_duration_seconds_count",
        "http_server_request_body_size_bytes_count",
        "http_server_response_body_size_bytes_count",
    ] {
        assert_eq!(scrape.value(name, &labels), 1.0, "{name}");
    }
    assert_eq!(scrape.value("http_server_response_body_size_bytes_sum", &labels), 1000.0);
    assert_eq!(scrape.value("http_server_request_body_size_bytes_sum", &[("http_request_method", "POST")]), 5.0);
    let upstream = [("tidegate_upstream", "app"), ("http_response_status_code", "200")];
    assert_eq!(scrape.value("http_client_request_duration_seconds_count", &upstream), 2.0);
    assert_eq!(scrape.value("http_client_open_connections", &[("tidegate_upstream", "app")]), 1.0);
    let bucket =
        |le| scrape.value("http_server_request_duration_seconds_bucket", &[("le", le), ("http_request_method", "GET")]);
    assert_eq!(bucket("+Inf"), 1.0);
    assert!(scrape.matching("http_server_request_duration_seconds_bucket", &[("le", "0.005")]).next().is_some());
    // CPU time comes in ticks, and may still be none.
    assert!(scrape.get("process_cpu_seconds_total", &[]).is_some());
    for name in ["process_resident_memory_bytes", "process_open_fds", "tidegate_build_info"] {
        assert!(scrape.value(name, &[]) > 0.0, "{name}");
    }
    // Every family says what it is, once.
    for line in scrape.text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert_eq!(scrape.text.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
        assert_eq!(scrape.text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    }
}

#[tokio::test]
async fn openmetrics_has_exemplars_that_lead_to_the_trace() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    get(proxy.address(), "/").await;
    let log = proxy.wait_for_log(1);
    eventually("an exemplar", || {
        let scrape = proxy.scrape_openmetrics();
        assert!(scrape.text.ends_with("# EOF\n"));
        scrape
            .matching("http_server_request_duration_seconds_bucket", &[])
            .filter_map(|sample| sample.exemplar.as_ref())
            .any(|exemplar| exemplar["trace_id"] == log[0]["trace_id"].as_str().unwrap())
    });
    // The older format has none.
    assert!(proxy.scrape().samples.iter().all(|sample| sample.exemplar.is_none()));
}

#[tokio::test]
async fn on_any_path_of_any_listener() {
    let origin = origin().start();
    let proxy = proxy()
        .config("listeners: [{ name: web, address: \"127.0.0.1:0\" }, { name: inside, address: \"127.0.0.1:0\" }]")
        .origin(&origin)
        .config("telemetry: { metrics: { scrape: [{ listener: inside, path: /internal/metrics }] } }")
        .start();
    let answer = get(proxy.listener("inside"), "/internal/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(Metrics::parse(&answer.text()).get("tidegate_build_info", &[]), Some(1.0));
    // Elsewhere the path is the origin's.
    assert_eq!(get(proxy.listener("web"), "/internal/metrics").await.json()["path"], "/internal/metrics");
}

#[tokio::test]
async fn otlp_has_the_same_points() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, limits: [all] }]\nlimits: { all: { key: global, rate: 1/h, burst: 7 } }")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(format!(
            "telemetry: {{ service: {{ name: edge, namespace: prod }}, otlp: {{ endpoint: \"{}\" }}, metrics: {{ interval: 100ms }} }}",
            collector.endpoint()
        ))
        .start();
    for _ in 0..10 {
        get(proxy.address(), "/").await;
    }
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 10.0);
    eventually("the points", || collector.value("http.server.request.duration", &[]) == 10.0);
    for (otlp, name) in [
        ("http.server.request.duration", "http_server_request_duration_seconds_count"),
        ("http.client.request.duration", "http_client_request_duration_seconds_count"),
        ("tidegate.limit.decisions", "tidegate_limit_decisions_total"),
        ("tidegate.errors", "tidegate_errors_total"),
        ("tidegate.connections", "tidegate_connections_total"),
    ] {
        assert_eq!(collector.value(otlp, &[]), scrape.value(name, &[]), "{otlp}");
    }
    let points = collector.points();
    let duration = points.iter().find(|point| point.name == "http.server.request.duration").unwrap();
    assert_eq!(duration.unit, "s");
    assert!(duration.labels.contains_key("http.request.method") && duration.labels.contains_key("tidegate.listener"));
    assert!(points.iter().any(|point| point.name == "http.server.request.duration" && !point.exemplars.is_empty()));
}

#[test]
fn series_stay_bounded_whatever_clients_send() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for number in 0..200 {
        let request = format!("M{number} /p{number} HTTP/1.1\r\nhost: h{number}.test\r\nuser-agent: u{number}\r\n\r\n");
        raw(proxy.address()).send(request).response();
    }
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 200.0);
    assert_eq!(scrape.series("http_server_request_duration_seconds_count"), 1);
    assert!(scrape.samples.len() < 1_000, "{} series", scrape.samples.len());
}
