//! The tests' own tools, tried without the proxy: client and origin, WebSocket, raw bytes.
//! It knows nothing of the proxy.

use tidegate_tests::{Authority, Body, Connection, get, origin, raw, raw_origin, request, websocket};

#[tokio::test]
async fn clients_and_origins_understand_each_other() {
    let origin = origin().start();
    assert_eq!(get(origin.address(), "/status/404").await.status, 404);
    let answer = get(origin.address(), "/trailers").await;
    assert_eq!(answer.text(), "with trailers");
    let answer = raw(origin.address()).send("GET /stream/3 HTTP/1.1\r\nhost: a\r\n\r\n").response();
    assert_eq!(answer.body.len(), 3 * 1024);
    let mut client = Connection::http1(origin.address()).await;
    assert_eq!(client.send(request("POST", "/echo").body("hello".into()).unwrap()).await.text(), "hello");
    assert_eq!(client.send(request("PUT", "/").body(Body::Made(100_000)).unwrap()).await.status, 200);
    assert_eq!(origin.last().body_bytes, 100_000);
    assert_eq!((origin.count(), origin.connections()), (5, 4));
}

#[tokio::test]
async fn over_tls_and_http2() {
    let authority = Authority::new();
    let origin = origin().http2().tls(&authority.identity(&["origin.test"])).start();
    let mut client = Connection::tls(origin.address(), "origin.test", authority.client(&["h2"])).await.unwrap();
    assert!(client.is_http2());
    let answer = client.get("/trailers").await;
    assert_eq!(answer.trailers.unwrap()["x-checksum"], "abc");
    assert!(origin.last().host.starts_with("origin.test"));
}

#[tokio::test]
async fn a_websocket_echoes() {
    let origin = origin().start();
    let mut socket =
        websocket(origin.address(), "/websocket", &[("sec-websocket-protocol", "chat, other")]).await.unwrap();
    assert_eq!(socket.headers["sec-websocket-protocol"], "chat");
    socket.send("hello").await;
    assert_eq!(socket.next().await.unwrap(), b"hello");
    assert_eq!(socket.close(1000).await, Some(1000));
    assert_eq!(origin.messages(), 1);
}

#[test]
fn a_raw_origin_says_what_it_is_told() {
    let origin = raw_origin(|_, connection| {
        assert!(connection.head().unwrap().starts_with("GET / "));
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let mut client = raw(origin.address());
    assert_eq!(client.send("GET / HTTP/1.1\r\n\r\n").response().text(), "ok");
    assert!(client.closed());
}
