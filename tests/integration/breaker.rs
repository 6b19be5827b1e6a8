//! The circuit breaker: opens, refuses, tries again, closes; and every step of it shows.
//! It knows nothing of why an upstream fails.

use tidegate_tests::{Connection, Origin, Proxy, eventually, get, nowhere, origin, proxy, raw};

fn start(endpoint: std::net::SocketAddr, breaker: &str) -> Proxy {
    proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{endpoint}\"], breaker: {breaker} }} }}"))
        .start()
}

fn state(proxy: &Proxy) -> f64 {
    proxy.scrape().value("tidegate_breaker_state", &[("upstream", "app")])
}

async fn statuses(proxy: &Proxy, path: &str, count: usize) -> Vec<u16> {
    let mut client = Connection::http1(proxy.address()).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(client.get(path).await.status);
    }
    statuses
}

#[tokio::test]
async fn opens_after_failures_in_a_row_and_says_when_to_come_back() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ consecutive_failures: 3, open_for: 30s }");
    assert_eq!(state(&proxy), 0.0);
    // Answers of the origin that are errors count; those that are not start the row anew.
    assert_eq!(statuses(&proxy, "/status/503", 2).await, [503, 503]);
    assert_eq!(statuses(&proxy, "/status/404", 1).await, [404]);
    assert_eq!(statuses(&proxy, "/status/500", 3).await, [500; 3]);
    let before = origin.count();
    for _ in 0..3 {
        let answer = get(proxy.address(), "/").await;
        assert_eq!((answer.status, answer.reason().as_str()), (503, "breaker_open"));
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&seconds), "{seconds}");
    }
    assert_eq!(origin.count(), before);
    assert_eq!(state(&proxy), 1.0);
    let scrape =
        proxy.wait_for_metric("tidegate_errors_total", &[("reason", "breaker_open"), ("source", "proxy")], 3.0);
    assert_eq!(scrape.value("tidegate_breaker_transitions_total", &[("upstream", "app"), ("to", "open")]), 1.0);
    assert_eq!(proxy.wait_for_log(9)[8]["error"]["reason"], "breaker_open");
}

#[tokio::test]
async fn is_one_for_all_workers() {
    let proxy = start(nowhere(), "{ consecutive_failures: 4, open_for: 30s }");
    for _ in 0..4 {
        assert_eq!(get(proxy.address(), "/").await.status, 502);
    }
    for _ in 0..8 {
        assert_eq!(get(proxy.address(), "/").await.status, 503);
    }
}

async fn back_again(address: std::net::SocketAddr, proxy: &Proxy) -> Origin {
    let origin = origin().at(address).start();
    eventually_answers(proxy).await;
    origin
}

async fn eventually_answers(proxy: &Proxy) {
    for _ in 0..600 {
        if get(proxy.address(), "/").await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the breaker does not close");
}

#[tokio::test]
async fn closes_when_probes_succeed() {
    let address = nowhere();
    let proxy = start(address, "{ consecutive_failures: 2, open_for: 300ms, probes: 2 }");
    assert_eq!(statuses(&proxy, "/", 3).await, [502, 502, 503]);
    let _origin = back_again(address, &proxy).await;
    eventually_answers(&proxy).await;
    assert_eq!(statuses(&proxy, "/", 5).await, [200; 5]);
    assert_eq!(state(&proxy), 0.0);
    let scrape = proxy.scrape();
    for to in ["open", "half_open", "closed"] {
        assert!(scrape.value("tidegate_breaker_transitions_total", &[("to", to)]) >= 1.0, "{to}");
    }
}

#[tokio::test]
async fn a_failed_probe_opens_it_again() {
    let proxy = start(nowhere(), "{ consecutive_failures: 1, open_for: 200ms, probes: 1 }");
    assert_eq!(get(proxy.address(), "/").await.status, 502);
    let mut probes = 0;
    for _ in 0..600 {
        match get(proxy.address(), "/").await.status {
            502 => probes += 1,
            other => assert_eq!(other, 503),
        }
        if probes == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(probes, 2);
    assert!(proxy.scrape().value("tidegate_breaker_transitions_total", &[("to", "open")]) >= 2.0);
}

#[tokio::test]
async fn a_failure_budget_opens_it_too() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ failure_budget: 3/h, open_for: 30s }");
    for _ in 0..2 {
        assert_eq!(statuses(&proxy, "/status/500", 1).await, [500]);
        assert_eq!(statuses(&proxy, "/", 1).await, [200]);
    }
    let mut client = Connection::http1(proxy.address()).await;
    let mut refused = false;
    for _ in 0..10 {
        refused |= client.get("/status/500").await.status == 503;
    }
    assert!(refused);
    assert_eq!(state(&proxy), 1.0);
}

