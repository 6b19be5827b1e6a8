//! Upstreams that are down, cut, or answer garbage: what the client gets, and what is said of it.
//! Slow ones are in `timeouts`.

use tidegate_tests::{
    Answer, Body, Connection, Proxy, eventually, get, nowhere, origin, proxy, raw, raw_origin, request,
};

#[tokio::test]
async fn nobody_listens() {
    let proxy = proxy().upstream(nowhere()).start();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        let answer = client.get("/users/42").await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], "Bad Gateway");
        assert_eq!(problem["status"], 502);
        assert_eq!(problem["reason"], "connect_failed");
        assert_eq!(problem["correlation_id"], answer.header("x-request-id"));
        // The connection lives on.
        assert_eq!(client.get("/").await.status, 502);
    }
    let log = proxy.wait_for_log(4);
    assert_eq!(log[0]["error"], serde_json::json!({ "source": "upstream", "reason": "connect_failed" }));
    assert_eq!(log[0]["status"], 502);
    let labels = [("source", "upstream"), ("reason", "connect_failed"), ("route", "app")];
    proxy.wait_for_metric("tidegate_errors_total", &labels, 4.0);
    // The log says what the system said: once for each worker at most, not for each request.
    let said = proxy.wait_for_said(&["\"upstream\":\"app\""]);
    assert!(said.len() == 1 || said.len() == 2, "{said:?}");
    assert!(said[0]["cause"].as_str().unwrap().contains("refused"), "{said:?}");
    assert!(log.iter().any(|line| line["correlation_id"] == said[0]["correlation_id"]), "{said:?}");
}

#[tokio::test]
async fn too_few_file_descriptors() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).descriptors(160).start();
    let (mut held, mut served) = (Vec::new(), 0.0);
    for _ in 0..100 {
        let mut client = raw(proxy.address());
        if client.try_send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            && let Some(answer) = client.message()
        {
            assert_eq!(answer.status(), 200);
            served += 1.0;
            held.push(client);
        }
    }
    // Some are turned away; those who are in are served, and whoever operates it can see why.
    assert!(served > 10.0 && served < 100.0, "{served}");
    let labels = [("listener", "web"), ("reason", "resources")];
    proxy.wait_for_metric("tidegate_connections_rejected_total", &labels, 100.0 - served);
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("tidegate_errors_total", &[]), 0.0);
    let limit = scrape.value("tidegate_connections_limit", &[("listener", "web")]);
    assert!((served..160.0).contains(&limit), "{limit}");
    proxy.wait_for_said(&["the limit of file descriptors allows fewer"]);
    proxy.wait_for_said(&["cannot take connections"]);
    drop(held);
    eventually("there is room again", || {
        let mut client = raw(proxy.address());
        client.try_send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n") && client.message().is_some()
    });
}

#[test]
fn a_low_soft_limit_of_file_descriptors_is_raised() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let hard: f64 = limit.split_whitespace().nth(1).unwrap().parse().unwrap();
    let origin = origin().start();
    let proxy = proxy().origin(&origin).soft_descriptors(120).start();
    assert_eq!(proxy.scrape().value("process_max_fds", &[]), hard);
    let said = proxy.diagnostics().into_iter().find(|line| line["message"] == "raised the limit of file descriptors");
    let said = said.unwrap();
    assert_eq!((said["from"].as_f64(), said["to"].as_f64()), (Some(120.0), Some(hard)));
    // More clients than the soft limit had room for.
    let mut held: Vec<_> = (0..150).map(|_| raw(proxy.address())).collect();
    for client in &mut held {
        assert_eq!(client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    }
}

