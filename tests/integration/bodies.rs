//! Bodies in both directions: lengths, chunks, trailers, interim answers, back-pressure, size.
//! Malformed ones are in `malformed` and `failures`.

use std::time::Duration;

use http::HeaderMap;
use http_body_util::BodyExt;
use tidegate_tests::{
    Answer, Body, Connection, Origin, Proxy, eventually, origin, proxy, raw, request, resident_bytes,
};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn echo_over_both_protocols() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let text = "0123456789".repeat(20_000);
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        // With a length, and in pieces without one.
        let answer = client.send(request("POST", "/echo").body(text.clone().into()).unwrap()).await;
        assert!(answer.text() == text);
        assert_eq!(origin.last().header("content-length"), text.len().to_string());
        let (feed, body) = Body::fed(1);
        let pieces = text.clone();
        tokio::spawn(async move {
            for piece in pieces.as_bytes().chunks(7_000) {
                feed.send(piece.to_vec()).await;
            }
        });
        let answer = client.send(request("POST", "/echo").body(body).unwrap()).await;
        assert!(answer.text() == text);
        assert!(!origin.last().has("content-length"));
    }
    let log = proxy.wait_for_log(4);
    assert!(log.iter().all(|line| line["request_bytes"] == 200_000 && line["response_bytes"] == 200_000), "{log:#?}");
}

#[tokio::test]
async fn a_body_of_nothing_stays_nothing() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let answer = raw(proxy.address()).send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n").response();
    assert_eq!(answer.status(), 200);
    assert_eq!(origin.last().header("content-length"), "0");
    let answer = raw(proxy.address()).send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
    assert_eq!(answer.status(), 200);
    assert!(!origin.last().has("content-length") && !origin.last().has("transfer-encoding"));
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        let answer =
            client.send(request("GET", "/trailers").header("te", "trailers").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.trailers.unwrap()["x-checksum"], "abc", "http2: {http2}");
        let (feed, body) = Body::fed(2);
        feed.send("with trailers").await;
        feed.trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())])).await;
        drop(feed);
        let answer = client.send(request("POST", "/").header("trailer", "x-sum").body(body).unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(origin.last().trailers.unwrap()["x-sum"], "42", "http2: {http2}");
    }
}

#[test]
fn expect_100_continue_is_asked_of_the_origin() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("POST / HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
    assert_eq!(client.send("hello").response().status(), 200);
    assert_eq!(origin.last().body, "hello");
    // That was between the client and us: the origin is not asked to do it once more.
    assert!(!origin.last().has("expect"));
}

#[test]
fn who_expects_100_continue_may_be_told_no_instead() {
    let origin = origin().start();
    let proxy = proxy()
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("routes: [{ match: { path: /only-this }, upstream: app }]")
        .start();
    let mut client = raw(proxy.address());
    client.send("POST /other HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.response().status(), 404);
    // The body was never asked for; whatever comes now is not a request.
    client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let rest = client.to_end();
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "), "{rest:?}");
}

#[test]
fn head_has_the_headers_and_no_body() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    let head = client.send("HEAD /bytes/1000 HTTP/1.1\r\nhost: a.test\r\n\r\n").head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("content-length: 1000"), "{head}");
    assert_eq!(client.send("GET /bytes/3 HTTP/1.1\r\nhost: a.test\r\n\r\n").response().text(), "xxx");
    assert_eq!(origin.seen()[0].method, "HEAD");
}

#[test]
fn answers_without_a_body_by_rule() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    for status in [204, 304] {
        let head = client.send(format!("GET /status/{status} HTTP/1.1\r\nhost: a.test\r\n\r\n")).head().unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
    assert_eq!(client.send("GET /bytes/3 HTTP/1.1\r\nhost: a.test\r\n\r\n").response().text(), "xxx");
}

