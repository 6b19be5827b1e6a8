//! Several endpoints, kept connections, and the one retry on a connection that turned out dead.
//! Failures that are not of this kind are in `failures`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_tests::{
    Answer, Body, Connection, RawConnection, eventually, get, nowhere, origin, proxy, raw, raw_origin, request,
};

#[tokio::test]
async fn round_robin_by_weight() {
    let (first, second) = (origin().start(), origin().start());
    let proxy = proxy()
        .config("workers: 1\nroutes: [{ upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\", {{ address: \"{}\", weight: 2 }}] }} }}",
            first.address(),
            second.address()
        ))
        .start();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..30 {
        assert_eq!(client.get("/").await.status, 200);
    }
    assert_eq!((first.count(), second.count()), (10, 20));
}

#[tokio::test]
async fn an_upstream_over_http2_that_goes_and_comes_back() {
    let first = origin().http2().start();
    let address = first.address();
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{address}\"], protocol: http2 }} }}"))
        .start();
    let mut client = Connection::http2(proxy.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    // Within an answer: what was cut is not taken for whole.
    let cut = client.begin(request("GET", "/drip/5/60000").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(cut.status(), 200);
    first.stop();
    assert!(Answer::read(cut).await.is_err());
    let labels = [("source", "upstream"), ("reason", "upstream_body_incomplete")];
    proxy.wait_for_metric("tidegate_errors_total", &labels, 1.0);
    assert_eq!(client.get("/").await.status, 502);
    let second = origin().http2().at(address).start();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(second.count(), 1);
}

#[tokio::test]
async fn least_requests_avoids_the_busy_one() {
    let (first, second) = (origin().start(), origin().start());
    let proxy = proxy()
        .config("workers: 1\nroutes: [{ upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\", \"{}\"], balance: least_requests }} }}",
            first.address(),
            second.address()
        ))
        .start();
    let mut hanging = raw(proxy.address());
    hanging.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("one is busy", || first.count() + second.count() == 1);
    let busy = first.count();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let on_busy = if busy == 1 { first.count() - 1 } else { second.count() - 1 };
    assert!(on_busy <= 1, "{on_busy} requests went to the endpoint that was busy");
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_request_its_answer() {
    let alive = origin().start();
    let proxy = proxy()
        .config("workers: 1\nroutes: [{ upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [{{ address: \"{}\", weight: 9 }}, \"{}\"] }} }}",
            nowhere(),
            alive.address()
        ))
        .start();
    // It is picked first nearly always; the second try goes elsewhere.
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").await.status, 200);
    }
}

/// Answers one request on each connection, and closes it at the second: after it was read, without a word.
fn once_each(asked: Arc<AtomicUsize>) -> impl Fn(usize, &mut RawConnection) + Send + Sync {
    move |_, connection| {
        if connection.message().is_some() {
            asked.fetch_add(1, Ordering::SeqCst);
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        if connection.message().is_some() {
            asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn one_retry_when_a_kept_connection_was_dead() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = raw_origin(once_each(Arc::clone(&asked)));
    let proxy = proxy().config("workers: 1").upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    for number in 1..=5 {
        assert_eq!(client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200, "request {number}");
    }
    assert_eq!(origin.connections(), 5);
    let log = proxy.wait_for_log(5);
    assert_eq!(log[0]["attempts"], 1);
    assert!(log.iter().skip(1).all(|line| line["attempts"] == 2 && line["error"].is_null()), "{log:#?}");
    proxy.wait_for_metric("tidegate_retries_total", &[("upstream", "app")], 4.0);
}

#[test]
fn a_post_is_not_sent_twice() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = raw_origin(once_each(Arc::clone(&asked)));
    let proxy = proxy().config("workers: 1").upstream(origin.address()).start();
    let post = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(raw(proxy.address()).send(post).response().status(), 200);
    // The kept connection dies with the request on it: the origin may have acted on it.
    let answer = raw(proxy.address()).send(post).response();
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upstream_closed")));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn connections_are_kept_and_let_go() {
    let origin = origin().start();
    let proxy = proxy()
        .config("workers: 1\nroutes: [{ upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], pool: {{ idle_timeout: 200ms, idle_per_endpoint: 1 }} }} }}",
            origin.address()
        ))
        .start();
    let one = "GET /slow/50 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let mut clients: Vec<_> = (0..4).map(|_| raw(proxy.address())).collect();
    for client in &mut clients {
        client.send(one);
    }
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(origin.connections(), 4);
    let open = |count| proxy.wait_for_metric("http_client_open_connections", &[("tidegate_upstream", "app")], count);
    open(0.0);
    assert_eq!(raw(proxy.address()).send(one).response().status(), 200);
    assert_eq!(origin.connections(), 5);
}

#[test]
fn a_connection_that_is_old_is_not_used_again() {
    let origin = origin().start();
    let proxy = proxy()
        .config("workers: 1\nroutes: [{ upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"], pool: {{ lifetime: 1ms }} }} }}", origin.address()))
        .start();
    for _ in 0..3 {
        assert_eq!(raw(proxy.address()).send("GET /slow/5 HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn an_origin_that_says_close_is_not_kept() {
    let origin = raw_origin(|_, connection| {
        if connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    let proxy = proxy().config("workers: 1").upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    for _ in 0..3 {
        let answer = client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
        assert_eq!((answer.status(), answer.header("connection")), (200, None));
    }
    assert_eq!(origin.connections(), 3);
    assert!(proxy.wait_for_log(3).iter().all(|line| line["attempts"] == 1));
}
