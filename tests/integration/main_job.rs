//! The main job, end to end: traffic passes, limited and guarded, through real plugins; and what is said of it in the scrape,
//! over OTLP and in the log is the same, to the last one, as what the origin and the client saw. It knows no shortcut.

use std::collections::{BTreeMap, HashSet};

use tidegate_tests::{Connection, collector, eventually, get, origin, proxy, websocket};

const CONFIG: &str = r#"
workers: 2
routes:
  - { name: users, match: { path: "/users/{id}" }, upstream: app, limits: [burst], plugins: [ids, classify] }
  - { name: live, match: { path_prefix: /websocket }, upstream: app, plugins: [ids, classify] }
  - { name: broken, match: { path_prefix: /broken }, upstream: gone, plugins: [ids, classify] }
  - { name: rest, upstream: app, plugins: [ids, classify] }
limits:
  burst: { key: request_header.x-tenant, rate: 1/h, burst: 40 }
plugins:
  ids: { builtin: correlation-id, config: { trust: any } }
  classify:
    builtin: request-classifier
    config: { label: kind, rules: [{ path_prefix: /users, value: api }, { path_prefix: /websocket, value: live }], otherwise: other }
"#;

#[tokio::test]
async fn what_everyone_counts_is_the_same() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy()
        .config(CONFIG)
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, gone: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 5, open_for: 1h }} }} }}",
            origin.address(),
            tidegate_tests::nowhere(),
        ))
        .config(format!(
            "telemetry: {{ service: {{ name: edge }}, otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }}, metrics: {{ interval: 100ms }} }}",
            collector.endpoint()
        ))
        .start();

    // 60 of a tenant over both protocols, of which 40 pass; 30 that fail at the origin; 8 to an upstream that is down; 12 WebSockets.
    let mut answers = BTreeMap::new();
    let mut clients = [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await];
    for number in 0..60 {
        let request = tidegate_tests::request("GET", &format!("/users/{number}")).header("x-tenant", "acme");
        let request = request.header("x-request-id", format!("job-{number}"));
        let answer = clients[number % 2].send(request.body(tidegate_tests::Body::empty()).unwrap()).await;
        assert_eq!(answer.header("x-request-id"), format!("job-{number}"));
        *answers.entry(answer.status).or_insert(0_u32) += 1;
    }
    for number in 0..30 {
        *answers.entry(clients[number % 2].get("/status/500").await.status).or_insert(0_u32) += 1;
    }
    for _ in 0..8 {
        *answers.entry(get(proxy.address(), "/broken").await.status).or_insert(0_u32) += 1;
    }
    for number in 0..12 {
        let mut socket = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
        for message in 0..number {
            socket.send(&format!("{message}")).await;
            assert_eq!(socket.next().await.unwrap(), message.to_string().as_bytes());
        }
        assert_eq!(socket.close(1000).await, Some(1000));
        *answers.entry(101).or_insert(0_u32) += 1;
    }
    assert_eq!(answers, BTreeMap::from([(101, 12), (200, 40), (429, 20), (500, 30), (502, 5), (503, 3)]));
    assert_eq!((origin.count(), origin.messages()), (82, 66));

    // The log.
    let log = proxy.wait_for_log(110);
    let of = |field: &str, value: &str| log.iter().filter(|line| line[field] == value).count();
    let with_status = |status: u16| log.iter().filter(|line| line["status"] == status).count();
    for (status, count) in &answers {
        assert_eq!(with_status(*status), *count as usize, "lines with status {status}");
    }
    assert_eq!((of("kind", "api"), of("kind", "live"), of("kind", "other")), (60, 12, 38));
    let ids: HashSet<_> = log.iter().map(|line| line["correlation_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 110);
    assert!((0..60).all(|number| ids.contains(format!("job-{number}").as_str())));
    assert_eq!(log.iter().filter(|line| line["error"]["reason"] == "rate_limited").count(), 20);
    assert_eq!(log.iter().filter(|line| line["error"]["reason"] == "breaker_open").count(), 3);

    // The scrape.
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 110.0);
    for (status, count) in &answers {
        let labels = [("http_response_status_code", &*status.to_string())];
        assert_eq!(scrape.value("http_server_request_duration_seconds_count", &labels), f64::from(*count), "{status}");
    }
    for (kind, count) in [("api", 60.0), ("live", 12.0), ("other", 38.0)] {
        let labels = [("plugin", "classify"), ("kind", kind)];
        assert_eq!(scrape.value("requests_by_kind_total", &labels), count, "{kind}");
        assert_eq!(scrape.value("requests_by_kind_duration_seconds_count", &labels), count, "{kind}");
    }
    assert_eq!(scrape.value("tidegate_limit_decisions_total", &[("limit", "burst"), ("decision", "allowed")]), 40.0);
    assert_eq!(scrape.value("tidegate_limit_decisions_total", &[("limit", "burst"), ("decision", "limited")]), 20.0);
    assert_eq!(scrape.value("tidegate_breaker_state", &[("upstream", "gone")]), 1.0);
    assert_eq!(scrape.value("tidegate_websocket_sessions_total", &[("route", "live")]), 12.0);
    assert_eq!(scrape.value("http_client_request_duration_seconds_count", &[("tidegate_upstream", "app")]), 82.0);
    assert_eq!(
        scrape.value("tidegate_plugin_calls_total", &[("plugin", "classify"), ("hook", "log"), ("outcome", "ok")]),
        110.0
    );
    assert_eq!(scrape.value("tidegate_plugin_dropped_total", &[]), 0.0);

    // OTLP: metrics.
    eventually("the last points", || collector.value("http.server.request.duration", &[]) == 110.0);
    for (otlp, name) in [
        ("http.server.request.duration", "http_server_request_duration_seconds_count"),
        ("http.client.request.duration", "http_client_request_duration_seconds_count"),
        ("requests_by_kind", "requests_by_kind_total"),
        ("requests_by_kind.duration", "requests_by_kind_duration_seconds_count"),
        ("tidegate.limit.decisions", "tidegate_limit_decisions_total"),
        ("tidegate.websocket.sessions", "tidegate_websocket_sessions_total"),
        ("tidegate.errors", "tidegate_errors_total"),
        ("tidegate.plugin.calls", "tidegate_plugin_calls_total"),
    ] {
        eventually(otlp, || collector.value(otlp, &[]) == scrape.value(name, &[]));
    }

    // OTLP: spans. One server span for each line, one client span for each attempt, and the plugin's span under the server's.
    let servers = || collector.spans().into_iter().filter(|span| span.kind == 2).count();
    eventually("the last spans", || servers() >= 110);
    assert_eq!(servers(), 110);
    let spans = collector.spans();
    let traces: HashSet<_> = spans.iter().filter(|span| span.kind == 2).map(|span| span.trace_id.clone()).collect();
    assert_eq!(traces, log.iter().map(|line| line["trace_id"].as_str().unwrap().to_owned()).collect());
    let attempts: u64 = log.iter().map(|line| line["attempts"].as_u64().unwrap()).sum();
    assert_eq!(spans.iter().filter(|span| span.kind == 3).count() as u64, attempts);
    for line in &log {
        let server =
            spans.iter().find(|span| span.span_id == line["span_id"].as_str().unwrap()).expect("the line's span");
        assert_eq!(server.attributes["tidegate.correlation_id"], line["correlation_id"].as_str().unwrap());
        assert_eq!(server.attributes["kind"], line["kind"].as_str().unwrap());
        let below: Vec<_> = spans.iter().filter(|span| span.parent_id == server.span_id).collect();
        let of_plugin: Vec<_> = below
            .iter()
            .filter(|span| span.attributes.get("tidegate.plugin").is_some_and(|name| name == "classify"))
            .collect();
        // A request that was limited did not come as far as the plugin's request head hook.
        assert_eq!(of_plugin.len(), usize::from(line["status"] != 429), "{line:#}");
        assert!(below.iter().all(|span| span.trace_id == server.trace_id));
    }

    // The origin was told the same ids.
    for seen in origin.seen() {
        let (id, trace) = (seen.header("x-request-id"), seen.header("traceparent"));
        let line = log.iter().find(|line| line["correlation_id"] == id).expect("the origin's request is in the log");
        assert!(trace.contains(line["trace_id"].as_str().unwrap()));
    }
    assert_eq!(proxy.scrape().value("tidegate_telemetry_spans_total", &[("outcome", "dropped")]), 0.0);
    assert_eq!(proxy.scrape().value("tidegate_telemetry_log_lines_total", &[("outcome", "exported")]), 110.0);
}