#[tokio::test]
async fn other_upstreams_are_not_concerned() {
    let origin = origin().start();
    let proxy = proxy()
        .config("routes: [{ match: { path_prefix: /bad }, upstream: bad }, { upstream: good }]")
        .config(format!(
            "upstreams: {{ bad: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 1, open_for: 30s }} }}, good: {{ endpoints: [\"{}\"] }} }}",
            nowhere(),
            origin.address()
        ))
        .start();
    assert_eq!(statuses(&proxy, "/bad", 2).await, [502, 503]);
    assert_eq!(statuses(&proxy, "/", 2).await, [200, 200]);
    eventually("the state shows", || proxy.scrape().value("tidegate_breaker_state", &[("upstream", "bad")]) == 1.0);
}

#[tokio::test]
async fn one_whose_time_is_over_is_not_called_open_although_nobody_asks() {
    let proxy = start(nowhere(), "{ consecutive_failures: 1, open_for: 1s }");
    assert_eq!(get(proxy.address(), "/").await.status, 502);
    eventually("it is open", || state(&proxy) == 1.0);
    eventually("it is half open", || state(&proxy) == 0.5);
}

#[tokio::test]
async fn slow_uploads_do_not_open_it() {
    let origin = origin().start();
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, timeout: 200ms }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 1, open_for: 30s }} }} }}",
            origin.address()
        ))
        .start();
    for _ in 0..3 {
        let mut client = raw(proxy.address());
        client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nhello");
        let answer = client.response();
        assert_eq!((answer.status(), &answer.json()["reason"]), (504, &"timeout".into()));
    }
    assert_eq!((state(&proxy), get(proxy.address(), "/").await.status), (0.0, 200));
    // An upstream that has the whole request and does not answer in time is another matter.
    let mut client = raw(proxy.address());
    client.send("POST /hang HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(client.response().status(), 504);
    assert_eq!(state(&proxy), 1.0);
}

#[tokio::test]
async fn every_decision_shows_in_metric_log_and_span() {
    let collector = tidegate_tests::collector();
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, limits: [all] }]\nlimits: { all: { key: global, rate: 1000/s } }")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 2, open_for: 1s, probes: 1 }} }} }}",
            nowhere()
        ))
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        ))
        .start();
    assert_eq!(statuses(&proxy, "/", 2).await, [502, 502]);
    let mut refused = 0;
    while get(proxy.address(), "/").await.status == 503 {
        refused += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(refused > 0);
    let log = proxy.wait_for_log(refused + 3);
    eventually("the last span", || collector.spans().iter().filter(|span| span.kind == 2).count() == log.len());
    let spans = collector.spans();
    for (decision, count) in [("allowed", 2), ("rejected", refused), ("probe", 1)] {
        let lines: Vec<_> = log.iter().filter(|line| line["breaker"] == decision).collect();
        assert_eq!(lines.len(), count, "{decision}: {log:#?}");
        for line in lines {
            assert_eq!(line["limits"]["all"], "allowed");
            let span = spans.iter().find(|span| span.span_id == line["span_id"].as_str().unwrap()).unwrap();
            assert_eq!(span.attributes["tidegate.breaker.decision"], decision);
            assert_eq!(span.attributes["tidegate.limit.all"], "allowed");
        }
    }
    #[allow(clippy::cast_precision_loss)]
    proxy.wait_for_metric("tidegate_breaker_refused_total", &[("upstream", "app")], refused as f64);
}
