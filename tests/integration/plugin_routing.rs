//! Plugins that have a say in where a request goes, how long it may take, and what limits count it by.
//! It knows nothing of bodies.

use std::time::Instant;

use tidegate_tests::{
    Body, Connection, Guest, Origin, PATIENCE, ProxyBuilder, get, nowhere, origin, proxy, raw, request,
};

fn with(guest: &Guest, one: &Origin, other: &Origin) -> ProxyBuilder {
    proxy()
        .config(
            "routes:\n  - { name: other, match: { path: \"/never/{*rest}\" }, upstream: other, rewrite: { host: other.test }, limits: [few] }\n  \
             - { name: app, upstream: app, plugins: [p], limits: [tier], timeout: 10s }",
        )
        .config("limits:\n  few: { key: global, rate: 1/h, burst: 2 }\n  tier: { key: plugin.tier, rate: 1/h, burst: 1 }")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, other: {{ endpoints: [\"{}\"] }} }}",
            one.address(),
            other.address()
        ))
        .config("plugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
}

#[tokio::test]
async fn a_plugin_sends_a_request_over_another_route() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let name = guest.bytes("other");
    let header = guest.header(1, "x-chain", "of the first");
    let guest = guest
        .hook("request_head", &format!("(call $route_set {name})"))
        .hook("response_head", &format!("{header} (i32.const 0)"));
    let proxy = with(&guest, &one, &other).start();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = get(proxy.address(), "/x").await;
        assert_eq!(answer.header("x-chain"), "of the first");
        statuses.push(answer.status);
    }
    // Its limits count too.
    assert_eq!((statuses, one.count(), other.count()), (vec![200, 200, 429], 0, 2));
    assert_eq!(other.last().host, "other.test");
    let line = proxy.wait_for_log(3).remove(0);
    assert_eq!((&line["route"], &line["upstream"]), (&"other".into(), &"other".into()));
}

#[tokio::test]
async fn what_a_plugin_wants_once_it_has_waited_is_done() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let name = guest.bytes("other");
    let wait = guest.call("sleep", "(i64.const 1)");
    let guest = guest
        .hook("request_head", &format!("{wait} (i32.const 1)"))
        .hook("resume", &format!("(call $upstream_set {name})"));
    let proxy = with(&guest, &one, &other).start();
    assert_eq!(get(proxy.address(), "/x").await.status, 200);
    assert_eq!((one.count(), other.count()), (0, 1));
}

#[tokio::test]
async fn a_plugin_sends_a_request_to_another_upstream() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let name = guest.bytes("other");
    let guest = guest.hook("request_head", &format!("(call $upstream_set {name})"));
    let proxy = with(&guest, &one, &other).start();
    for _ in 0..3 {
        assert_eq!(get(proxy.address(), "/x").await.status, 200);
    }
    assert_eq!((one.count(), other.count()), (0, 3));
    let line = proxy.wait_for_log(3).remove(0);
    assert_eq!((&line["route"], &line["upstream"]), (&"app".into(), &"other".into()));
    proxy.wait_for_metric("http_client_request_duration_seconds_count", &[("tidegate_upstream", "other")], 3.0);
}

#[tokio::test]
async fn a_plugin_chooses_the_upstream_once_it_has_seen_the_body() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let name = guest.bytes("other");
    let guest = guest
        .hook("configure", "(call $body_mode (i32.const 0) (i32.const 3) (i64.const 100) (i32.const 1))")
        .hook("request_body", &format!("(call $upstream_set {name})"));
    let proxy = with(&guest, &one, &other).start();
    let answer =
        Connection::http1(proxy.address()).await.send(request("POST", "/x").body(Body::from("there")).unwrap()).await;
    assert_eq!((answer.status, one.count(), &other.last().body[..]), (200, 0, &b"there"[..]));
}

#[tokio::test]
async fn a_plugin_says_how_long_an_exchange_may_take() {
    let (one, other) = (origin().start(), origin().start());
    let guest = Guest::new().hook("request_head", "(call $timeout_set (i64.const 150))");
    let proxy = with(&guest, &one, &other).start();
    let begun = Instant::now();
    let answer = get(proxy.address(), "/hang").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"));
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn a_limit_counts_by_what_a_plugin_says() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let (header, key) = (guest.bytes("x-tier"), guest.bytes("tier"));
    let guest = guest.hook(
        "request_head",
        &format!(
            "(local $length i32)
             (local.set $length (call $header_read (i32.const 0) {header} (i32.const 0) (i32.const 60000) (i32.const 100)))
             (if (i32.gt_s (local.get $length) (i32.const 0))
                (then (drop (call $limit_key_set {key} (i32.const 60000) (local.get $length)))))
             (i32.const 0)"
        ),
    );
    let proxy = with(&guest, &one, &other).start();
    let ask = |tier: &str| {
        raw(proxy.address()).send(format!("GET /x HTTP/1.1\r\nhost: a.test\r\n{tier}\r\n")).response().status()
    };
    assert_eq!([ask("x-tier: gold\r\n"), ask("x-tier: gold\r\n"), ask("x-tier: free\r\n")], [200, 429, 200]);
    assert_eq!([ask(""), ask(""), ask("")], [200; 3], "what has no key is not counted");
    let log = proxy.wait_for_log(6);
    assert_eq!(log[1]["error"]["reason"], "rate_limited");
}

