//! Hooks that wait: for the clock, and for answers of other services. What they hold up, and what they do not.
//! It knows nothing of what a plugin could want to know there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use tidegate_tests::{
    Body, Connection, Guest, Origin, PATIENCE, ProxyBuilder, RawOrigin, collector, eventually, get, nowhere, origin,
    proxy, raise_descriptors, raw, raw_origin, request,
};

/// `side` is for call-outs.
fn with(guest: &Guest, origin: &Origin, side: std::net::SocketAddr) -> ProxyBuilder {
    proxy()
        .config(ROUTES)
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, side: {{ endpoints: [\"{side}\"], timeouts: {{ head: 15s }} }} }}",
            origin.address()
        ))
        .file("p.wasm", guest.module())
}

/// `/plain/..` passes no plugin, everything else passes `p`.
const ROUTES: &str = "routes:\n  - { name: plain, match: { path: \"/plain/{*rest}\" }, upstream: app }\n  \
    - { name: app, upstream: app, plugins: [p], timeout: 20s }";
const PLUGIN: &str = "plugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }";

#[tokio::test]
async fn a_thousand_wait_in_one_instance_and_others_do_not() {
    raise_descriptors();
    // Over HTTP/2, so that the thousand need not connect at the same moment.
    let (origin, side) = (origin().start(), origin().http2().start());
    let mut guest = Guest::new();
    let ask = guest.call_out("side", "/slow/4000", 15_000);
    // The slots of those who wait are all of one instance, which counts them.
    let guest = guest
        .hook(
            "request_head",
            &format!("{ask} (global.set $seen (i32.add (global.get $seen) (i32.const 1))) (i32.const 1)"),
        )
        .hook(
            "resume",
            "(if (i32.ne (call $answer_status (local.get $ticket)) (i32.const 200)) (then unreachable))
             (if (i32.lt_u (global.get $seen) (i32.const 1000)) (then unreachable)) (i32.const 0)",
        );
    let proxy = proxy()
        .config("workers: 1")
        .config(ROUTES)
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ connect: 15s }} }}, side: {{ endpoints: [\"{}\"], protocol: http2, timeouts: {{ connect: 15s, head: 15s }} }} }}",
            origin.address(),
            side.address()
        ))
        .config("plugins: { p: { file: p.wasm, on_failure: closed, budget: { call_outs: 1000, deadline: 1s } } }")
        .file("p.wasm", guest.module())
        .start();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let connection = Connection::http2(proxy.address()).await;
        for _ in 0..100 {
            let mut stream = connection.beside();
            waiting.push(tokio::spawn(async move { stream.get("/x").await.status }));
        }
    }
    let other = tokio::task::spawn_blocking({
        let (address, asked) = (proxy.address(), Arc::new(side));
        move || {
            eventually("all of them wait", || asked.count() == 1000);
            let begun = Instant::now();
            let answer = raw(address).send("GET /plain/x HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
            (answer.status(), begun.elapsed(), asked)
        }
    });
    let (status, took, _asked) = other.await.unwrap();
    assert!(waiting.iter().all(|task| !task.is_finished()), "they still wait");
    assert_eq!(status, 200);
    assert!(took < Duration::from_secs(1), "{took:?}");
    for task in waiting {
        assert_eq!(task.await.unwrap(), 200);
    }
    let ok = [("plugin", "p"), ("upstream", "side"), ("outcome", "ok")];
    proxy.wait_for_metric("tidegate_plugin_call_outs_total", &ok, 1000.0);
}

