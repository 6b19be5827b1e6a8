//! Rate limits: by whom they count, what they answer, and that every decision shows.
//! It never measures time: rates are so low that none is given back during a test.

use tidegate_tests::{Connection, Proxy, origin, proxy, raw};

fn start(origin: &tidegate_tests::Origin, routes: &str, limits: &str) -> Proxy {
    proxy()
        .config("listeners: [{ name: web, address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1] }]")
        .config(format!("routes: [{routes}]\nlimits: {{ {limits} }}"))
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start()
}

fn ask(proxy: &Proxy, path: &str, headers: &str) -> tidegate_tests::RawMessage {
    raw(proxy.address()).send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n")).response()
}

fn statuses(proxy: &Proxy, path: &str, headers: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| ask(proxy, path, headers).status()).collect()
}

#[test]
fn a_global_limit_lets_its_burst_through_and_no_more() {
    let origin = origin().start();
    let proxy =
        start(&origin, "{ name: app, upstream: app, limits: [all] }", "all: { key: global, rate: 1/h, burst: 5 }");
    assert_eq!(statuses(&proxy, "/", "", 5), [200; 5]);
    let answer = ask(&proxy, "/", "");
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (429, Some("rate_limited")));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    assert_eq!(statuses(&proxy, "/", "", 4), [429; 4]);
    assert_eq!(origin.count(), 5);
    let scrape =
        proxy.wait_for_metric("tidegate_limit_decisions_total", &[("limit", "all"), ("decision", "limited")], 5.0);
    assert_eq!(scrape.value("tidegate_limit_decisions_total", &[("limit", "all"), ("decision", "allowed")]), 5.0);
    assert_eq!(
        scrape.value("tidegate_errors_total", &[("reason", "rate_limited"), ("source", "proxy"), ("route", "app")]),
        5.0
    );
    let log = proxy.wait_for_log(10);
    assert_eq!((&log[9]["status"], &log[9]["error"]["reason"]), (&429.into(), &"rate_limited".into()));
}

#[test]
fn without_a_burst_it_is_the_rate() {
    let origin = origin().start();
    let proxy = start(&origin, "{ upstream: app, limits: [all] }", "all: { key: global, rate: 3/h }");
    assert_eq!(statuses(&proxy, "/", "", 4), [200, 200, 200, 429]);
}

#[test]
fn routes_count_for_themselves() {
    let origin = origin().start();
    let routes = "{ name: a, match: { path_prefix: /a }, upstream: app, limits: [each] }, { name: b, upstream: app, limits: [each] }";
    let proxy = start(&origin, routes, "each: { key: route, rate: 1/h, burst: 2 }");
    assert_eq!(statuses(&proxy, "/a", "", 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, "/b", "", 3), [200, 200, 429]);
}

#[test]
fn client_addresses_count_for_themselves() {
    let origin = origin().start();
    let proxy =
        start(&origin, "{ upstream: app, limits: [each] }", "each: { key: client.address, rate: 1/h, burst: 2 }");
    let from = |address: &str| format!("x-forwarded-for: {address}\r\n");
    assert_eq!(statuses(&proxy, "/", &from("203.0.113.1"), 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, "/", &from("203.0.113.2"), 3), [200, 200, 429]);
    // One client has a whole /64.
    assert_eq!(statuses(&proxy, "/", &from("2001:db8::1"), 2), [200, 200]);
    assert_eq!(statuses(&proxy, "/", &from("2001:db8::ffff:1"), 1), [429]);
    assert_eq!(statuses(&proxy, "/", &from("2001:db8:0:1::1"), 2), [200, 200]);
    // The same address written as IPv6.
    assert_eq!(statuses(&proxy, "/", &from("::ffff:203.0.113.1"), 1), [429]);
}

#[test]
fn header_values_count_for_themselves() {
    let origin = origin().start();
    let proxy = start(
        &origin,
        "{ upstream: app, limits: [each] }",
        "each: { key: request_header.x-api-key, rate: 1/h, burst: 2 }",
    );
    assert_eq!(statuses(&proxy, "/", "x-api-key: a\r\n", 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, "/", "x-api-key: b\r\n", 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, "/", "", 3), [200, 200, 429]);
}

