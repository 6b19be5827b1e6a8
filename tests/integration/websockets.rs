//! WebSockets over HTTP/1.1: the handshake at both sides, the bytes in between, the end, and what is said of it.
//! Bytes before the 101 are in `smuggling`.

use tidegate_tests::{eventually, origin, proxy, raw, raw_origin, websocket};

const HANDSHAKE: &str = "GET /websocket HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn messages_pass_and_the_session_is_told() {
    let origin = origin().start();
    let collector = tidegate_tests::collector();
    let proxy = proxy()
        .origin(&origin)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 100ms }} }}",
            collector.endpoint()
        ))
        .start();
    let mut socket = websocket(proxy.address(), "/websocket", &[("sec-websocket-protocol", "chat")]).await.unwrap();
    assert_eq!(socket.headers["sec-websocket-protocol"], "chat");
    assert_eq!(socket.headers["sec-websocket-accept"].len(), 28);
    for number in 0..50 {
        socket.send(&format!("message {number}")).await;
        assert_eq!(socket.next().await.unwrap(), format!("message {number}").as_bytes());
    }
    let big = vec![7; 3_000_000];
    socket.send_bytes(big.clone()).await;
    assert!(socket.next().await.unwrap() == big);
    assert_eq!(proxy.scrape().value("tidegate_websocket_active", &[("route", "app")]), 1.0);
    // The exchange is not over while the session goes on.
    assert!(proxy.log_lines().is_empty());
    assert_eq!(socket.close(4001).await, Some(4001));
    assert_eq!(origin.messages(), 51);

    let log = proxy.wait_for_log(1);
    assert_eq!((&log[0]["status"], &log[0]["path"]), (&101.into(), &"/websocket".into()));
    assert!(log[0]["error"].is_null(), "{log:#?}");
    assert!(
        log[0]["request_bytes"].as_u64().unwrap() > 3_000_000 && log[0]["response_bytes"].as_u64().unwrap() > 3_000_000
    );
    let scrape = proxy.wait_for_metric("tidegate_websocket_active", &[("route", "app")], 0.0);
    assert_eq!(scrape.value("tidegate_websocket_sessions_total", &[("route", "app")]), 1.0);
    assert_eq!(scrape.value("tidegate_websocket_duration_seconds_count", &[("route", "app")]), 1.0);
    eventually("the session's span", || collector.spans().iter().any(|span| span.kind == 2));
    let spans = collector.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(server.attributes["http.response.status_code"], "101");
    assert_eq!(server.trace_id, log[0]["trace_id"].as_str().unwrap());
}

#[tokio::test]
async fn an_idle_session_lives_and_many_live_side_by_side() {
    let origin = origin().start();
    let proxy = proxy().config("defaults: { timeout: 300ms }").origin(&origin).start();
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(websocket(proxy.address(), "/websocket", &[]).await.unwrap());
    }
    // Longer than the exchange's timeout, which is not for WebSockets.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(&number.to_string()).await;
        assert_eq!(socket.next().await.unwrap(), number.to_string().as_bytes());
    }
    assert_eq!(proxy.scrape().value("tidegate_websocket_active", &[]), 50.0);
    drop(sockets);
    proxy.wait_for_metric("tidegate_websocket_active", &[], 0.0);
    proxy.wait_for_log(50);
}

