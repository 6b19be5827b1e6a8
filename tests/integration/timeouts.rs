//! Everything that may take too long: connect, head, body, the whole exchange, the client itself.
//! It asserts what happens when time is over, never how exactly.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use tidegate_tests::{
    Answer, Authority, BlackHole, Body, Connection, Proxy, get, origin, proxy, raw, raw_origin, request,
};

fn start(address: std::net::SocketAddr, timeouts: &str, route: &str) -> Proxy {
    proxy()
        .config(format!("routes: [{{ name: app, upstream: app{route} }}]"))
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{address}\"], timeouts: {timeouts} }} }}"))
        .start()
}

fn counted(proxy: &Proxy, source: &str, reason: &str) {
    proxy.wait_for_metric("tidegate_errors_total", &[("source", source), ("reason", reason)], 1.0);
    let log = proxy.wait_for_log(1);
    assert_eq!((log[0]["error"]["source"].as_str(), log[0]["error"]["reason"].as_str()), (Some(source), Some(reason)));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ head: 200ms }", "");
    let answer = get(proxy.address(), "/hang").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_head_timeout"));
    counted(&proxy, "upstream", "upstream_head_timeout");
    // It is asked again, and on a connection that is not the hanging one.
    assert_eq!(get(proxy.address(), "/").await.status, 200);
}

#[test]
fn an_upstream_that_stops_within_its_body() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ idle: 200ms }", "");
    let mut client = raw(proxy.address());
    assert!(client.send("GET /stall HTTP/1.1\r\nhost: a.test\r\n\r\n").head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.to_end(), b"0123456789");
    counted(&proxy, "upstream", "upstream_body_timeout");
}

#[tokio::test]
async fn a_slow_but_steady_body_is_no_timeout() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ idle: 2s, head: 2s }", "");
    let answer = get(proxy.address(), "/drip/20/30").await;
    assert_eq!((answer.status, answer.body.len()), (200, 160));
}

#[tokio::test]
async fn an_upstream_over_http2_that_is_late() {
    for (path, timeouts, status, reason) in [
        ("/hang", "{ head: 200ms }", 504, "upstream_head_timeout"),
        ("/drip/5/60000", "{ idle: 200ms }", 200, "upstream_body_timeout"),
    ] {
        let origin = origin().http2().start();
        let proxy = start(origin.address(), &format!("{timeouts}, protocol: http2"), "");
        for http2 in [false, true] {
            let mut client = match http2 {
                true => Connection::http2(proxy.address()).await,
                false => Connection::http1(proxy.address()).await,
            };
            let answer = client.begin(request("GET", path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}, http2: {http2}");
            assert_eq!(Answer::read(answer).await.is_ok(), status == 504, "{path}: a body that was cut is not whole");
        }
        proxy.wait_for_metric("tidegate_errors_total", &[("source", "upstream"), ("reason", reason)], 2.0);
    }
}

#[tokio::test]
async fn a_client_over_http2_that_does_not_send_its_body() {
    for (listener, timeout, source, reason) in
        [("idle_timeout: 200ms", "30s", "client", "body_timeout"), ("idle_timeout: 30s", "200ms", "proxy", "timeout")]
    {
        let origin = origin().start();
        let proxy = proxy()
            .config(format!("listeners: [{{ name: web, address: \"127.0.0.1:0\", {listener} }}]"))
            .config(format!("defaults: {{ timeout: {timeout} }}"))
            .origin(&origin)
            .start();
        let mut client = Connection::http2(proxy.address()).await;
        let (feed, body) = Body::fed(1);
        feed.send("the beginning").await;
        let answer = client.send(request("PUT", "/").body(body).unwrap()).await;
        let status = if source == "client" { 408 } else { 504 };
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason));
        counted(&proxy, source, reason);
        drop(feed);
    }
}

#[tokio::test]
async fn the_whole_exchange_takes_too_long() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ head: 20s }", ", timeout: 200ms");
    let answer = get(proxy.address(), "/hang").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"));
    counted(&proxy, "proxy", "timeout");
}

