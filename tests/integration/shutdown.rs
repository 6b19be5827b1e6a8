//! The end: on SIGTERM nothing new is taken, what is under way is finished, and telemetry is flushed.
//! It never asserts how long that took, only that it ended in order.

use tidegate_tests::{CollectorMode, Connection, collector, eventually, get, origin, proxy, raw, websocket};

#[test]
fn what_is_under_way_is_finished() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).start();
    let mut slow = raw(proxy.address());
    slow.send("GET /slow/500 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    let (address, mut idle) = (proxy.address(), raw(proxy.address()));
    assert_eq!(idle.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    proxy.signal("TERM");
    let answer = slow.response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "slow"));
    assert!(slow.closed() && idle.closed());
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(proxy.wait_for_log(2).len(), 2);
}

#[tokio::test]
async fn http2_clients_are_told_to_go_and_their_streams_finish() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    let slow = tokio::spawn(async move { client.get("/slow/500").await });
    while origin.count() < 2 {
        tokio::task::yield_now().await;
    }
    proxy.signal("TERM");
    assert_eq!(slow.await.unwrap().text(), "slow");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn what_does_not_finish_is_cut_at_the_deadline() {
    let origin = origin().start();
    let mut proxy = proxy().config("drain_timeout: 300ms").origin(&origin).start();
    let mut hanging = raw(proxy.address());
    hanging.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    assert_eq!(proxy.stop().code(), Some(0));
    hanging.to_end();
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "draining");
}

#[tokio::test]
async fn websockets_are_closed_at_the_deadline() {
    let origin = origin().start();
    let mut proxy = proxy().config("drain_timeout: 300ms").origin(&origin).start();
    let mut socket = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
    socket.send("hello").await;
    assert_eq!(socket.next().await.unwrap(), b"hello");
    proxy.signal("TERM");
    assert_eq!(socket.next().await, None);
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(proxy.wait_for_log(1).len(), 1);
}

#[tokio::test]
async fn every_span_and_point_leaves_before_the_end() {
    let (origin, collector) = (origin().start(), collector());
    let telemetry = format!(
        "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 1h }}, metrics: {{ interval: 1h }} }}",
        collector.endpoint()
    );
    let mut proxy = proxy().origin(&origin).config(telemetry).start();
    for _ in 0..100 {
        get(proxy.address(), "/").await;
    }
    assert_eq!(proxy.stop().code(), Some(0));
    assert_eq!(collector.spans().iter().filter(|span| span.kind == 2).count(), 100);
    assert_eq!(collector.value("http.server.request.duration", &[]), 100.0);
    assert_eq!(proxy.wait_for_log(100).len(), 100);
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_it_alive() {
    let (origin, collector) = (origin().start(), collector());
    collector.set_mode(CollectorMode::Hangs);
    let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"{}\", timeout: 1h }} }}", collector.endpoint());
    let mut proxy = proxy().origin(&origin).config(telemetry).start();
    get(proxy.address(), "/").await;
    assert_eq!(proxy.stop().code(), Some(0));
}

#[test]
fn while_it_drains_it_says_that_it_is_not_ready() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).start();
    let mut slow = raw(proxy.address());
    slow.send("GET /slow/1500 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    proxy.signal("TERM");
    eventually("readiness is taken back", || proxy.ask_admin("GET", "/readyz", "").status() == 503);
    assert_eq!(proxy.ask_admin("GET", "/healthz", "").status(), 200);
    assert_eq!(slow.response().status(), 200);
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn an_interrupt_ends_it_too() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).start();
    proxy.signal("INT");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_client_that_leaves_while_it_drains_left_by_itself() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).start();
    let mut hanging = raw(proxy.address());
    hanging.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    proxy.signal("TERM");
    eventually("it drains", || proxy.ask_admin("GET", "/readyz", "").status() == 503);
    hanging.reset();
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "client_closed");
}

#[test]
fn answers_of_our_own_say_that_the_connection_ends() {
    let origin = origin().start();
    let mut proxy = proxy()
        .config("routes: [{ upstream: app, timeout: 1s }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    let mut hanging = raw(proxy.address());
    hanging.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    proxy.signal("TERM");
    let answer = hanging.response();
    assert_eq!((answer.status(), answer.header("connection")), (504, Some("close")));
    assert!(hanging.closed());
    assert_eq!(proxy.wait().code(), Some(0));
}

#[tokio::test]
async fn a_load_balancer_has_time_to_notice() {
    let origin = origin().start();
    let mut proxy = proxy().config("drain_delay: 1h").origin(&origin).start();
    proxy.signal("TERM");
    eventually("readiness is taken back", || proxy.ask_admin("GET", "/readyz", "").status() == 503);
    // Who has not noticed yet is still served.
    assert_eq!(get(proxy.address(), "/").await.status, 200);
    // Told once more, it waits no longer.
    assert_eq!(proxy.stop().code(), Some(0));
}

#[test]
fn told_twice_it_does_not_wait() {
    let origin = origin().start();
    let mut proxy = proxy().config("drain_timeout: 1h").origin(&origin).start();
    let mut hanging = raw(proxy.address());
    hanging.send("GET /hang HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("it is under way", || origin.count() == 1);
    proxy.signal("TERM");
    eventually("it drains", || proxy.diagnostics().iter().any(|line| line["message"] == "draining"));
    // A reload is refused, and does not hang until the end.
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 422);
    assert_eq!(proxy.stop().code(), Some(0));
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "draining");
}
