//! Plugins that are told what was decided: by limits, and by breakers; apart from the exchanges that it was decided about.
//! It knows nothing of hooks in an exchange.

use std::time::{Duration, Instant};

use tidegate_tests::{Connection, Guest, Proxy, eventually, get, nowhere, origin, proxy};

fn calls(proxy: &Proxy, hook: &str, outcome: &str) -> f64 {
    proxy.scrape().value("tidegate_plugin_calls_total", &[("plugin", "p"), ("hook", hook), ("outcome", outcome)])
}

/// Writes a text property into the proxy's log.
fn telling(property: i32) -> String {
    format!(
        "(drop (call $log_line (i32.const 1) (i32.const 60000)
            (call $text_read (i32.const {property}) (i32.const 60000) (i32.const 100)))) (i32.const 0)"
    )
}

fn told(proxy: &Proxy, words: [&str; 3]) -> [usize; 3] {
    let lines = proxy.diagnostics();
    words.map(|word| lines.iter().filter(|line| line["message"] == word).count())
}

#[tokio::test]
async fn decisions_of_limits_are_told() {
    let origin = origin().start();
    let guest = Guest::new().hook("limit_decision", &telling(22));
    let proxy = proxy()
        .config("routes:\n  - { name: free, match: { path: /free }, upstream: app, limits: [few] }\n  - { name: app, upstream: app, plugins: [p], limits: [few] }")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("limits: { few: { key: route, rate: 1/h, burst: 2 } }")
        .config("plugins: { p: { file: p.wasm, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    for _ in 0..3 {
        get(proxy.address(), "/x").await;
        // Of no interest to a plugin of another route.
        get(proxy.address(), "/free").await;
    }
    eventually("three events", || told(&proxy, ["allowed", "limited", ""])[..2] == [2, 1]);
}

#[tokio::test]
async fn a_hook_that_is_slow_to_hear_delays_no_decision() {
    let origin = origin().start();
    let guest = Guest::new()
        .hook("limit_decision", "(drop (call $sleep (i64.const 60000))) (i32.const 1)")
        .hook("resume", "(i32.const 0)");
    let proxy = proxy()
        .config("workers: 1")
        .config("routes: [{ name: app, upstream: app, plugins: [p], limits: [many] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("limits: { many: { key: global, rate: 1000000/s } }")
        .config("plugins: { p: { file: p.wasm, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    let begun = Instant::now();
    let mut client = Connection::http1(proxy.address()).await;
    // More than are kept: the first is being told, 1,024 wait, the rest is lost.
    for _ in 0..1030 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(calls(&proxy, "limit_decision", "pending"), 1.0);
    let dropped = [("plugin", "p"), ("effect", "limit_decision"), ("reason", "queue")];
    proxy.wait_for_metric("tidegate_plugin_dropped_total", &dropped, 5.0);
}

#[tokio::test]
async fn each_transition_of_a_breaker_is_told_once() {
    let guest = Guest::new().hook("breaker_transition", &telling(23));
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 2, open_for: 1s }} }} }}",
            nowhere()
        ))
        // Of no route: what happens to a breaker concerns every plugin that wants to know.
        .config("plugins: { p: { file: p.wasm, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    let words = ["open", "half_open", "closed"];
    for _ in 0..6 {
        get(proxy.address(), "/x").await;
    }
    eventually("it opened", || told(&proxy, words) == [1, 0, 0]);
    let mut answered = 0;
    eventually("a probe", || {
        answered += 1;
        let answer = tidegate_tests::raw(proxy.address()).send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
        answer.status() == 502
    });
    eventually("it was tried", || told(&proxy, words) == [2, 1, 0]);
    let transitions = |to| proxy.scrape().value("tidegate_breaker_transitions_total", &[("to", to)]);
    assert_eq!((transitions("open"), transitions("half_open")), (2.0, 1.0));
}