#[test]
fn a_client_that_leaves_takes_its_call_out_with_it() {
    let origin = origin().start();
    let (asked, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let side = raw_origin({
        let (asked, cut) = (Arc::clone(&asked), Arc::clone(&cut));
        move |_, connection| {
            if connection.head().is_some_and(|head| head.contains("/hang")) {
                asked.store(true, Ordering::SeqCst);
                // Nothing more comes but the end.
                cut.store(connection.head().is_none(), Ordering::SeqCst);
            }
        }
    });
    let mut guest = Guest::new();
    let ask = guest.call_out("side", "/hang", 60_000);
    // The slot of an exchange that is over is given again.
    let guest = guest
        .hook("request_head", &format!("(if (local.get $slot) (then unreachable)) {ask} (i32.const 1)"))
        .hook("resume", "unreachable");
    let proxy = with(&guest, &origin, side.address()).config("workers: 1").config(PLUGIN).start();
    for number in 1..=2 {
        asked.store(false, Ordering::SeqCst);
        cut.store(false, Ordering::SeqCst);
        let mut client = raw(proxy.address());
        client.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        eventually("the call-out", || asked.load(Ordering::SeqCst));
        client.reset();
        eventually("its end", || cut.load(Ordering::SeqCst));
        let line = proxy.wait_for_log(number).remove(number - 1);
        assert_eq!(line["error"]["reason"], "client_closed", "{line}");
    }
    let traps = [("plugin", "p"), ("hook", "request_head"), ("outcome", "trap")];
    assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &traps), 0.0);
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_call_out_is_a_span_of_its_exchange_and_says_so_upstream() {
    let (origin, side, collector) = (origin().start(), origin().start(), collector());
    let mut guest = Guest::new();
    let ask = guest.call_out("side", "/status/404?secret=1", 0);
    let guest = guest.hook("request_head", &format!("{ask} (i32.const 1)")).hook("resume", "(i32.const 0)");
    let proxy = with(&guest, &origin, side.address())
        .config(PLUGIN)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        ))
        .start();
    assert_eq!(get(proxy.address(), "/x").await.status, 200);
    eventually("three spans", || collector.spans().len() == 3);
    let spans = collector.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    let call = spans.iter().find(|span| span.attributes.contains_key("tidegate.plugin")).unwrap();
    assert_eq!((call.kind, &call.parent_id, call.name.as_str()), (3, &server.span_id, "GET"));
    for (key, value) in [
        ("tidegate.plugin", "p"),
        ("tidegate.upstream", "side"),
        ("server.address", "127.0.0.1"),
        ("url.path", "/status/404"),
        ("http.response.status_code", "404"),
        ("error.type", "404"),
    ] {
        assert_eq!(call.attributes[key], value, "{key}");
    }
    let (asked, sent) = (side.last(), origin.last());
    let parent = asked.header("traceparent");
    assert_eq!(parent.split('-').nth(1), sent.header("traceparent").split('-').nth(1), "one trace");
    assert_eq!(parent.split('-').nth(2), Some(call.span_id.as_str()));
    assert_eq!(asked.header("x-request-id"), sent.header("x-request-id"));
    assert_eq!(asked.host, side.address().to_string());
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_answer_too() {
    let (origin, large) = (origin().start(), origin().start());
    for (path, side, reason) in [
        ("/x", nowhere(), "connect_failed"),
        ("/bytes/1048577", large.address(), "upstream_body_too_large"),
        ("/hang", large.address(), "timeout"),
    ] {
        let mut guest = Guest::new();
        let ask = guest.call_out("side", path, 500);
        let name = guest.bytes("x-why");
        let guest = guest.hook("request_head", &format!("{ask} (i32.const 1)")).hook(
            "resume",
            &format!(
                "(local $length i32)
                 (if (i32.ne (call $answer_status (local.get $ticket)) (i32.const -7)) (then unreachable))
                 (local.set $length (call $answer_read (local.get $ticket) (i32.const 2) (i32.const 60000) (i32.const 100)))
                 (drop (call $header_set (i32.const 0) {name} (i32.const 60000) (local.get $length))) (i32.const 0)"
            ),
        );
        let proxy = with(&guest, &origin, side).config(PLUGIN).start();
        assert_eq!(get(proxy.address(), "/x").await.status, 200);
        assert_eq!(origin.last().header("x-why"), reason);
        let failed = [("plugin", "p"), ("upstream", "side"), ("outcome", "failed")];
        proxy.wait_for_metric("tidegate_plugin_call_outs_total", &failed, 1.0);
    }
}

