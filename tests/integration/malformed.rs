//! Malformed requests by the dozen, byte by byte: each is answered 400 (or its own status) and closed, none reaches an origin.
//! Two framings at once and other tricks between messages are in `smuggling`.

use tidegate_tests::{Connection, eventually, origin, proxy, raw};

/// What stands before `\r\n\r\n`, and why it is no request.
const HEADS: &[(&str, &str)] = &[
    ("no host", "GET / HTTP/1.1"),
    ("two hosts", "GET / HTTP/1.1\r\nhost: a.test\r\nhost: a.test"),
    ("two different hosts", "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test"),
    ("a list of hosts", "GET / HTTP/1.1\r\nhost: a.test, b.test"),
    ("a host with a path", "GET / HTTP/1.1\r\nhost: a.test/x"),
    ("a host with user information", "GET / HTTP/1.1\r\nhost: user@a.test"),
    ("a host with a space", "GET / HTTP/1.1\r\nhost: a test"),
    ("a host with a port that is none", "GET / HTTP/1.1\r\nhost: a.test:http"),
    ("a host with a port beyond all", "GET / HTTP/1.1\r\nhost: a.test:99999"),
    ("a host with an open bracket", "GET / HTTP/1.1\r\nhost: [::1"),
    ("a folded header", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\r\n b"),
    ("a folded header by tab", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\r\n\tb"),
    ("a first header that is folded", "GET / HTTP/1.1\r\n x: a\r\nhost: a.test"),
    ("a space before the colon", "GET / HTTP/1.1\r\nhost: a.test\r\nx : a"),
    ("a tab before the colon", "GET / HTTP/1.1\r\nhost: a.test\r\nx\t: a"),
    ("a space in a name", "GET / HTTP/1.1\r\nhost: a.test\r\nx y: a"),
    ("no name", "GET / HTTP/1.1\r\nhost: a.test\r\n: a"),
    ("no colon", "GET / HTTP/1.1\r\nhost: a.test\r\nnonsense"),
    ("a name in brackets", "GET / HTTP/1.1\r\nhost: a.test\r\nx(y): a"),
    ("a name that is not ASCII", "GET / HTTP/1.1\r\nhost: a.test\r\nx\u{e9}: a"),
    ("a zero byte in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\0b"),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\rb: c"),
    ("a bell in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\u{7}"),
    ("a delete in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\u{7f}"),
    ("a bare LF after the request line", "GET / HTTP/1.1\nhost: a.test"),
    ("a bare LF after a header", "GET / HTTP/1.1\r\nx: a\nhost: a.test"),
    ("a bare LF in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: a\nb: c"),
    ("a length that is negative", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: -1"),
    ("a length with a plus", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: +5"),
    ("a length in hexadecimal", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0x5"),
    ("a length that is empty", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: "),
    ("a length with a space inside", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1 0"),
    ("a length beyond 64 bits", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 99999999999999999999"),
    ("two different lengths", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\ncontent-length: 6"),
    ("a list of different lengths", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5, 6"),
    ("length and chunks", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\ntransfer-encoding: chunked"),
    ("chunks twice", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, chunked"),
    (
        "chunks in two headers",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ),
    ("chunks not last", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, gzip"),
    ("identity", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: identity"),
    ("an unknown coding", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: xchunked"),
    ("an empty coding", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: "),
    ("a coding with a vertical tab", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \u{b}chunked"),
    ("a coding in quotes", "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \"chunked\""),
    ("HTTP/9.9", "GET / HTTP/9.9\r\nhost: a.test"),
    ("HTTP/2.0 in words", "GET / HTTP/2.0\r\nhost: a.test"),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nhost: a.test"),
    ("HTTP/01.1", "GET / HTTP/01.1\r\nhost: a.test"),
    ("http/1.1 in small letters", "GET / http/1.1\r\nhost: a.test"),
    ("no version", "GET /\r\nhost: a.test"),
    ("two spaces before the target", "GET  / HTTP/1.1\r\nhost: a.test"),
    ("two spaces before the version", "GET /  HTTP/1.1\r\nhost: a.test"),
    ("a space in the target", "GET /a b HTTP/1.1\r\nhost: a.test"),
    ("a tab as a space", "GET\t/\tHTTP/1.1\r\nhost: a.test"),
    ("a space at the line's end", "GET / HTTP/1.1 \r\nhost: a.test"),
    ("a space before the method", " GET / HTTP/1.1\r\nhost: a.test"),
    ("a method that is no token", "GE(T / HTTP/1.1\r\nhost: a.test"),
    ("no target", "GET HTTP/1.1\r\nhost: a.test"),
    ("a target without a slash", "GET users HTTP/1.1\r\nhost: a.test"),
    ("a target of an asterisk", "GET * HTTP/1.1\r\nhost: a.test"),
    ("CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443"),
    ("a target with a fragment", "GET /a#b HTTP/1.1\r\nhost: a.test"),
    ("a target with a control character", "GET /a\u{1} HTTP/1.1\r\nhost: a.test"),
    ("user information in the target", "GET http://user@a.test/ HTTP/1.1\r\nhost: a.test"),
    ("a target of another host than Host", "GET http://b.test/ HTTP/1.1\r\nhost: a.test"),
    ("a scheme that is not ours", "GET ftp://a.test/ HTTP/1.1\r\nhost: a.test"),
    ("words", "hello there"),
];

#[test]
fn malformed_heads_are_refused_and_closed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut wrong = Vec::new();
    for (what, head) in HEADS {
        let mut client = raw(proxy.address());
        // What follows is either the body of a message that is no message, or a request that must not be served.
        client.send(format!("{head}\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        let answer = String::from_utf8_lossy(&client.to_end()).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if !["400", "501", "505", "405"].contains(&status) || answer.matches("HTTP/1.1 ").count() != 1 {
            wrong.push(format!("{what}: {:?}", answer.lines().next().unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.count(), 0, "{:?}", origin.seen());
    let client = [("source", "client"), ("reason", "malformed_head")];
    #[allow(clippy::cast_precision_loss)]
    proxy.wait_for_metric("tidegate_errors_total", &client, HEADS.len() as f64);
}

#[test]
fn the_refusal_says_why_and_carries_an_id() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let answer = raw(proxy.address()).send("GET / HTTP/9.9\r\nhost: a.test\r\n\r\n").response();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["reason"], "malformed_head");
    assert_eq!(answer.header("connection"), Some("close"));
    let log = proxy.wait_for_log(1);
    assert_eq!((&log[0]["status"], &log[0]["error"]["reason"]), (&400.into(), &"malformed_head".into()));
}

/// Bodies in chunks that are not: the origin may see a beginning, never an end.
const CHUNKS: &[(&str, &str)] = &[
    ("a size that is no number", "g\r\nhello\r\n0\r\n\r\n"),
    ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a chunk longer than it says", "5\r\nhello!\r\n0\r\n\r\n"),
    ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
    ("a bare CR after the size", "5\rhello\r\n0\r\n\r\n"),
    ("no CRLF after the chunk", "5\r\nhello0\r\n\r\n"),
    ("a bare LF after the chunk", "5\r\nhello\n0\r\n\r\n"),
    ("an extension with a bare LF", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
];

#[test]
fn malformed_chunks_never_become_a_whole_request() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut wrong = Vec::new();
    for (what, chunks) in CHUNKS {
        let mut client = raw(proxy.address());
        let head = "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
        client.send(format!("{head}{chunks}GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        let answer = String::from_utf8_lossy(&client.to_end()).into_owned();
        if answer.contains("HTTP/1.1 200") {
            wrong.push(format!("{what}: {:?}", answer.lines().next().unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(origin.seen().iter().all(|seen| seen.path == "/"), "{:?}", origin.seen());
}

#[test]
fn heads_that_are_too_large() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", head: { max_size: 4KiB, max_headers: 20 } }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    let long = "x".repeat(5_000);
    let many = (0..21).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    for (what, head) in [
        ("a long header", format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {long}\r\n\r\n")),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nhost: a.test\r\n\r\n")),
        ("many headers", format!("GET / HTTP/1.1\r\nhost: a.test\r\n{many}\r\n")),
        ("no end in sight", format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}", "y".repeat(100_000))),
    ] {
        let mut client = raw(proxy.address());
        let answer = client.send(head).response();
        assert!([414, 431].contains(&answer.status()), "{what}: {}", answer.head);
        assert!(client.closed(), "{what}");
    }
    assert_eq!(origin.count(), 0);
    let fits = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(3_000));
    assert_eq!(raw(proxy.address()).send(fits).response().status(), 200);
    proxy.wait_for_metric("tidegate_errors_total", &[("reason", "head_too_large")], 4.0);
}

#[tokio::test]
async fn heads_that_are_too_large_over_http2() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", head: { max_size: 4KiB, max_headers: 20 } }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let mut request = tidegate_tests::request("GET", "/");
    for number in 0..40 {
        request = request.header(format!("x-{number}"), "x".repeat(200));
    }
    match client.begin(request.body(tidegate_tests::Body::empty()).unwrap()).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(!error.is_user(), "{error:?}"),
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_head_that_does_not_come_in_time() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", head: { timeout: 200ms } }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("GET / HTTP/1.1\r\nhost: a.te");
    let answer = client.to_end();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    proxy.wait_for_metric("tidegate_errors_total", &[("reason", "head_timeout")], 1.0);
    // A few bytes now and then do not buy time.
    let mut client = raw(proxy.address());
    eventually("the slow head is cut", || !client.try_send(b"G") || client.closed_now());
}

#[test]
fn well_formed_oddities_are_served() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for (what, request) in [
        ("an empty line before the request", "\r\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        ("no space after the colon", "GET / HTTP/1.1\r\nhost:a.test\r\nx:y\r\n\r\n"),
        ("spaces around a value", "GET / HTTP/1.1\r\nhost: \t a.test \t \r\nx:  y  \r\n\r\n"),
        ("an empty value", "GET / HTTP/1.1\r\nhost: a.test\r\nx:\r\n\r\n"),
        ("bytes that are no UTF-8 in a value", "GET / HTTP/1.1\r\nhost: a.test\r\nx: \u{e9}\r\n\r\n"),
        ("a host with a port", "GET / HTTP/1.1\r\nhost: a.test:8080\r\n\r\n"),
        ("an IPv6 host", "GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n"),
        ("OPTIONS of an asterisk", "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        ("an empty query", "GET /? HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        ("an odd query", "GET /?a=b?c=[d]|e HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        ("two equal lengths in one", "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi"),
        (
            "chunks with extensions",
            "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
        ),
        (
            "chunked in capitals",
            "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
    ] {
        assert_eq!(raw(proxy.address()).send(request).response().status(), 200, "{what}");
    }
}
