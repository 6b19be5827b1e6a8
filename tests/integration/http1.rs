//! HTTP/1.1 with clients: keep-alive, pipelining, the two ends of a connection.
//! Bodies, malformed heads and TLS have their own modules.

use std::time::Duration;

use tidegate_tests::{Connection, eventually, origin, proxy, raw, request};

#[tokio::test]
async fn many_requests_share_a_connection() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http1(proxy.address()).await;
    for number in 0..20 {
        let answer = client.get(&format!("/items/{number}?q=a%20b")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["path"], format!("/items/{number}?q=a%20b"));
    }
    assert_eq!(origin.count(), 20);
    // Each worker has its own pool, and one connection stays with one worker.
    assert_eq!(origin.connections(), 1);
    assert_eq!(proxy.scrape().value("tidegate_connections_total", &[("listener", "web")]), 1.0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
    client.send([one("/slow/50"), one("/status/404"), one("/bytes/5")].concat());
    assert_eq!(client.response().text(), "slow");
    assert_eq!(client.response().status(), 404);
    assert_eq!(client.response().text(), "xxxxx");
}

#[test]
fn a_client_that_says_close_is_closed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    let answer = client.send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").response();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.closed());
}

#[test]
fn http_1_0_is_served_and_closed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    let answer = client.send("GET /bytes/5 HTTP/1.0\r\nhost: a.test\r\n\r\n").response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "xxxxx"));
    assert!(client.closed());
    // A body whose length is not known cannot be in chunks for such a client: it ends with the connection.
    let mut client = raw(proxy.address());
    let answer = client.send("GET /stream/3 HTTP/1.0\r\nhost: a.test\r\n\r\n").response();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.body.len(), 3 * 1024);
}

#[test]
fn a_request_that_names_no_host_is_for_the_endpoint() {
    for protocol in ["http1", "http2"] {
        let origin = if protocol == "http2" { origin().http2() } else { origin() }.start();
        let proxy = proxy()
            .config("routes: [{ name: app, upstream: app }]")
            .config(format!(
                "upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol}, breaker: {{ consecutive_failures: 1 }} }} }}",
                origin.address()
            ))
            .start();
        for _ in 0..2 {
            let answer = raw(proxy.address()).send("GET /bytes/5 HTTP/1.0\r\n\r\n").response();
            assert_eq!((answer.status(), answer.text().as_str()), (200, "xxxxx"), "{protocol}");
            assert_eq!(origin.last().host, origin.address().to_string(), "{protocol}");
            assert!(!origin.last().has("x-forwarded-host"));
        }
    }
}

#[test]
fn a_client_that_closes_its_half_has_left() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    // As other proxies have it: nobody waits for an answer on such a connection, and the upstream is freed.
    client.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    // One that ends in the same moment as its request never became an exchange.
    eventually("it is under way", || origin.count() == 1);
    client.finish();
    assert!(client.closed());
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "client_closed");
}

#[test]
fn an_absolute_target_names_the_host() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let answer = raw(proxy.address()).send("GET http://a.test/x?y HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
    assert_eq!(answer.status(), 200);
    assert_eq!((origin.last().path.as_str(), origin.last().host.as_str()), ("/x?y", "a.test"));
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_upstream() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("the request is at the origin", || origin.count() == 1);
    drop(client);
    let log = proxy.wait_for_log(1);
    assert_eq!(log[0]["error"]["reason"], "client_closed");
    assert_eq!(log[0]["error"]["source"], "client");
    proxy.wait_for_metric("http_server_active_requests", &[], 0.0);
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_over() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", idle_timeout: 200ms }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    let mut client = raw(proxy.address());
    assert_eq!(client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    assert!(client.closed());
    // The first request has time to come.
    let mut client = raw(proxy.address());
    assert!(client.silent_for(Duration::from_millis(20)));
    assert_eq!(client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
}

#[test]
fn connections_beyond_the_limit_are_refused_and_counted() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", max_connections: 2 }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    let one = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let (mut first, mut second) = (raw(proxy.address()), raw(proxy.address()));
    assert_eq!(first.send(one).response().status(), 200);
    assert_eq!(second.send(one).response().status(), 200);
    let mut third = raw(proxy.address());
    third.send(one);
    assert!(third.closed());
    let rejected = [("listener", "web"), ("reason", "limit")];
    proxy.wait_for_metric("tidegate_connections_rejected_total", &rejected, 1.0);
    drop(first);
    eventually("a place is free again", || {
        raw(proxy.address()).send(one).head().is_some_and(|head| head.contains(" 200 "))
    });
}

#[tokio::test]
async fn methods_pass_as_they_are() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http1(proxy.address()).await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        let answer = client.send(request(method, "/").body(tidegate_tests::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(origin.last().method, method);
    }
    // A method that no convention knows must not make a series of its own.
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 9.0);
    assert_eq!(scrape.value("http_server_request_duration_seconds_count", &[("http_request_method", "_OTHER")]), 2.0);
}
