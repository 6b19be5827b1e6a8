//! Interim answers (1xx but 101) of an upstream: which of them reach a client, when, and in what shape (RFC 9110, 15.2).
//! The `100 Continue` of the proxy's own is in `bodies`.

use std::sync::Mutex;
use std::sync::mpsc;

use tidegate_tests::{Connection, RawOrigin, proxy, raw, raw_origin};

const GET: &str = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

/// An origin that says this to each request.
fn saying(answer: impl Into<String>) -> RawOrigin {
    let answer = answer.into();
    raw_origin(move |_, connection| {
        while connection.head().is_some() {
            connection.send(&answer);
        }
    })
}

#[test]
fn early_hints_arrive_before_the_answer_is_there() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let origin = raw_origin(move |_, connection| {
        while connection.head().is_some() {
            connection.send(HINTS);
            wait.lock().unwrap().recv().unwrap();
            connection.send(DONE);
        }
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    for _ in 0..3 {
        let hints = client.send(GET).response();
        assert_eq!(hints.start_line(), "HTTP/1.1 103 Early Hints");
        assert_eq!(hints.header("link"), Some("</a.css>; rel=preload"));
        assert_eq!(hints.header("via"), Some("1.1 tidegate"));
        go.send(()).unwrap();
        let answer = client.response();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    }
    // What is recorded is the answer, once.
    let log = proxy.wait_for_log(3);
    assert!(log.iter().all(|line| line["status"] == 200 && line["error"].is_null()), "{log:#?}");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn several_keep_their_order_and_pipelined_requests_theirs() {
    let number = std::sync::atomic::AtomicUsize::new(0);
    let origin = raw_origin(move |_, connection| {
        while connection.head().is_some() {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            connection.send(format!(
                "HTTP/1.1 102 Processing\r\nn: {number}\r\n\r\nHTTP/1.1 103 Early Hints\r\nn: {number}\r\n\r\n"
            ));
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nn: {number}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"
            ));
        }
    });
    let proxy = proxy().config("workers: 1").upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    client.send(GET.repeat(20));
    for number in 0..20 {
        for status in [102, 103, 200] {
            let answer = client.response();
            assert_eq!((answer.status(), answer.header("n")), (status, Some(number.to_string().as_str())));
        }
    }
}

#[test]
fn what_was_for_the_hop_behind_stays_there() {
    let origin = saying(format!(
        "HTTP/1.1 103 Early Hints\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nlink: </a>\r\nlink: </b>\r\n\
         content-length: 4\r\ntransfer-encoding: chunked\r\nupgrade: h2c\r\nproxy-authenticate: basic\r\n\r\n{DONE}"
    ));
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    let hints = client.send(GET).head().unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\nvia: 1.1 tidegate");
    assert_eq!(client.response().text(), "done");
}

#[test]
fn a_continue_is_said_once_and_only_to_who_waits_for_it() {
    let origin = raw_origin(|_, connection| {
        while connection.head().is_some() {
            connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(connection.exactly(5), b"hello");
            connection.send(HINTS).send(DONE);
        }
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n";
    client.send(format!("{head}expect: 100-continue\r\n\r\n"));
    assert_eq!(client.response().status(), 100);
    client.send("hello");
    assert_eq!([client.response().status(), client.response().status()], [103, 200]);
    client.send(format!("{head}\r\nhello"));
    assert_eq!([client.response().status(), client.response().status()], [103, 200]);
}

#[test]
fn http_1_0_gets_the_answer_alone() {
    let origin = saying([HINTS, DONE].concat());
    let proxy = proxy().upstream(origin.address()).start();
    let answer = raw(proxy.address()).send("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
}

#[tokio::test]
async fn http_2_gets_the_answer_alone() {
    let origin = saying([HINTS, DONE].concat());
    let proxy = proxy().upstream(origin.address()).start();
    let answer = Connection::http2(proxy.address()).await.get("/").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
}

#[test]
fn a_websocket_may_be_hinted_at() {
    let origin = saying(format!(
        "{HINTS}HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nraw bytes"
    ));
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    client.send(
        "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!([client.response().status(), client.response().status()], [103, 101]);
    assert_eq!(client.exactly(9), b"raw bytes");
}

#[test]
fn one_that_is_not_well_formed_is_a_bad_gateway() {
    for wrong in [
        "HTTP/1.1 103 Early Hints\r\nno colon\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 1 Early\r\n\r\n",
        "HTTP/1.1 099 Early\r\n\r\n",
        "HTTP/9.1 103 Early Hints\r\n\r\n",
    ] {
        let origin = saying([wrong, DONE].concat());
        let proxy = proxy().upstream(origin.address()).start();
        let answer = raw(proxy.address()).send(GET).response();
        assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upstream_protocol")), "{wrong:?}");
    }
}

#[test]
fn an_upstream_that_has_nothing_else_to_say_is_given_up() {
    let origin = raw_origin(|_, connection| {
        connection.head();
        while connection.try_send(HINTS.repeat(50).as_bytes()) {}
    });
    let proxy = proxy().upstream(origin.address()).start();
    let before = tidegate_tests::resident_bytes(proxy.id());
    let mut client = raw(proxy.address());
    for _ in 0..3 {
        client.send(GET);
        let (mut interim, mut answer) = (0, client.response());
        while answer.status() == 103 {
            interim += 1;
            answer = client.response();
        }
        assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upstream_protocol")));
        assert!(interim <= 100, "{interim}");
    }
    assert!(tidegate_tests::resident_bytes(proxy.id()) < before + 16 * 1024 * 1024);
    let failed = [("source", "upstream"), ("reason", "upstream_protocol")];
    proxy.wait_for_metric("tidegate_errors_total", &failed, 3.0);
    // Three connections, each given up.
    proxy.wait_for_metric("http_client_open_connections", &[], 0.0);
}

#[test]
fn large_ones_are_bounded_too() {
    let origin = saying(format!("HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n{DONE}", "x".repeat(70_000)));
    let proxy = proxy().upstream(origin.address()).start();
    assert_eq!(raw(proxy.address()).send(GET).response().status(), 502);
}

#[test]
fn an_answer_that_never_follows_is_an_error_after_the_hints() {
    let origin = raw_origin(|_, connection| {
        connection.head();
        connection.send(HINTS);
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    assert_eq!(client.send(GET).response().status(), 103);
    let answer = client.response();
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upstream_closed")));
    // The next request of that client is none the worse.
    assert_eq!(client.send(GET).response().status(), 103);
}

#[test]
fn hints_do_not_buy_time() {
    let origin = raw_origin(|_, connection| {
        connection.head();
        while connection.try_send(HINTS.as_bytes()) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app }]")
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ head: 200ms }} }} }}",
            origin.address()
        ))
        .start();
    let mut client = raw(proxy.address());
    client.send(GET);
    let mut answer = client.response();
    while answer.status() == 103 {
        answer = client.response();
    }
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (504, Some("upstream_head_timeout")));
}

#[test]
fn clients_that_leave_among_hints_leave_nothing_behind() {
    let origin = raw_origin(|_, connection| {
        connection.head();
        connection.send(HINTS.repeat(90));
        connection.to_end();
    });
    let proxy = proxy().upstream(origin.address()).start();
    for _ in 0..20 {
        assert_eq!(raw(proxy.address()).send(GET).response().status(), 103);
    }
    proxy.wait_for_metric("http_client_open_connections", &[], 0.0);
    assert!(proxy.wait_for_log(20).iter().all(|line| line["error"]["reason"] == "client_closed"));
}