#[test]
fn the_whole_exchange_takes_too_long_within_the_body() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ idle: 20s }", ", timeout: 300ms");
    let mut client = raw(proxy.address());
    assert!(
        client.send("GET /drip/500/20 HTTP/1.1\r\nhost: a.test\r\n\r\n").head().unwrap().starts_with("HTTP/1.1 200")
    );
    assert!(!client.to_end().ends_with(b"0\r\n\r\n"));
    counted(&proxy, "proxy", "timeout");
}

#[tokio::test]
async fn an_upstream_that_takes_no_connection() {
    let hole = BlackHole::new();
    let proxy = start(hole.address(), "{ connect: 200ms, head: 20s }", "");
    let answer = get(proxy.address(), "/").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "connect_timeout"));
    counted(&proxy, "upstream", "connect_timeout");
}

#[tokio::test]
async fn an_upstream_that_does_not_finish_its_handshake() {
    let authority = Authority::new();
    let origin = raw_origin(|_, connection| {
        connection.to_end();
    });
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ connect: 200ms }}, tls: {{ server_name: a.test, ca: {:?} }} }} }}",
            origin.address(),
            authority.file()
        ))
        .start();
    let answer = get(proxy.address(), "/").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "connect_timeout"));
    counted(&proxy, "upstream", "connect_timeout");
}

#[test]
fn a_client_that_does_not_send_its_body() {
    let origin = origin().start();
    let proxy = proxy()
        .config("listeners: [{ name: web, address: \"127.0.0.1:0\", idle_timeout: 300ms }]")
        .origin(&origin)
        .start();
    let mut client = raw(proxy.address());
    client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nhello");
    let answer = client.to_end();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    counted(&proxy, "client", "body_timeout");
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_of_a_body() {
    // The second speaks HTTP/2, and gives no more room than it must.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (protocol, greeting, reads) in [("http1", b"".as_slice(), false), ("http2", SETTINGS, true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting).unwrap();
            if reads {
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
            stream
        });
        let proxy = proxy()
            .config("routes: [{ name: app, upstream: app, timeout: off }]")
            .config(format!(
                "upstreams: {{ app: {{ endpoints: [\"{address}\"], protocol: {protocol}, timeouts: {{ idle: 300ms }} }} }}"
            ))
            .start();
        let mut client = Connection::http2(proxy.address()).await;
        let answer = client.send(request("PUT", "/").body(Body::Made(64 << 20)).unwrap()).await;
        assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_body_timeout"), "{protocol}");
        counted(&proxy, "upstream", "upstream_body_timeout");
        drop((client, proxy));
        drop(upstream.join().unwrap());
    }
}

#[tokio::test]
async fn a_slow_client_is_not_taken_for_an_upstream_that_takes_nothing() {
    for protocol in ["http1", "http2"] {
        let origin = if protocol == "http2" { origin().http2() } else { origin() }.start();
        let proxy = start(origin.address(), &format!("{{ idle: 500ms }}, protocol: {protocol}"), "");
        let mut client = Connection::http1(proxy.address()).await;
        let (feed, body) = Body::fed(1);
        let answer = client.send(request("PUT", "/").body(body).unwrap());
        let slowly = async {
            for _ in 0..2 {
                feed.send("a little").await;
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            drop(feed);
        };
        let (answer, ()) = tokio::join!(answer, slowly);
        assert_eq!(answer.status, 200, "{protocol}");
    }
}

#[test]
fn a_client_that_reads_slowly_has_no_more_time_than_any() {
    let origin = origin().start();
    let proxy = start(origin.address(), "{ idle: 60s }", ", timeout: 1s");
    let mut client = raw(proxy.address());
    client.send("GET /stream/200000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    std::thread::sleep(Duration::from_millis(1500));
    let read = client.to_end().len();
    assert!(read < 200_000 * 1024, "{read} bytes although the time was over");
    counted(&proxy, "proxy", "timeout");
}

#[tokio::test]
async fn many_slow_clients_do_not_hold_up_the_others() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut client = raw(proxy.address());
            match number % 3 {
                0 => client.send("GET / HTTP/1.1\r\nhost: a"),
                1 => client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nhello"),
                _ => client.send("GET /stream/100000 HTTP/1.1\r\nhost: a.test\r\n\r\n"),
            };
            client
        })
        .collect();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    drop(slow);
}