#[tokio::test]
async fn what_is_sent_is_what_the_plugin_made_of_it_once_the_endpoint_was_chosen() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let name = guest.bytes("x-endpoint");
    let guest = guest.hook(
        "upstream_chosen",
        &format!(
            "(drop (call $header_set (i32.const 0) {name} (i32.const 60000)
                (call $text_read (i32.const 10) (i32.const 60000) (i32.const 100)))) (i32.const 0)"
        ),
    );
    let proxy = with(&guest, &origin, &origin).start();
    assert_eq!(get(proxy.address(), "/x").await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("x-endpoint"), origin.address().to_string());
    assert!(seen.has("traceparent") && seen.has("x-request-id"), "{:?}", seen.headers);
}

#[tokio::test]
async fn a_plugin_answers_in_the_place_of_an_upstream_that_does_not() {
    let mut guest = Guest::new();
    let reply = guest.reply(203, "from the plugin");
    let guest = guest.hook("upstream_error", &reply);
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p] }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 2 }} }} }}",
            nowhere()
        ))
        .config("plugins: { p: { file: p.wasm, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    for _ in 0..2 {
        let answer = get(proxy.address(), "/x").await;
        assert_eq!((answer.status, answer.text().as_str()), (203, "from the plugin"));
    }
    // The upstream failed all the same.
    assert_eq!(get(proxy.address(), "/x").await.reason(), "breaker_open");
    let line = proxy.wait_for_log(3).remove(0);
    assert!(line["error"].is_null() && line["attempts"] == 1, "{line}");
}

#[tokio::test]
async fn a_limit_counts_a_request_once_whatever_else_has_to_wait_for_a_plugin() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let (key, value) = (guest.bytes("tier"), guest.bytes("gold"));
    let guest = guest.hook("request_head", &format!("(call $limit_key_set {key} {value})"));
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p], limits: [few, tier] }]")
        .config(
            "limits:\n  few: { key: global, rate: 1/h, burst: 3 }\n  tier: { key: plugin.tier, rate: 1/h, burst: 9 }",
        )
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("plugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(proxy.address(), "/x").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test]
async fn what_a_later_plugin_wants_stands() {
    let (one, other) = (origin().start(), origin().start());
    let (mut first, mut last) = (Guest::new(), Guest::new());
    let (upstream, key, value) = (first.bytes("other"), first.bytes("tier"), first.bytes("same"));
    let first = first
        .hook("request_head", &format!("(drop (call $limit_key_set {key} {value})) (call $upstream_set {upstream})"));
    let (route, key, header) = (last.bytes("app"), last.bytes("tier"), last.bytes("x-tier"));
    let last = last.hook(
        "request_head",
        &format!(
            "(drop (call $limit_key_set {key} (i32.const 60000)
                (call $header_read (i32.const 0) {header} (i32.const 0) (i32.const 60000) (i32.const 100))))
             (call $route_set {route})"
        ),
    );
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p, q], limits: [tier] }]")
        .config("limits: { tier: { key: plugin.tier, rate: 1/h, burst: 1 } }")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, other: {{ endpoints: [\"{}\"] }} }}",
            one.address(),
            other.address()
        ))
        .config("plugins: { p: { file: p.wasm, on_failure: closed }, q: { file: q.wasm, on_failure: closed } }")
        .file("p.wasm", first.module())
        .file("q.wasm", last.module())
        .start();
    let ask = |tier: &str| {
        let head = format!("GET /x HTTP/1.1\r\nhost: a.test\r\nx-tier: {tier}\r\n\r\n");
        raw(proxy.address()).send(head).response().status()
    };
    assert_eq!([ask("gold"), ask("free"), ask("gold")], [200, 200, 429]);
    assert_eq!((one.count(), other.count()), (2, 0), "the route brings its upstream");
}

#[tokio::test]
async fn a_host_that_a_plugin_sets_stands_however_the_client_said_its_own() {
    let (one, other) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let host = guest.header(0, "host", "tenant.test");
    let guest = guest.hook("request_head", &format!("{host} (i32.const 0)"));
    let proxy = with(&guest, &one, &other).start();
    for client in &mut [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await] {
        assert_eq!(client.send(request("GET", "/x").body(Body::empty()).unwrap()).await.status, 200);
        assert_eq!(one.last().host, "tenant.test");
    }
    let answer = raw(proxy.address()).send("GET http://a.test/x HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
    assert_eq!((answer.status(), one.last().host.as_str()), (200, "tenant.test"));
}