#[test]
fn every_limit_of_a_route_must_agree() {
    let origin = origin().start();
    let limits =
        "wide: { key: global, rate: 1/h, burst: 10 }, narrow: { key: request_header.x-user, rate: 1/h, burst: 2 }";
    let proxy = start(&origin, "{ upstream: app, limits: [wide, narrow] }", limits);
    assert_eq!(statuses(&proxy, "/", "x-user: a\r\n", 3), [200, 200, 429]);
    let scrape = proxy.wait_for_metric("tidegate_limit_decisions_total", &[("decision", "limited")], 1.0);
    assert_eq!(scrape.value("tidegate_limit_decisions_total", &[("limit", "narrow"), ("decision", "limited")]), 1.0);
}

#[tokio::test]
async fn all_workers_and_protocols_share_the_count() {
    let origin = origin().start();
    let proxy = start(&origin, "{ upstream: app, limits: [all] }", "all: { key: global, rate: 1/h, burst: 20 }");
    let mut clients = Vec::new();
    for number in 0..8 {
        let address = proxy.address();
        clients.push(tokio::spawn(async move {
            let mut client =
                if number % 2 == 0 { Connection::http1(address).await } else { Connection::http2(address).await };
            let mut passed = 0;
            for _ in 0..10 {
                passed += usize::from(client.get("/").await.status == 200);
            }
            passed
        }));
    }
    let mut passed = 0;
    for client in clients {
        passed += client.await.unwrap();
    }
    assert_eq!((passed, origin.count()), (20, 20));
}

#[test]
fn the_keys_that_are_remembered_are_bounded() {
    let origin = origin().start();
    let limit = "each: { key: request_header.x-api-key, rate: 1/h, burst: 1, max_keys: 100 }";
    let proxy = start(&origin, "{ upstream: app, limits: [each] }", limit);
    let mut client = raw(proxy.address());
    for number in 0..1_000 {
        let request = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx-api-key: {number}\r\n\r\n");
        assert_eq!(client.send(request).response().status(), 200);
    }
    let keys = [("limit", "each")];
    tidegate_tests::eventually("evictions show", || {
        proxy.scrape().value("tidegate_limit_evictions_total", &keys) >= 800.0
    });
    assert!(proxy.scrape().value("tidegate_limit_keys", &keys) <= 200.0);
    // The newest are still known.
    assert_eq!(statuses(&proxy, "/", "x-api-key: 999\r\n", 1), [429]);
}

#[test]
fn a_request_over_its_limit_reaches_no_plugin_and_no_later_limit() {
    let origin = origin().start();
    let deny = tidegate_tests::wasm(
        "(import \"tidegate_v1\" \"reply\" (func $reply (param i32 i32 i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1)
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (i32.const 2))",
    );
    let proxy = proxy()
        .file("deny.wasm", deny)
        .config("routes: [{ name: app, upstream: app, limits: [first, second], plugins: [deny] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("limits: { first: { key: global, rate: 1/h, burst: 2 }, second: { key: global, rate: 1/h, burst: 9 } }")
        .config("plugins: { deny: { file: deny.wasm } }")
        .start();
    assert_eq!(statuses(&proxy, "/", "", 4), [403, 403, 429, 429]);
    let scrape = proxy.wait_for_metric("tidegate_limit_decisions_total", &[("decision", "limited")], 2.0);
    assert_eq!(scrape.value("tidegate_limit_decisions_total", &[("limit", "second")]), 2.0);
    assert_eq!(scrape.value("tidegate_plugin_calls_total", &[("plugin", "deny"), ("hook", "request_head")]), 2.0);
}

#[test]
fn how_much_of_an_ipv6_address_counts_can_be_said() {
    let origin = origin().start();
    let limit = "each: { key: client.address, rate: 1/h, burst: 1, ipv6_prefix: 48 }";
    let proxy = start(&origin, "{ upstream: app, limits: [each] }", limit);
    let from = |address: &str| ask(&proxy, "/", &format!("x-forwarded-for: {address}\r\n")).status();
    assert_eq!((from("2001:db8:1:2::1"), from("2001:db8:1:3::1"), from("2001:db8:2::1")), (200, 429, 200));
    // IPv4 is not concerned.
    assert_eq!((from("203.0.113.1"), from("203.0.113.2")), (200, 200));
}