#[tokio::test]
async fn pieces_pass_as_they_come() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    // The echo's first piece is back before the second is sent.
    let mut client = Connection::http1(proxy.address()).await;
    let (feed, body) = Body::fed(1);
    let sent = tokio::spawn(async move { (feed.send("first").await, feed) });
    let mut response = client.begin(request("POST", "/echo").body(body).unwrap()).await.unwrap();
    let (_, feed) = sent.await.unwrap();
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    feed.send("second").await;
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "second");
    drop(feed);
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn an_answer_before_the_body_has_come_is_handed_on() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        let (feed, body) = Body::fed(1);
        feed.send("the beginning of much").await;
        let response = client.begin(request("POST", "/early").body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "http2: {http2}");
        drop(feed);
    }
    assert_eq!(Connection::http1(proxy.address()).await.get("/").await.status, 200);
}

#[test]
fn a_client_that_does_not_read_slows_the_origin_down() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("GET /stream/200000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    // Wait until nothing moves any more: what the sockets and the proxy hold is full.
    let mut last = usize::MAX;
    eventually("the origin stands still", || {
        let now = origin.pieces();
        let same = now == last && now > 0;
        last = now;
        std::thread::sleep(Duration::from_millis(150));
        same
    });
    assert!(last < 60_000, "{last} KiB were taken from the origin although nobody reads");
    assert!(resident_bytes(proxy.id()) < 400 * MIB);
    assert_eq!(client.response().body.len(), 200_000 * 1024);
}

#[tokio::test]
async fn a_gibibyte_passes_with_flat_memory() {
    let origin = origin().start();
    let proxy = proxy().config("defaults: { timeout: off }").origin(&origin).start();
    passes(&mut Connection::http1(proxy.address()).await, &proxy, &origin, 1024 * MIB).await;
}

#[tokio::test]
async fn large_bodies_pass_over_http2_with_flat_memory() {
    let origin = origin().http2().start();
    let upstream = format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address());
    let proxy = proxy().config("defaults: { timeout: off }\nroutes: [{ upstream: app }]").config(upstream).start();
    passes(&mut Connection::http2(proxy.address()).await, &proxy, &origin, 256 * MIB).await;
}

/// Takes a body of that size through the proxy, down and then up, and looks at the proxy's memory on the way.
async fn passes(client: &mut Connection, proxy: &Proxy, origin: &Origin, size: u64) {
    client.get("/bytes/1000000").await;
    let before = resident_bytes(proxy.id());
    let mut most = before;
    let mut response =
        client.begin(request("GET", &format!("/bytes/{size}")).body(Body::empty()).unwrap()).await.unwrap();
    let mut received = 0;
    while let Some(frame) = response.body_mut().frame().await {
        received += frame.unwrap().into_data().unwrap().len() as u64;
        if received % (16 * MIB) < 64 * 1024 {
            most = most.max(resident_bytes(proxy.id()));
        }
    }
    assert_eq!(received, size);
    let answer = client.send(request("PUT", "/").body(Body::Made(size)).unwrap()).await;
    assert_eq!((answer.status, origin.last().body_bytes), (200, size));
    most = most.max(resident_bytes(proxy.id()));
    assert!(most - before < 16 * MIB, "memory grew by {} KiB", (most - before) / 1024);
}

#[tokio::test]
async fn a_body_cut_by_the_client_is_not_taken_for_whole() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nonly this");
    eventually("the request is at the origin", || origin.count() == 1);
    drop(client);
    let log = proxy.wait_for_log(1);
    assert_eq!(log[0]["error"]["source"], "client", "{log:#?}");
    let mut client = Connection::http1(proxy.address()).await;
    assert_eq!(
        Answer::read(client.begin(request("GET", "/").body(Body::empty()).unwrap()).await.unwrap())
            .await
            .unwrap()
            .status,
        200
    );
}

#[test]
fn a_get_may_have_a_body_however_it_is_framed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for framed in ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let answer = raw(proxy.address()).send(format!("GET / HTTP/1.1\r\nhost: a.test\r\n{framed}")).response();
        assert_eq!(answer.status(), 200);
        assert_eq!(&origin.last().body[..], b"hello", "{framed:?}");
    }
}