#[tokio::test]
async fn every_hook_can_wait() {
    let origin = origin().start();
    let guest = Guest::new();
    let sleep = "(drop (call $sleep (i64.const 20))) (i32.const 1)";
    let every = guest.call("tick_every", "(i64.const 100)");
    let mut guest = guest.hook("configure", &format!("{every} (i32.const 0)")).hook("resume", "(i32.const 0)");
    let hooks = [
        "request_head",
        "request_body",
        "request_trailers",
        "upstream_chosen",
        "upstream_error",
        "retry",
        "response_head",
        "response_body",
        "response_trailers",
        "tick",
    ];
    for hook in hooks {
        guest = guest.hook(hook, sleep);
    }
    let guest = guest.hook("log", "");
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\", \"{}\"] }} }}", nowhere(), origin.address()))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    // One of them meets the endpoint that is not there first, and is tried once more.
    for _ in 0..3 {
        let (feed, body) = Body::fed(1);
        let mut client = Connection::http1(proxy.address()).await;
        let sending = tokio::spawn(async move {
            assert!(feed.send("first").await && feed.send("second").await);
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", HeaderValue::from_static("abc"));
            assert!(feed.trailers(trailers).await);
        });
        let asked = request("POST", "/trailers").header("te", "trailers").header("trailer", "x-checksum");
        let answer = client.send(asked.body(body).unwrap()).await;
        sending.await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "with trailers"), "{:?}", answer.headers);
        assert_eq!(answer.trailers.unwrap()["x-checksum"], "abc");
    }
    for hook in hooks {
        let of = |outcome| [("plugin", "p"), ("hook", hook), ("outcome", outcome)];
        let count = |outcome| proxy.scrape().value("tidegate_plugin_calls_total", &of(outcome));
        eventually(hook, || count("pending") >= 1.0 && count("ok") >= 1.0);
        assert_eq!(count("trap"), 0.0, "{hook}");
    }
    eventually("both workers' logs", || proxy.log_lines().len() == 3);
}

#[tokio::test]
async fn a_body_that_is_held_waits_with_its_hook_and_can_be_changed_after_it() {
    let (origin, side) = (origin().start(), origin().start());
    for body in [0, 1] {
        let mut guest = Guest::new();
        let ask = guest.call_out("side", "/slow/50", 0);
        let text = guest.bytes("as the other said");
        let header = guest.header(body, "x-asked", "yes");
        let hook = if body == 0 { "request_body" } else { "response_body" };
        let guest = guest
            .hook(
                "configure",
                &format!("(call $body_mode (i32.const {body}) (i32.const 3) (i64.const 1000) (i32.const 1))"),
            )
            .hook(hook, &format!("{ask} (i32.const 1)"))
            .hook("resume", &format!("{header} (call $body_replace {text})"));
        let proxy = with(&guest, &origin, side.address()).config(PLUGIN).start();
        for mut client in [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await] {
            let answer = client.send(request("POST", "/x").body(Body::from("as sent")).unwrap()).await;
            let (sent, seen) = (origin.last(), &answer.body[..]);
            let (changed, asked) = match body {
                0 => (&sent.body[..], sent.header("x-asked")),
                _ => (seen, answer.header("x-asked").to_owned()),
            };
            assert_eq!((answer.status, changed, asked.as_str()), (200, &b"as the other said"[..], "yes"));
        }
    }
}

#[tokio::test]
async fn one_hook_of_an_exchange_waits_at_a_time() {
    let origin = origin().start();
    // The answer comes while the hook about the request's body still waits; the hook about the answer has its turn after it.
    let mut guest = Guest::new();
    let header = guest.header(1, "x-late", "yes");
    let guest = guest
        .hook("request_body", "(global.set $seen (i32.const 1)) (drop (call $sleep (i64.const 300))) (i32.const 1)")
        .hook("resume", "(global.set $seen (i32.const 0)) (i32.const 0)")
        .hook("response_head", &format!("(if (global.get $seen) (then unreachable)) {header} (i32.const 0)"));
    let proxy = with(&guest, &origin, nowhere()).config("workers: 1").config(PLUGIN).start();
    let (feed, body) = Body::fed(1);
    assert!(feed.send("a piece").await);
    let mut client = Connection::http2(proxy.address()).await;
    let response = client.begin(request("POST", "/echo").body(body).unwrap()).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["x-late"]),
        (http::StatusCode::OK, &HeaderValue::from_static("yes"))
    );
    drop(feed);
    let pending = [("plugin", "p"), ("hook", "request_body"), ("outcome", "pending")];
    assert!(proxy.scrape().value("tidegate_plugin_calls_total", &pending) >= 1.0);
}

