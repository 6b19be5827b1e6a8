//! Plugins that take as much as they get, of everything that they can have: each ends at its budget, is counted, and holds up nobody.
//! It knows the budgets, and what a budget that is used up looks like from outside.

use tidegate_tests::{PATIENCE, collector, eventually, get, origin, proxy, raw, raw_origin, resident_bytes, wasm};

use super::fixture;
use super::scene::Scene;

/// Time enough for all of it, also where the machine is slow.
const TIME: &str = "deadline: 60s";

#[tokio::test]
async fn metrics_end_at_the_budget_of_series() {
    let scene = Scene::new(fixture("metric_spam"), &format!(", budget: {{ series: 100, {TIME} }}"));
    let before = resident_bytes(scene.proxy.id());
    assert_eq!(scene.closed().await.status, 200);
    let scrape = scene.proxy.scrape();
    let of_plugin = [("plugin", "closed")];
    let series = scrape.matching("spam_total", &of_plugin).count();
    assert_eq!(series, 101, "a hundred, and one for all others");
    assert_eq!(scrape.value("spam_total", &of_plugin), 1e6, "no value is lost");
    assert_eq!(scene.dropped("closed", "series", "budget"), 1e6 - 100.0);
    assert_eq!(scrape.value("tidegate_plugin_series", &of_plugin), 100.0);
    assert!(resident_bytes(scene.proxy.id()) < before + (64 << 20));
    scene.end();
}

#[tokio::test]
async fn spans_attributes_and_events_end_at_their_budgets() {
    let (origin, collector) = (origin().start(), collector());
    let proxy = proxy()
        .file("spam.wasm", fixture("span_spam"))
        .config("routes: [{ name: app, upstream: app, plugins: [spam] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(format!(
            "plugins: {{ spam: {{ file: spam.wasm, on_failure: closed, budget: {{ spans: 3, {TIME} }} }} }}"
        ))
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        ))
        .start();
    assert_eq!(get(proxy.address(), "/").await.status, 200);
    // The server's, the attempt's, and three of the plugin's.
    eventually("five spans", || collector.spans().len() == 5);
    let spans = collector.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(server.events.len(), 128);
    assert_eq!(server.attributes.keys().filter(|key| key.starts_with("spam")).count(), 128);
    let dropped = |effect| {
        let labels = [("plugin", "spam"), ("effect", effect), ("reason", "budget")];
        proxy.scrape().value("tidegate_plugin_dropped_total", &labels)
    };
    // Of 676 attributes that there are 128 fit; those are set again and again.
    assert_eq!((dropped("span"), dropped("event")), (99_997.0, 99_872.0));
    assert!(dropped("attribute") > 80_000.0, "{}", dropped("attribute"));
}

#[tokio::test]
async fn log_lines_and_fields_end_at_their_budgets() {
    let scene = Scene::new(fixture("log_spam"), &format!(", budget: {{ log_fields: 5, log_lines: 50, {TIME} }}"));
    let begun = std::time::Instant::now();
    assert_eq!(scene.closed().await.status, 200);
    let line = scene.line("closed");
    assert_eq!(line.as_object().unwrap().keys().filter(|key| key.starts_with("spam")).count(), 5, "{line:#}");
    assert!(scene.dropped("closed", "log_field", "budget") > 80_000.0);
    // By the second, through either way.
    let seconds = begun.elapsed().as_secs() + 1;
    let lines = scene.lines("closed").len() as u64;
    assert!((1..=50 * (seconds + 1)).contains(&lines), "{lines} lines in {seconds} s");
    assert_eq!(scene.dropped("closed", "log_line", "budget"), 200_000.0 - lines as f64);
    scene.end();
}

#[tokio::test]
async fn headers_end_at_their_limit_and_the_messages_still_arrive() {
    // More headers than a usual server or client takes: both ends count lines here.
    let (tell, told) = std::sync::mpsc::channel();
    let count = |head: &str| head.lines().filter(|line| line.starts_with("x-spam:")).count();
    let origin = raw_origin(move |_, connection| {
        while let Some(head) = connection.head() {
            tell.send(count(&head)).unwrap();
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let proxy = proxy()
        .file("spam.wasm", fixture("header_spam"))
        .config("routes: [{ name: app, upstream: app, plugins: [spam] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(format!("plugins: {{ spam: {{ file: spam.wasm, on_failure: closed, budget: {{ {TIME} }} }} }}"))
        .start();
    let answer = raw(proxy.address()).send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    let (there, back) = (told.recv_timeout(PATIENCE).unwrap(), count(&answer.head));
    assert!((200..=256).contains(&there) && (200..=256).contains(&back), "{there} and {back}");
    let labels = [("plugin", "spam"), ("effect", "header"), ("reason", "budget")];
    proxy.wait_for_metric("tidegate_plugin_dropped_total", &labels, 200_000.0 - (there + back) as f64);
}

#[tokio::test]
async fn the_store_ends_at_its_budget() {
    let scene = Scene::new(fixture("store_spam"), &format!(", budget: {{ key_value: 1MiB, {TIME} }}"));
    let before = resident_bytes(scene.proxy.id());
    assert_eq!(scene.closed().await.status, 200);
    let scrape = scene.proxy.scrape();
    let bytes = scrape.value("tidegate_plugin_store_bytes", &[("plugin", "closed")]);
    assert!((512.0 * 1024.0..=1024.0 * 1024.0).contains(&bytes), "{bytes}");
    let entries = scrape.value("tidegate_plugin_store_entries", &[("plugin", "closed")]);
    assert_eq!(scene.dropped("closed", "store", "budget"), 100_000.0 - entries);
    assert!(resident_bytes(scene.proxy.id()) < before + (32 << 20));
    scene.end();
}

#[tokio::test]
async fn timers_end_at_their_limit_and_are_given_back() {
    let scene = Scene::new(fixture("sleep_spam"), &format!(", budget: {{ {TIME} }}"));
    for round in 1..=3 {
        assert_eq!(scene.closed().await.status, 200);
        // What was started and not waited for is given up: each time there is room for as many.
        assert_eq!(scene.dropped("closed", "sleep", "budget"), 90_000.0 * f64::from(round));
    }
    scene.end();
}

#[tokio::test]
async fn a_body_that_is_added_to_ends_at_its_limit() {
    let scene = Scene::new(fixture("body_growth"), &format!(", budget: {{ {TIME} }}"));
    let answer = scene.closed().await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 32 << 20 && answer.body.len() <= 256 << 20, "{}", answer.body.len());
    assert!(scene.dropped("closed", "body", "budget") >= 1.0);
    scene.end();
}

#[tokio::test]
async fn the_proxys_own_names_cannot_be_taken() {
    let module = wasm(
        "(import \"tidegate_v1\" \"log_field_text\" (func $field (param i32 i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"statustrace_id\")
         (func (export \"tidegate_log\") (param i32)
            (drop (call $field (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 6)))
            (drop (call $field (i32.const 6) (i32.const 8) (i32.const 0) (i32.const 6))))",
    );
    let scene = Scene::new(module, "");
    assert_eq!(scene.open().await.status, 200);
    let line = scene.line("open");
    assert_eq!(line["status"], 200);
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    assert_eq!(scene.dropped("open", "log_field", "reserved"), 2.0);
    scene.end();
}
