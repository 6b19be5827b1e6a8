//! Request smuggling: nothing may make proxy and origin disagree about where a message ends.
//! Heads that are plainly malformed are in `malformed`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_tests::{eventually, origin, proxy, raw, raw_origin};

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";

#[test]
fn length_and_chunks_together_are_refused_and_closed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for order in ["content-length: 6\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 6"]
    {
        let mut client = raw(proxy.address());
        let request = format!("POST / HTTP/1.1\r\nhost: a.test\r\n{order}\r\n\r\n0\r\n\r\n{NEXT}");
        assert_eq!(client.send(request).response().status(), 400);
        assert!(client.closed(), "after {order}");
    }
    assert_eq!(origin.count(), 0);
}

/// <https://www.cve.org/CVERecord?id=CVE-2026-2833>: bytes after an upgrade request were handed on before the upstream had agreed.
#[test]
fn bytes_after_an_upgrade_request_wait_for_the_upstreams_101() {
    let early = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&early);
    let origin = raw_origin(move |_, connection| {
        connection.head();
        // The client's next bytes are at the proxy by now; none of them may come here.
        let silent = connection.silent_for(Duration::from_millis(300));
        noted.lock().unwrap().push(silent);
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
        // What comes on this connection after that is a request that went through the proxy, or nothing.
        if let Some(head) = connection.head() {
            noted.lock().unwrap().push(head.to_lowercase().contains("via: 1.1 tidegate"));
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    client.send(format!(
        "GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{NEXT}"
    ));
    let answer = client.response();
    assert_ne!(answer.status(), 101);
    drop(client);
    eventually("the origin has looked", || !early.lock().unwrap().is_empty());
    assert!(early.lock().unwrap().iter().all(|fine| *fine), "bytes of the client came before the 101");
}

/// <https://www.cve.org/CVERecord?id=CVE-2026-2835> and 2836: HTTP/1.0 with chunks.
#[test]
fn http_1_0_with_transfer_encoding_is_refused() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = raw(proxy.address());
    let request = format!("POST / HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}");
    assert_eq!(client.send(request).response().status(), 400);
    assert!(client.closed());
    assert_eq!(origin.count(), 0);
}

/// <https://www.cve.org/CVERecord?id=CVE-2025-4366>: the rest of a body that nobody read was taken for the next request.
#[test]
fn an_undrained_body_never_becomes_a_request() {
    let origin = origin().start();
    let proxy = proxy()
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("routes: [{ match: { path: /early }, upstream: app }]")
        .start();
    // An answer of our own, and one of the origin that does not read.
    for path in ["/lost", "/early"] {
        let mut client = raw(proxy.address());
        client.send(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n", NEXT.len() + 5));
        let answer = client.response();
        assert!([200, 404].contains(&answer.status()));
        client.send(NEXT).send("12345").send("GET /after HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let rest = String::from_utf8_lossy(&client.finish().to_end()).into_owned();
        assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{rest}");
    }
    assert!(origin.seen().iter().all(|seen| seen.path == "/early"), "{:?}", origin.seen());
    assert_eq!(origin.seen().iter().filter(|seen| seen.path == "/early").count(), 1);
}

#[test]
fn what_an_origin_sends_beyond_its_answer_is_not_the_next_answer() {
    let origin = raw_origin(|_, connection| {
        while connection.head().is_some() {
            connection.send(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
            );
        }
    });
    let proxy = proxy().config("workers: 1").upstream(origin.address()).start();
    for _ in 0..5 {
        let answer = raw(proxy.address()).send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
        assert_ne!(answer.text(), "poison");
    }
}

#[test]
fn a_header_named_in_connection_goes_no_further() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: keep-alive, x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\n\
                   te: gzip, trailers\r\nproxy-connection: keep-alive\r\nproxy-authorization: x\r\nx-kept: 2\r\n\r\n";
    assert_eq!(raw(proxy.address()).send(request).response().status(), 200);
    let seen = origin.last();
    for gone in ["x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert!(!seen.has(gone), "{gone}: {:?}", seen.headers);
    }
    assert_eq!((seen.header("x-kept").as_str(), seen.header("te").as_str()), ("2", "trailers"));
}

#[test]
fn connection_cannot_name_what_the_proxy_needs() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let request =
        "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: host, x-forwarded-for, x-request-id, content-length\r\n\r\n";
    let answer = raw(proxy.address()).send(request).response();
    if answer.status() == 200 {
        assert_eq!(origin.last().host, "a.test");
        assert_eq!(origin.last().header("x-forwarded-for"), "127.0.0.1");
    } else {
        assert_eq!(answer.status(), 400);
    }
}

#[test]
fn an_http2_client_cannot_bring_http1_framing() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (name, value) in [("transfer-encoding", "chunked"), ("connection", "x-a"), ("upgrade", "websocket")] {
            let mut client = tidegate_tests::Connection::http2(proxy.address()).await;
            let request = tidegate_tests::request("POST", "/").header(name, value).body("hello".into()).unwrap();
            if let Ok(response) = client.begin(request).await {
                // The client library may have dropped it on its own side already.
                assert!([200, 400].contains(&response.status().as_u16()));
            }
        }
    });
    assert!(origin.seen().iter().all(|seen| !seen.has("transfer-encoding") && !seen.has("upgrade")));
}