#[tokio::test]
async fn the_deadline_of_the_exchange_ends_a_wait() {
    let origin = origin().start();
    let guest = Guest::new()
        .hook("request_head", "(drop (call $sleep (i64.const 60000))) (i32.const 1)")
        .hook("response_head", "(i32.const 0)")
        .hook("resume", "unreachable");
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 200ms }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    let begun = Instant::now();
    let answer = get(proxy.address(), "/x").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(origin.count(), 0);
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "timeout");
}

#[tokio::test]
async fn who_waits_in_a_lost_instance_is_told_at_once_and_the_log_says_how_many() {
    let origin = origin().start();
    // Two wait, the third traps.
    let guest = Guest::new()
        .hook(
            "request_head",
            "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
             (if (i32.eq (global.get $seen) (i32.const 3)) (then unreachable))
             (drop (call $sleep (i64.const 60000))) (i32.const 1)",
        )
        .hook("resume", "(i32.const 0)");
    let proxy = with(&guest, &origin, nowhere()).config(PLUGIN).config("workers: 1").start();
    let address = proxy.address();
    let mut waiting = [raw(address), raw(address)];
    for client in &mut waiting {
        client.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
    }
    let pending = [("plugin", "p"), ("hook", "request_head"), ("outcome", "pending")];
    proxy.wait_for_metric("tidegate_plugin_calls_total", &pending, 2.0);
    assert_eq!(get(address, "/x").await.reason(), "plugin_trap");
    let begun = Instant::now();
    for mut lost in waiting {
        assert_eq!(lost.message().unwrap().status(), 500);
    }
    assert!(begun.elapsed() < PATIENCE / 2, "not when the route's time is over: {:?}", begun.elapsed());
    let traps = [("plugin", "p"), ("hook", "request_head"), ("outcome", "trap")];
    proxy.wait_for_metric("tidegate_plugin_calls_total", &traps, 3.0);
    let said = proxy.wait_for_said(&["plugin failed"]);
    assert!(said.len() == 1 && said[0]["lost"] == 2, "{said:?}");
}

#[tokio::test]
async fn a_deadline_that_a_plugin_uses_up_says_nothing_of_the_upstream() {
    let origin = origin().start();
    let guest = Guest::new().hook("upstream_chosen", "(drop (call $sleep (i64.const 60000))) (i32.const 1)");
    let guest = guest.hook("resume", "unreachable");
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 100ms }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 1 }} }} }}",
            origin.address()
        ))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    for number in 1..=3 {
        assert_eq!(get(proxy.address(), "/x").await.reason(), "timeout");
        let line = proxy.wait_for_log(number).remove(number - 1);
        assert_eq!(line["attempts"], 0, "{line}");
    }
    assert_eq!(proxy.scrape().value("tidegate_breaker_state", &[("upstream", "app")]), 0.0);
}