/// Starts a proxy before an origin that says `bytes` to every request, and asks it once.
fn answered_with(bytes: &'static [u8]) -> (Proxy, Option<tidegate_tests::RawMessage>) {
    let origin = raw_origin(move |_, connection| {
        if connection.head().is_some() {
            connection.send(bytes);
        }
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    let answer = client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").message();
    (proxy, answer)
}

#[test]
fn garbage_is_a_bad_gateway() {
    let garbage: &[(&str, &[u8])] = &[
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        ("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("a status that is no number", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("another version", b"HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("a header without a colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
        ("a space in a name", b"HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 0\r\n\r\n"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
        ("a length that is no number", b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nab"),
        (
            "a 101 that nobody asked for",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        ),
        ("an endless head", &[b'a'; 2_000_000]),
    ];
    for (what, bytes) in garbage {
        let (proxy, answer) = answered_with(bytes);
        let answer = answer.unwrap_or_else(|| panic!("{what}: closed without an answer"));
        assert_eq!(answer.status(), 502, "{what}: {}", answer.head);
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(["upstream_protocol", "upstream_closed"].contains(&reason.as_str()), "{what}: {reason}");
        proxy.wait_for_metric("tidegate_errors_total", &[("source", "upstream")], 1.0);
    }
}

#[test]
fn closed_before_the_answer() {
    let (proxy, answer) = answered_with(b"");
    let answer = answer.unwrap();
    assert_eq!((answer.status(), answer.json()["reason"].as_str()), (502, Some("upstream_closed")));
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "upstream_closed");
    let (_, answer) = answered_with(b"HTTP/1.1 200 OK\r\ncontent-le");
    assert_eq!(answer.unwrap().status(), 502);
}

#[tokio::test]
async fn a_cut_body_is_seen_as_cut() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    // HTTP/1.1 with a length: fewer bytes than promised, then the end.
    let mut client = raw(proxy.address());
    let head = client.send("GET /cut HTTP/1.1\r\nhost: a.test\r\n\r\n").head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"));
    assert_eq!(client.to_end(), b"0123456789");
    // HTTP/2: a reset.
    let mut client = Connection::http2(proxy.address()).await;
    let response = client.begin(request("GET", "/cut").body(Body::empty()).unwrap()).await.unwrap();
    assert!(Answer::read(response).await.is_err());
    let log = proxy.wait_for_log(2);
    for line in &log {
        assert_eq!(line["error"]["reason"], "upstream_body_incomplete", "{line:#}");
        assert_eq!((&line["status"], &line["response_bytes"]), (&200.into(), &10.into()));
    }
    proxy.wait_for_metric("tidegate_errors_total", &[("reason", "upstream_body_incomplete")], 2.0);
}

#[test]
fn cut_and_malformed_chunks_are_not_a_whole_body() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
    ] {
        let origin = raw_origin(move |_, connection| {
            if connection.head().is_some() {
                connection.send(bytes);
            }
        });
        let proxy = proxy().upstream(origin.address()).start();
        let mut client = raw(proxy.address());
        client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.to_end()).into_owned();
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(proxy.wait_for_log(1)[0]["error"]["source"], "upstream");
    }
}

#[test]
fn a_body_that_is_cut_before_its_first_byte_has_a_head() {
    let origin = raw_origin(move |_, connection| {
        if connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nx-begun: yes\r\ncontent-length: 5\r\n\r\n");
        }
    });
    let proxy = proxy().upstream(origin.address()).start();
    let mut client = raw(proxy.address());
    let head = client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-begun: yes"), "{head}");
    assert_eq!(client.to_end(), b"");
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "upstream_body_incomplete");
}

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_passed_on_in_one_or_not_at_all() {
    for (fields, passes) in [
        ("content-length: 3\r\ntransfer-encoding: chunked\r\n", true),
        ("transfer-encoding: chunked\r\ncontent-length: 3\r\n", true),
        ("content-length: 3\r\ntransfer-encoding: gzip, chunked\r\n", false),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", false),
        ("transfer-encoding: identity\r\n", false),
    ] {
        let origin = raw_origin(move |_, connection| {
            while connection.head().is_some() {
                connection.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"));
            }
        });
        let proxy = proxy().upstream(origin.address()).start();
        for _ in 0..2 {
            let answer = raw(proxy.address()).send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
            if passes {
                assert_eq!(
                    (answer.status(), String::from_utf8_lossy(&answer.body).as_ref()),
                    (200, "hello"),
                    "{fields:?}"
                );
                assert!(answer.header("content-length").is_none(), "{fields:?}");
            } else {
                assert_eq!(answer.status(), 502, "{fields:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_origins_own_errors_pass_untouched() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let answer = get(proxy.address(), "/status/503").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "as asked"));
    assert!(proxy.wait_for_log(1)[0]["error"].is_null());
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 1.0);
    let labels = [("http_response_status_code", "503"), ("error_type", "503")];
    assert_eq!(scrape.value("http_server_request_duration_seconds_count", &labels), 1.0);
    assert_eq!(scrape.value("tidegate_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let proxy = proxy()
        .config("routes: [{ upstream: app }]\nupstreams: { app: { endpoints: [\"does-not-exist.invalid:80\"] } }")
        .start();
    let answer = get(proxy.address(), "/").await;
    assert!([502, 504].contains(&answer.status), "{answer:?}");
    assert!(["connect_failed", "connect_timeout"].contains(&answer.reason().as_str()));
}

#[tokio::test]
async fn the_origin_comes_back() {
    let first = origin().start();
    let address = first.address();
    let proxy = proxy().origin(&first).start();
    assert_eq!(get(proxy.address(), "/").await.status, 200);
    first.stop();
    assert_eq!(get(proxy.address(), "/").await.status, 502);
    let _second = origin().at(address).start();
    assert_eq!(get(proxy.address(), "/").await.status, 200);
}
