//! Spans over OTLP, both ways of speaking it, and a collector that is down, hangs or refuses: every span is accounted for.
//! Which traces are kept is here; how ids travel is in `propagation`.

use tidegate_tests::{
    Authority, Collector, CollectorMode, Connection, Proxy, ProxyBuilder, collector, eventually, get, nowhere, origin,
    proxy,
};

fn telemetry(endpoint: &str, more: &str) -> String {
    format!(
        "telemetry: {{ otlp: {{ endpoint: \"{endpoint}\", timeout: 300ms{more} }}, metrics: {{ otlp: false }}, traces: {{ interval: 50ms }} }}"
    )
}

fn spans(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.scrape().value("tidegate_telemetry_spans_total", &[("outcome", outcome)])
}

#[tokio::test]
async fn a_server_span_with_its_attempt_over_both_protocols() {
    for (collector, protocol) in [(collector(), "grpc"), (Collector::http(), "http")] {
        let origin = origin().start();
        let proxy = proxy()
            .config("routes: [{ name: users, match: { path: \"/users/{id}\" }, upstream: app }]")
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
            .config(format!(
                "telemetry: {{ service: {{ name: edge, namespace: prod, attributes: {{ host.name: here, service.instance.id: web-1 }} }}, traces: {{ interval: 50ms }},\n  otlp: {{ endpoint: \"{}\", protocol: {protocol}, headers: {{ authorization: \"${{OTLP_TOKEN:-none}}\" }} }} }}",
                collector.endpoint()
            ))
            .environment("OTLP_TOKEN", "Bearer s3cret")
            .start();
        get(proxy.address(), "/users/42?x=1").await;
        eventually("the spans", || collector.spans().len() >= 2);
        let log = proxy.wait_for_log(1);
        let server = collector.spans_named("GET /users/{id}").remove(0);
        let client = collector.spans_named("GET").remove(0);
        assert_eq!((server.kind, client.kind), (2, 3));
        assert_eq!(client.parent_id, server.span_id);
        assert_eq!(client.trace_id, server.trace_id);
        assert_eq!(server.parent_id, "");
        assert_eq!(
            (log[0]["trace_id"].as_str(), log[0]["span_id"].as_str()),
            (Some(&*server.trace_id), Some(&*server.span_id))
        );
        let host = proxy.address();
        for (name, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "/users/{id}"),
            ("url.path", "/users/42"),
            ("url.scheme", "http"),
            ("url.query", "x=1"),
            ("server.address", &host.ip().to_string()),
            ("server.port", &host.port().to_string()),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("tidegate.route", "users"),
            ("tidegate.upstream", "app"),
        ] {
            assert_eq!(
                server.attributes.get(name).map(String::as_str),
                Some(value),
                "{name}: {:#?}",
                server.attributes
            );
        }
        assert_eq!(client.attributes["server.port"], origin.address().port().to_string());
        assert_eq!(client.attributes["http.response.status_code"], "200");
        assert_eq!(client.attributes["network.protocol.version"], "1.1");
        assert_eq!(client.attributes["url.full"], format!("http://{}/users/42?x=1", origin.address()));
        assert!(server.start_nanos <= client.start_nanos && client.end_nanos <= server.end_nanos);
        assert_eq!((&*server.resource["service.name"], &*server.resource["service.namespace"]), ("edge", "prod"));
        assert_eq!((&*server.resource["host.name"], &*server.resource["service.instance.id"]), ("here", "web-1"));
        assert_eq!(collector.headers()["authorization"], "Bearer s3cret");
        // What the origin was told is the attempt's span.
        let traceparent = origin.last().header("traceparent");
        // Sampled; whether the id is said to be random is the proxy's choice.
        assert!(traceparent.starts_with(&format!("00-{}-{}-", server.trace_id, client.span_id)), "{traceparent}");
        assert!(traceparent.ends_with('1') || traceparent.ends_with('3'), "{traceparent}");
    }
}

#[tokio::test]
async fn an_attempt_says_where_it_went() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy()
        .config("routes: [{ name: old, match: { path_prefix: /old }, upstream: app, rewrite: { prefix: /new } }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(telemetry(&collector.endpoint(), ""))
        .start();
    get(proxy.address(), "/old/a?token=s3cret&b=c").await;
    eventually("the spans", || collector.spans().len() == 2);
    let client = collector.spans().into_iter().find(|span| span.kind == 3).unwrap();
    assert_eq!(client.attributes["url.full"], format!("http://{}/new/a?token=REDACTED&b=c", origin.address()));
}

