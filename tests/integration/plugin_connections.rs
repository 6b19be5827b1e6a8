//! Plugins that hear of connections: one that opens can be refused, one that ends is told of.
//! It knows nothing of what goes over them.

use tidegate_tests::{Authority, Connection, Guest, Origin, ProxyBuilder, eventually, get, origin, proxy, raw};

fn with(guest: &Guest, origin: &Origin) -> ProxyBuilder {
    proxy()
        .origin(origin)
        .config("plugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }")
        .config("workers: 1")
        .file("p.wasm", guest.module())
}

const LISTENERS: &str = "listeners:\n  - { name: web, address: \"127.0.0.1:0\", plugins: [p] }\n  - { name: free, address: \"127.0.0.1:0\" }";

#[tokio::test]
async fn a_connection_is_refused_when_it_opens() {
    let origin = origin().start();
    // Every second one.
    let guest = Guest::new().hook(
        "connection_open",
        "(global.set $seen (i32.xor (global.get $seen) (i32.const 1)))
         (if (result i32) (global.get $seen) (then (i32.const 0)) (else (i32.const 4)))",
    );
    let proxy = with(&guest, &origin).config(LISTENERS).start();
    for _ in 0..3 {
        assert_eq!(get(proxy.address(), "/x").await.status, 200);
        let mut refused = raw(proxy.address());
        refused.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(refused.head(), None, "closed without an answer");
    }
    assert_eq!(get(proxy.listener("free"), "/x").await.status, 200);
    let rejected = [("listener", "web"), ("reason", "plugin")];
    proxy.wait_for_metric("tidegate_connections_rejected_total", &rejected, 3.0);
    assert_eq!(origin.count(), 4);
}

#[tokio::test]
async fn a_listener_with_a_plugin_that_hears_of_no_connection_is_said() {
    let origin = origin().start();
    let deaf = "is listed at a listener, but has no hook for connections";
    let proxy = with(&Guest::new().hook("request_head", "(i32.const 0)"), &origin).config(LISTENERS).start();
    assert!(proxy.stderr_text().contains(deaf), "{}", proxy.stderr_text());
    let proxy = with(&Guest::new().hook("connection_open", "(i32.const 0)"), &origin).config(LISTENERS).start();
    assert!(!proxy.stderr_text().contains(deaf), "{}", proxy.stderr_text());
}

#[tokio::test]
async fn a_hook_may_take_its_time_and_one_that_fails_refuses() {
    let origin = origin().start();
    let guest = Guest::new()
        .hook("connection_open", "(drop (call $sleep (i64.const 50))) (i32.const 1)")
        .hook("resume", "(i32.const 0)");
    let proxy = with(&guest, &origin).config(LISTENERS).start();
    assert_eq!(get(proxy.address(), "/x").await.status, 200);
    let pending = [("plugin", "p"), ("hook", "connection_open"), ("outcome", "pending")];
    proxy.wait_for_metric("tidegate_plugin_calls_total", &pending, 1.0);

    let failing = Guest::new().hook("connection_open", "(i32.const 3)");
    let proxy = with(&failing, &origin).config(LISTENERS).start();
    assert_eq!(raw(proxy.address()).send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n").head(), None);
}

#[tokio::test]
async fn one_that_waits_too_long_is_refused() {
    let origin = origin().start();
    let guest = Guest::new()
        .hook("connection_open", "(drop (call $sleep (i64.const 60000))) (i32.const 1)")
        .hook("resume", "(i32.const 0)");
    let listener = "listeners: [{ name: web, address: \"127.0.0.1:0\", plugins: [p], head: { timeout: 200ms } }]";
    let proxy = with(&guest, &origin).config(listener).start();
    assert_eq!(raw(proxy.address()).send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n").head(), None);
    proxy.wait_for_metric("tidegate_connections_rejected_total", &[("listener", "web"), ("reason", "plugin")], 1.0);
}

#[test]
fn the_end_of_a_connection_is_told_with_what_went_over_it() {
    let origin = origin().start();
    // Says so with a line for each exchange: the slot is that of `connection_open`.
    let mut guest = Guest::new();
    let line = guest.bytes("an exchange");
    let guest = guest.hook("connection_open", "(global.set $seen (local.get $slot)) (i32.const 0)").hook(
        "connection_close",
        &format!(
            "(local $left i64)
                 (if (i32.ne (global.get $seen) (local.get $slot)) (then unreachable))
                 (local.set $left (call $number_read (i32.const 15)))
                 (block $over (loop $next (br_if $over (i64.eqz (local.get $left)))
                    (drop (call $log_line (i32.const 1) {line}))
                    (local.set $left (i64.sub (local.get $left) (i64.const 1))) (br $next)))
                 (i32.const 0)"
        ),
    );
    let proxy = with(&guest, &origin).config(LISTENERS).start();
    let mut client = raw(proxy.address());
    for _ in 0..3 {
        assert_eq!(client.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    }
    let lines = || proxy.stderr_text().matches("an exchange").count();
    assert_eq!(lines(), 0, "it is open");
    drop(client);
    eventually("three lines", || lines() == 3);
}

#[tokio::test]
async fn over_tls_it_is_asked_after_the_handshake() {
    let (origin, authority) = (origin().start(), Authority::new());
    let identity = authority.identity(&["localhost"]);
    let guest = Guest::new().hook("connection_open", "(i32.const 4)");
    let proxy = with(&guest, &origin)
        .config(format!(
            "listeners: [{{ name: web, address: \"127.0.0.1:0\", plugins: [p], tls: {{ certificates: [{{ certificate: {:?}, key: {:?} }}] }} }}]",
            identity.certificate,
            identity.key
        ))
        .start();
    let refused = Connection::tls(proxy.address(), "localhost", authority.client(&["http/1.1"])).await;
    // TLS itself went well; then there is nothing more.
    if let Ok(mut connection) = refused {
        let asked = tidegate_tests::request("GET", "/x").body(tidegate_tests::Body::empty()).unwrap();
        assert!(connection.begin(asked).await.is_err());
    }
    proxy.wait_for_metric("tidegate_connections_rejected_total", &[("listener", "web"), ("reason", "plugin")], 1.0);
    assert_eq!(proxy.scrape().value("tidegate_connections_rejected_total", &[("reason", "tls")]), 0.0);
}