/// A service whose first connection is answered when it is said, and every other at once.
fn held() -> (RawOrigin, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let service = raw_origin(move |number, connection| {
        while connection.head().is_some() {
            if number == 0 {
                eventually("the first may be answered", || released.load(Ordering::SeqCst));
            }
            connection.send("HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    (service, release)
}

#[test]
fn who_waits_in_an_instance_that_is_lost_meets_a_fault() {
    for on_failure in ["open", "closed"] {
        let (origin, (side, release)) = (origin().start(), held());
        let mut guest = Guest::new();
        let ask = guest.call_out("side", "/x", 0);
        let guest = guest
            .hook("request_head", &format!("{ask} (i32.const 1)"))
            .hook("resume", "(i32.const 0)")
            .hook("response_head", "unreachable");
        let proxy = with(&guest, &origin, side.address())
            .config("workers: 1")
            .config(format!(
                "plugins: {{ p: {{ file: p.wasm, on_failure: {on_failure}, budget: {{ deadline: 5s }} }} }}"
            ))
            .start();
        let ask = || {
            let mut client = raw(proxy.address());
            client.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
            client
        };
        let mut first = ask();
        eventually("the first waits", || side.connections() == 1);
        let status = if on_failure == "open" { 200 } else { 500 };
        // What the second does costs the instance in which the first waits.
        assert_eq!(ask().response().status(), status);
        // It is told at once, and not when its answer comes.
        assert_eq!(first.response().status(), status, "{on_failure}");
        release.store(true, Ordering::SeqCst);
        let traps = [("plugin", "p"), ("hook", "request_head"), ("outcome", "trap")];
        assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &traps), 1.0, "{on_failure}");
        // Where it fails closed it ended there; else it went on, and its own answer met the trap.
        assert_eq!(origin.count(), if on_failure == "open" { 2 } else { 1 });
    }
}

#[test]
fn who_waits_during_a_reload_is_resumed_in_the_generation_that_it_began_with() {
    let (origin, (side, release)) = (origin().start(), held());
    let generation = |name: &str| {
        let mut guest = Guest::new();
        let ask = guest.call_out("side", "/x", 0);
        let header = guest.header(0, "x-generation", name);
        guest
            .hook("request_head", &format!("(global.set $seen (i32.const 1)) {ask} (i32.const 1)"))
            .hook("resume", &format!("(if (i32.eqz (global.get $seen)) (then unreachable)) {header} (i32.const 0)"))
    };
    let proxy = with(&generation("one"), &origin, side.address()).config("workers: 1").config(PLUGIN).start();
    let generations = || proxy.scrape().value("tidegate_plugin_generations", &[("plugin", "p")]);
    let ask = || {
        let mut client = raw(proxy.address());
        client.send("GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        client
    };
    let mut first = ask();
    eventually("the first waits", || side.connections() == 1);
    proxy.write("p.wasm", generation("two").module());
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    assert_eq!((ask().response().status(), origin.last().header("x-generation").as_str()), (200, "two"));
    assert_eq!(generations(), 2.0);
    release.store(true, Ordering::SeqCst);
    assert_eq!((first.response().status(), origin.last().header("x-generation").as_str()), (200, "one"));
    eventually("the old generation is gone", || generations() == 1.0);
}

#[tokio::test]
async fn a_body_that_a_plugin_holds_back_until_the_deadline_says_nothing_of_the_upstream() {
    let origin = origin().start();
    let guest = Guest::new().hook("request_body", "(drop (call $sleep (i64.const 60000))) (i32.const 1)");
    let guest = guest.hook("resume", "unreachable");
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 200ms }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 1 }} }} }}",
            origin.address()
        ))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    let mut client = Connection::http2(proxy.address()).await;
    for _ in 0..3 {
        // The client has sent all of it; the upstream has not got any.
        let answer = client.send(request("POST", "/x").body(Body::from("all of it")).unwrap()).await;
        assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"));
    }
    assert_eq!(proxy.scrape().value("tidegate_breaker_state", &[("upstream", "app")]), 0.0);
}

#[tokio::test]
async fn response_hooks_see_the_answer_although_a_hook_of_the_request_still_waited() {
    const WAIT: &str = "(drop (call $sleep (i64.const 60000))) (i32.const 1)";
    let origin = origin().start();
    for (head, body) in [(WAIT, "(i32.const 0)"), ("(i32.const 0)", WAIT)] {
        let mut guest = Guest::new();
        let mark = guest.header(1, "x-seen", "yes");
        let guest = guest
            .hook("request_head", head)
            .hook("request_body", body)
            .hook("response_head", &format!("{mark} (i32.const 0)"))
            .hook("resume", "unreachable");
        let proxy = proxy()
            .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 200ms }]")
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
            .config(PLUGIN)
            .file("p.wasm", guest.module())
            .start();
        for mut client in [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await] {
            let answer = client.send(request("POST", "/x").body(Body::from("a body")).unwrap()).await;
            assert_eq!((answer.status, answer.reason().as_str(), answer.header("x-seen")), (504, "timeout", "yes"));
        }
    }
}