#[tokio::test]
async fn each_process_is_an_instance_of_its_own() {
    let (origin, collector) = (origin().start(), collector());
    let config = telemetry(&collector.endpoint(), "");
    let one = proxy().origin(&origin).config(&config).start();
    let other = proxy().origin(&origin).config(&config).start();
    for proxy in [&one, &one, &other] {
        get(proxy.address(), "/").await;
    }
    eventually("the spans", || collector.spans().len() == 6);
    let instances: Vec<_> =
        collector.spans().into_iter().map(|span| span.resource["service.instance.id"].clone()).collect();
    let different: std::collections::BTreeSet<_> = instances.iter().collect();
    assert_eq!(different.len(), 2, "{instances:?}");
    assert!(instances.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'4'), "{instances:?}");
}

#[tokio::test]
async fn failures_are_in_the_span() {
    let collector = collector();
    let proxy = proxy().upstream(nowhere()).config(telemetry(&collector.endpoint(), "")).start();
    get(proxy.address(), "/").await;
    eventually("the spans", || collector.spans().len() == 2);
    for span in collector.spans() {
        assert_eq!(span.status, 2, "{span:#?}");
        assert_eq!(span.attributes["error.type"], "connect_failed");
    }
}

#[tokio::test]
async fn an_error_of_the_client_is_no_error_of_the_server_span() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy().origin(&origin).config(telemetry(&collector.endpoint(), "")).start();
    get(proxy.address(), "/status/404").await;
    eventually("the spans", || collector.spans().len() == 2);
    let spans = collector.spans();
    assert_eq!(spans.iter().find(|span| span.kind == 2).unwrap().status, 0);
    assert_eq!(spans.iter().find(|span| span.kind == 3).unwrap().status, 2);
}

#[tokio::test]
async fn each_attempt_has_its_span() {
    let origin = tidegate_tests::raw_origin(|_, connection| {
        if connection.message().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        connection.message();
    });
    let collector = collector();
    let proxy =
        proxy().config("workers: 1").upstream(origin.address()).config(telemetry(&collector.endpoint(), "")).start();
    let mut client = Connection::http1(proxy.address()).await;
    client.get("/").await;
    client.get("/").await;
    eventually("two exchanges with three attempts", || collector.spans().len() == 5);
    let retried: Vec<_> = collector
        .spans()
        .into_iter()
        .filter(|span| span.attributes.contains_key("http.request.resend_count"))
        .collect();
    assert_eq!(retried.len(), 1);
    assert_eq!(retried[0].attributes["http.request.resend_count"], "1");
}

fn sampled(ratio: &str, collector: &Collector) -> ProxyBuilder {
    let traces = format!("ratio: {ratio}, interval: 50ms");
    proxy().config(format!(
        "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, metrics: {{ otlp: false }}, traces: {{ {traces} }} }}",
        collector.endpoint()
    ))
}

#[tokio::test]
async fn a_ratio_keeps_its_share_and_every_failure() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = sampled("0.2", &collector).origin(&origin).start();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..300 {
        client.get("/").await;
    }
    for _ in 0..10 {
        client.get("/status/500").await;
    }
    let log = proxy.wait_for_log(310);
    let kept = log.iter().filter(|line| line["sampled"] == true && line["status"] == 200).count();
    // Far beyond what chance can do to 300 tries at 0.2.
    assert!((20..110).contains(&kept), "{kept} of 300");
    assert_eq!(log.iter().filter(|line| line["sampled"] == true && line["status"] == 500).count(), 10);
    eventually("what was kept arrives", || collector.spans().iter().filter(|span| span.kind == 2).count() == kept + 10);
    let traces: std::collections::HashSet<_> = collector.spans().into_iter().map(|span| span.trace_id).collect();
    let named: std::collections::HashSet<_> = log
        .iter()
        .filter(|line| line["sampled"] == true)
        .map(|line| line["trace_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(traces, named);
}

#[tokio::test]
async fn what_was_slow_is_kept() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy()
        .origin(&origin)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ ratio: 0, interval: 50ms, always: {{ errors: false, slower_than: 100ms }} }} }}",
            collector.endpoint()
        ))
        .start();
    get(proxy.address(), "/status/500").await;
    get(proxy.address(), "/slow/200").await;
    eventually("the slow one", || !collector.spans().is_empty());
    let slow = collector.spans().into_iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(slow.attributes["url.path"], "/slow/200");
}

/// Sends so many requests, and waits until every span is either exported or dropped.
async fn accounted(proxy: &Proxy, requests: usize) -> (f64, f64) {
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..requests {
        assert_eq!(client.get("/").await.status, 200);
    }
    #[allow(clippy::cast_precision_loss)]
    let made = (requests * 2) as f64;
    eventually("every span is accounted for", || spans(proxy, "exported") + spans(proxy, "dropped") == made);
    (spans(proxy, "exported"), spans(proxy, "dropped"))
}

#[tokio::test]
async fn a_collector_that_takes_everything() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy().origin(&origin).config(telemetry(&collector.endpoint(), "")).start();
    assert_eq!(accounted(&proxy, 500).await, (1000.0, 0.0));
    assert_eq!(collector.spans().len(), 1000);
}