#[tokio::test]
async fn a_session_in_which_nothing_is_said_ends_and_one_that_speaks_lives() {
    let origin = origin().start();
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ idle: 600ms }} }} }}",
            origin.address()
        ))
        .start();
    let mut silent = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
    let mut speaking = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(1500) {
        speaking.send("still here").await;
        assert_eq!(speaking.next().await.unwrap(), b"still here");
    }
    assert_eq!(silent.next().await, None);
    let log = proxy.wait_for_log(1);
    assert_eq!((log[0]["status"].as_u64(), log[0]["error"]["reason"].as_str()), (Some(101), Some("timeout")));
    speaking.send("and now").await;
    assert_eq!(speaking.next().await.unwrap(), b"and now");
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for (what, from, to) in [
        ("a key that is too short", "dGhlIHNhbXBsZSBub25jZQ==", "dGhl"),
        ("a key that is no base64", "dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="),
        ("another version", "version: 13", "version: 8"),
        ("no version", "sec-websocket-version: 13\r\n", ""),
        ("no key", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("two keys", "sec-websocket-key", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key"),
        ("a method that is not GET", "GET", "POST"),
        ("HTTP/1.0", "HTTP/1.1", "HTTP/1.0"),
    ] {
        let request = HANDSHAKE.replacen(from, to, 1);
        let answer = raw(proxy.address()).send(format!("{request}\r\n")).response();
        assert!([400, 426].contains(&answer.status()), "{what}: {}", answer.head);
        assert_eq!(answer.json()["reason"], "invalid_upgrade", "{what}");
        let asked = answer.header("upgrade") == Some("websocket");
        assert_eq!(answer.status() == 426, asked, "{what}: {}", answer.head);
    }
    assert_eq!(origin.count(), 0);
    proxy.wait_for_metric("tidegate_errors_total", &[("reason", "invalid_upgrade"), ("source", "client")], 8.0);
}

#[test]
fn another_protocol_is_not_switched_to() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n";
    let answer = raw(proxy.address()).send(request).response();
    // Served as if nothing had been asked, or refused; never switched.
    assert!([200, 400].contains(&answer.status()), "{}", answer.head);
    assert!(origin.seen().iter().all(|seen| !seen.has("upgrade") && !seen.has("http2-settings")));
}

#[test]
fn an_upstream_that_shakes_hands_wrongly_is_a_bad_gateway() {
    for (what, answer) in [
        (
            "a wrong accept",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        ),
        ("no accept", "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
        (
            "no connection header",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
        (
            "a subprotocol nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-protocol: x\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
    ] {
        let origin = raw_origin(move |_, connection| {
            connection.head();
            connection.send(answer);
            connection.to_end();
        });
        let proxy = proxy().upstream(origin.address()).start();
        let answer = raw(proxy.address()).send(format!("{HANDSHAKE}\r\n")).response();
        assert_eq!(answer.status(), 502, "{what}: {}", answer.head);
        assert_eq!(answer.json()["reason"], "upstream_protocol", "{what}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_upstream_is_handed_on() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    assert_eq!(websocket(proxy.address(), "/status/403", &[]).await.unwrap_err(), 403);
    let log = proxy.wait_for_log(1);
    assert_eq!(log[0]["status"], 403);
    assert_eq!(proxy.scrape().value("tidegate_websocket_sessions_total", &[]), 0.0);
}

#[test]
fn frames_sent_at_once_after_the_handshake_arrive_after_the_101() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    // A masked text frame "hi", in the same packet as the request.
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    client.send([format!("{HANDSHAKE}\r\n").as_bytes(), &frame].concat());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101"));
    assert_eq!(client.exactly(4), [0x81, 0x02, b'h', b'i']);
}

#[test]
fn frames_of_the_upstream_in_the_packet_of_its_101_arrive() {
    let origin = raw_origin(|_, connection| {
        connection.head();
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        connection.send([head.as_bytes(), &[0x81, 0x02, b'h', b'i']].concat());
        connection.to_end();
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    assert!(client.send(format!("{HANDSHAKE}\r\n")).head().unwrap().starts_with("HTTP/1.1 101"));
    assert_eq!(client.exactly(4), [0x81, 0x02, b'h', b'i']);
}

#[test]
fn when_one_side_ends_the_other_learns_of_it() {
    // The upstream dies.
    let origin = raw_origin(|_, connection| {
        connection.head();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    assert!(client.send(format!("{HANDSHAKE}\r\n")).head().unwrap().starts_with("HTTP/1.1 101"));
    client.to_end();
    drop(client);
    proxy.wait_for_log(1);
}

#[tokio::test]
async fn nobody_behind_a_websocket() {
    let proxy = proxy().upstream(tidegate_tests::nowhere()).start();
    assert_eq!(websocket(proxy.address(), "/websocket", &[]).await.unwrap_err(), 502);
}

#[tokio::test]
async fn an_upstream_over_http2_has_none_and_the_client_is_told() {
    let origin = origin().http2().start();
    let upstream = format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address());
    let proxy = proxy().config("routes: [{ upstream: app }]").config(upstream).start();
    let answer = raw(proxy.address()).send(format!("{HANDSHAKE}\r\n")).response();
    assert_eq!((answer.status(), &answer.json()["reason"]), (501, &"websocket_unsupported".into()));
    assert_eq!(origin.count(), 0);
    assert_eq!(tidegate_tests::get(proxy.address(), "/").await.status, 200);
}