#[tokio::test]
async fn the_deadline_ends_a_hook_that_waits_in_the_middle_of_a_response() {
    let origin = origin().start();
    let guest = Guest::new()
        .hook("response_body", "(drop (call $sleep (i64.const 60000))) (i32.const 1)")
        .hook("resume", "unreachable");
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 300ms }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    let mut client = Connection::http1(proxy.address()).await;
    let begun = Instant::now();
    let mut response = client.begin(request("GET", "/bytes/1000").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::OK, "the head was out");
    assert!(http_body_util::BodyExt::frame(response.body_mut()).await.unwrap().is_err());
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "timeout");
}

#[tokio::test]
async fn a_piece_that_comes_while_another_hook_waits_goes_on_after_it() {
    // Over HTTP/2, where nothing but the body itself has it asked for again.
    let origin = origin().http2().start();
    let guest = Guest::new()
        .hook("request_body", "(i32.const 0)")
        .hook("response_head", "(drop (call $sleep (i64.const 500))) (i32.const 1)")
        .hook("resume", "(i32.const 0)");
    let proxy = proxy()
        .config("workers: 1")
        .config("routes: [{ name: app, upstream: app, plugins: [p], timeout: 20s }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address()))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    let mut client = Connection::http2(proxy.address()).await;
    let (feed, body) = Body::fed(1);
    assert!(feed.send("one").await);
    let answer = tokio::spawn(async move { client.send(request("POST", "/echo").body(body).unwrap()).await });
    let pending = [("plugin", "p"), ("hook", "response_head"), ("outcome", "pending")];
    while proxy.scrape().value("tidegate_plugin_calls_total", &pending) < 1.0 {
        tokio::task::yield_now().await;
    }
    assert!(feed.send("two").await);
    drop(feed);
    assert_eq!(answer.await.unwrap().text(), "onetwo");
}

#[tokio::test]
async fn call_outs_that_fail_open_the_breaker_of_their_upstream() {
    let (origin, side) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let ask = guest.call_out("side", "/slow/2000", 0);
    let guest = guest.hook("request_head", &format!("{ask} (i32.const 1)")).hook("resume", "(i32.const 0)");
    let proxy = proxy()
        .config(ROUTES)
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, side: {{ endpoints: [\"{}\"], timeouts: {{ head: 100ms }}, breaker: {{ consecutive_failures: 2, open_for: 30s }} }} }}",
            origin.address(),
            side.address()
        ))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    for _ in 0..3 {
        assert_eq!(get(proxy.address(), "/x").await.status, 200, "what the plugin makes of it is its own affair");
    }
    assert_eq!(proxy.scrape().value("tidegate_breaker_state", &[("upstream", "side")]), 1.0);
    assert_eq!((side.count(), origin.count()), (2, 3));
}

#[tokio::test]
async fn a_plugin_that_is_less_patient_than_an_upstream_may_be_says_nothing_of_it() {
    let (origin, side) = (origin().start(), origin().start());
    let mut guest = Guest::new();
    let ask = guest.call_out("side", "/slow/2000", 20);
    let guest = guest.hook("request_head", &format!("{ask} (i32.const 1)")).hook("resume", "(i32.const 0)");
    let proxy = proxy()
        .config(ROUTES)
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, side: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 2 }} }} }}",
            origin.address(),
            side.address()
        ))
        .config(PLUGIN)
        .file("p.wasm", guest.module())
        .start();
    for _ in 0..3 {
        assert_eq!(get(proxy.address(), "/x").await.status, 200);
    }
    assert_eq!(proxy.scrape().value("tidegate_breaker_state", &[("upstream", "side")]), 0.0);
}