#[tokio::test]
async fn a_collector_that_is_not_there() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).config(telemetry(&format!("http://{}", nowhere()), "")).start();
    assert_eq!(accounted(&proxy, 50).await, (0.0, 100.0));
}

#[tokio::test]
async fn a_collector_that_hangs() {
    let (origin, collector) = (origin().start(), collector());
    collector.set_mode(CollectorMode::Hangs);
    let proxy = proxy().origin(&origin).config(telemetry(&collector.endpoint(), "")).start();
    assert_eq!(accounted(&proxy, 50).await, (0.0, 100.0));
    assert!(proxy.scrape().value("tidegate_telemetry_spans_total", &[("reason", "timeout")]) > 0.0);
}

#[tokio::test]
async fn a_collector_that_fails_and_recovers() {
    for (collector, protocol) in [(collector(), ""), (Collector::http(), ", protocol: http")] {
        let origin = origin().start();
        collector.set_mode(CollectorMode::Fails);
        let proxy = proxy().origin(&origin).config(telemetry(&collector.endpoint(), protocol)).start();
        let (exported, dropped) = accounted(&proxy, 50).await;
        assert_eq!((exported, dropped), (0.0, 100.0));
        collector.set_mode(CollectorMode::Takes);
        // The first that come may still meet a pause of the exporter.
        for _ in 0..600 {
            get(proxy.address(), "/").await;
            if !collector.spans().is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(!collector.spans().is_empty());
    }
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let (origin, collector) = (origin().start(), collector());
    collector.set_mode(CollectorMode::Hangs);
    let proxy = proxy()
        .origin(&origin)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\", timeout: 20s }}, metrics: {{ otlp: false }}, traces: {{ interval: 50ms, queue: 20 }} }}",
            collector.endpoint()
        ))
        .start();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..500 {
        assert_eq!(client.get("/").await.status, 200);
    }
    eventually("the queue is full", || {
        proxy.scrape().value("tidegate_telemetry_spans_total", &[("outcome", "dropped"), ("reason", "queue_full")])
            > 500.0
    });
}

#[tokio::test]
async fn metrics_over_both_protocols() {
    for (collector, protocol) in [(collector(), "grpc"), (Collector::http(), "http")] {
        let origin = origin().start();
        let telemetry = format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\", protocol: {protocol} }}, metrics: {{ interval: 100ms }} }}",
            collector.endpoint()
        );
        let proxy = proxy().origin(&origin).config(telemetry).start();
        for _ in 0..3 {
            get(proxy.address(), "/").await;
        }
        let duration = |labels: &[(&str, &str)]| collector.value("http.server.request.duration", labels);
        eventually("all are counted", || duration(&[]) == 3.0);
        assert_eq!(duration(&[("http.request.method", "GET"), ("http.response.status_code", "200")]), 3.0);
        let exports =
            |outcome| proxy.scrape().value("tidegate_telemetry_metric_exports_total", &[("outcome", outcome)]);
        eventually("a push is counted", || exports("exported") > 0.0);
        assert_eq!(exports("dropped"), 0.0, "{protocol}");
    }
}

#[tokio::test]
async fn a_collector_behind_tls_gets_everything_over_both_protocols() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"]);
    for (grpc, protocol) in [(true, "grpc"), (false, "http")] {
        let (origin, collector) = (origin().start(), Collector::tls(&identity, grpc));
        let telemetry = format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\", protocol: {protocol} }}, metrics: {{ interval: 100ms }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        );
        let proxy = proxy()
            .origin(&origin)
            .config(telemetry)
            .environment("SSL_CERT_FILE", authority.file().to_str().unwrap())
            .start();
        get(proxy.address(), "/").await;
        eventually("spans and metrics", || {
            collector.spans().len() == 2 && collector.value("http.server.request.duration", &[]) == 1.0
        });
        // The answer has to come back before it is counted.
        eventually("they are counted", || spans(&proxy, "exported") == 2.0);
        assert_eq!(spans(&proxy, "dropped"), 0.0, "{protocol}");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_trusted_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.identity(&["127.0.0.1"]);
    for (grpc, protocol) in [(true, "grpc"), (false, "http")] {
        let (origin, collector) = (origin().start(), Collector::tls(&identity, grpc));
        let proxy = proxy()
            .origin(&origin)
            .config(telemetry(&collector.endpoint(), &format!(", protocol: {protocol}")))
            .environment("SSL_CERT_FILE", other.file().to_str().unwrap())
            .start();
        get(proxy.address(), "/").await;
        eventually("they are given up", || spans(&proxy, "dropped") == 2.0);
        assert_eq!((collector.exports(), spans(&proxy, "exported")), (0, 0.0), "{protocol}");
    }
}
