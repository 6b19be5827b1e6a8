//! Plugins that see and change bodies: held or as they pass, in both directions, over both protocols.
//! It knows nothing of hooks without a body.

use http::{HeaderMap, HeaderValue};
use tidegate_tests::{
    Body, Connection, Guest, Origin, Proxy, ProxyBuilder, get, origin, proxy, raw_origin, request, resident_bytes,
};

const STREAM: u8 = 0;
const REWRITE: u8 = 1;
const PEEK: u8 = 2;
const BUFFER: u8 = 3;
const PASS: u8 = 0;
const REJECT: u8 = 1;
const FAIL: u8 = 2;

fn with(guest: &Guest, origin: &Origin, on_failure: &str) -> ProxyBuilder {
    with_upstream(guest, origin.address(), on_failure)
}

fn with_upstream(guest: &Guest, upstream: std::net::SocketAddr, on_failure: &str) -> ProxyBuilder {
    proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [p] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{upstream}\"] }} }}"))
        .config(format!("plugins: {{ p: {{ file: p.wasm, on_failure: {on_failure}, budget: {{ deadline: 1s }} }} }}"))
        .file("p.wasm", guest.module())
}

fn start(guest: &Guest, origin: &Origin) -> Proxy {
    with(guest, origin, "closed").start()
}

/// A plugin that wants a body (0 the request's, 1 the response's) in this way.
fn wanting(guest: Guest, body: u8, mode: u8, limit: u32, overflow: u8) -> Guest {
    let mode =
        format!("(call $body_mode (i32.const {body}) (i32.const {mode}) (i64.const {limit}) (i32.const {overflow}))");
    guest.hook("configure", &mode)
}

async fn both(proxy: &Proxy) -> [Connection; 2] {
    [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await]
}

#[tokio::test]
async fn a_large_body_streams_through_hooks_without_being_kept() {
    const SIZE: u64 = 256 << 20;
    let origin = origin().start();
    // Counts what it sees, and puts it into the log at the end.
    let see = "(global.set $seen (i32.add (global.get $seen) (i32.wrap_i64 (call $number_read (i32.const 10))))) (i32.const 0)";
    let mut guest = Guest::new();
    let field = guest.bytes("seen");
    let guest = guest.hook("request_body", see).hook("response_body", see).hook(
        "log",
        &format!("(drop (call $log_field_int {field} (i64.extend_i32_u (global.get $seen)))) (global.set $seen (i32.const 0))"),
    );
    let proxy = with(&guest, &origin, "closed").config("workers: 1").start();
    get(proxy.address(), "/x").await;
    let before = resident_bytes(proxy.id());
    let mut client = Connection::http1(proxy.address()).await;
    let answer = client.send(request("POST", "/x").body(Body::Made(SIZE)).unwrap()).await;
    assert_eq!((answer.status, origin.last().body_bytes), (200, SIZE));
    assert_eq!(origin.last().header("content-length"), SIZE.to_string(), "it was not changed");
    let line = proxy.wait_for_log(2).remove(1);
    let described = answer.body.len() as u64;
    assert_eq!((&line["seen"], &line["request_bytes"]), (&(SIZE + described).into(), &SIZE.into()));
    let mut response =
        client.begin(request("GET", &format!("/bytes/{SIZE}")).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-length"], SIZE.to_string());
    let mut got = 0;
    while let Some(frame) = http_body_util::BodyExt::frame(response.body_mut()).await {
        got += frame.unwrap().into_data().map_or(0, |data| data.len() as u64);
    }
    assert_eq!(got, SIZE);
    assert_eq!(proxy.wait_for_log(3)[2]["seen"], SIZE);
    let grown = resident_bytes(proxy.id()).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for {SIZE}");
}

#[tokio::test]
async fn a_held_body_is_replaced_with_its_right_length() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let text = guest.bytes("another text");
    let change = format!("(call $body_replace {text})");
    let header = guest.header(1, "x-held", "yes");
    let request_side = guest.header(0, "x-held", "yes");
    let mut guest = guest.hook("request_body", &format!("{request_side} {change}"));
    guest = guest.hook("response_body", &format!("{header} {change}"));
    let modes = [0, 1].map(|body| {
        format!(
            "(drop (call $body_mode (i32.const {body}) (i32.const {BUFFER}) (i64.const 1000) (i32.const {REJECT})))"
        )
    });
    let guest = guest.hook("configure", &format!("{} (i32.const 0)", modes.join(" ")));
    let proxy = start(&guest, &origin);
    for client in &mut both(&proxy).await {
        let answer = client.send(request("POST", "/x").body(Body::from("what was sent")).unwrap()).await;
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.header("content-length")),
            (200, "another text", "12")
        );
        assert_eq!(answer.header("x-held"), "yes", "a head that waits can be changed");
        let seen = origin.last();
        assert_eq!(
            (&seen.body[..], seen.header("content-length"), seen.header("x-held")),
            (&b"another text"[..], "12".into(), "yes".into())
        );
    }
    let log = proxy.wait_for_log(2);
    assert_eq!(
        (&log[0]["request_bytes"], &log[0]["response_bytes"]),
        (&13.into(), &12.into()),
        "what came, and what went"
    );
}

#[tokio::test]
async fn pieces_are_replaced_added_to_and_dropped_as_they_pass() {
    let origin = origin().start();
    for (change, expected) in [("replace", "<><>"), ("append", "one<>two<>"), ("drop", "")] {
        let mut guest = Guest::new();
        let (text, none) = (guest.bytes("<>"), guest.bytes(""));
        let act = match change {
            "replace" => format!("(drop (call $body_replace {text}))"),
            "append" => format!("(drop (call $body_append {text}))"),
            _ => format!("(drop (call $body_replace {none}))"),
        };
        // The end of a body whose length is not known is an empty piece.
        let act = format!("(if (i64.ne (call $number_read (i32.const 10)) (i64.const 0)) (then {act})) (i32.const 0)");
        let guest = wanting(guest.hook("response_body", &act), 1, REWRITE, 0, PASS);
        let proxy = start(&guest, &origin);
        for client in &mut both(&proxy).await {
            let (feed, body) = Body::fed(1);
            let mut response = client.begin(request("POST", "/echo").body(body).unwrap()).await.unwrap();
            assert!(!response.headers().contains_key("content-length"));
            let mut got = String::new();
            for piece in ["one", "two"] {
                assert!(feed.send(piece).await);
                if change != "drop" {
                    let frame = http_body_util::BodyExt::frame(response.body_mut()).await.unwrap().unwrap();
                    got.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
                }
            }
            drop(feed);
            while let Some(frame) = http_body_util::BodyExt::frame(response.body_mut()).await {
                got.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
            }
            assert_eq!(got, expected, "{change}");
        }
        let answer = get(proxy.address(), "/bytes/100000").await;
        assert_eq!(answer.header("content-length"), "");
        assert_eq!(answer.body.is_empty(), change == "drop");
    }
}

#[tokio::test]
async fn a_request_is_rewritten_on_its_way() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let text = guest.bytes("!");
    let last = format!(
        "(if (i64.eq (call $number_read (i32.const 11)) (i64.const 1)) (then (drop (call $body_append {text})))) (i32.const 0)"
    );
    let guest = wanting(guest.hook("request_body", &last), 0, REWRITE, 0, PASS);
    let proxy = start(&guest, &origin);
    for client in &mut both(&proxy).await {
        let answer = client.send(request("POST", "/x").body(Body::from("hello")).unwrap()).await;
        let seen = origin.last();
        assert_eq!((answer.status, &seen.body[..], seen.has("content-length")), (200, &b"hello!"[..], false));
    }
}

#[tokio::test]
async fn a_hook_that_peeks_sees_the_beginning_and_the_rest_follows() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let (text, name) = (guest.bytes("HEL"), guest.bytes("x-seen"));
    let peek = format!(
        "(local $length i32)
         (local.set $length (call $body_read (i32.const 0) (i32.const 60000) (i32.const 100)))
         (drop (call $header_set (i32.const 0) {name} (i32.const 60000) (local.get $length)))
         (if (i32.eq (local.get $length) (i32.const 4)) (then (drop (call $body_replace {text})))) (i32.const 0)"
    );
    let guest = wanting(guest.hook("request_body", &peek), 0, PEEK, 4, PASS);
    let proxy = start(&guest, &origin);
    for client in &mut both(&proxy).await {
        let answer = client.send(request("POST", "/x").body(Body::from("hello world")).unwrap()).await;
        let seen = origin.last();
        assert_eq!((answer.status, seen.header("x-seen").as_str()), (200, "hell"));
        assert_eq!((&seen.body[..], seen.header("content-length").as_str()), (&b"HELo world"[..], "10"));
        client.send(request("POST", "/x").body(Body::from("hey")).unwrap()).await;
        assert_eq!((&origin.last().body[..], origin.last().header("x-seen").as_str()), (&b"hey"[..], "hey"));
        // Most of it comes after it was seen, and counts all the same.
        let answer = client.send(request("POST", "/x").body(Body::Made(1 << 20)).unwrap()).await;
        let seen = origin.last();
        assert_eq!(
            (answer.status, seen.body_bytes, seen.header("content-length").as_str()),
            (200, 1_048_575, "1048575")
        );
    }
    client_feeds_slowly(&proxy, &origin).await;
}

/// The head goes on as soon as enough is here.
async fn client_feeds_slowly(proxy: &Proxy, origin: &Origin) {
    let before = origin.count();
    let (feed, body) = Body::fed(1);
    let mut client = Connection::http1(proxy.address()).await;
    let sending = tokio::spawn(async move { client.send(request("POST", "/x").body(body).unwrap()).await });
    assert!(feed.send("he").await && feed.send("l").await);
    assert_eq!(origin.count(), before, "it waits");
    assert!(feed.send("lo").await);
    while origin.count() == before {
        tokio::task::yield_now().await;
    }
    assert!(feed.send(" you").await);
    drop(feed);
    assert_eq!(sending.await.unwrap().status, 200);
    assert_eq!(&origin.last().body[..], b"HELo you");
}

#[tokio::test]
async fn what_is_too_long_to_be_held_passes_is_refused_or_fails() {
    let origin = origin().start();
    for (overflow, on_failure, request_side, response_side) in [
        (PASS, "closed", (200, ""), (200, "")),
        (REJECT, "open", (413, "body_too_large"), (502, "upstream_body_too_large")),
        (FAIL, "closed", (500, "plugin_failed"), (500, "plugin_failed")),
        (FAIL, "open", (200, ""), (200, "")),
    ] {
        let mut guest = Guest::new();
        let name = guest.bytes("x-called");
        let called = |map: u8| format!("(drop (call $header_set (i32.const {map}) {name} {name})) (i32.const 0)");
        let modes = [0, 1].map(|body| {
            format!("(drop (call $body_mode (i32.const {body}) (i32.const {BUFFER}) (i64.const 1000) (i32.const {overflow})))")
        });
        let guest = guest
            .hook("request_body", &called(0))
            .hook("response_body", &called(1))
            .hook("configure", &format!("{} (i32.const 0)", modes.join(" ")));
        let proxy = with(&guest, &origin, on_failure).start();
        for client in &mut both(&proxy).await {
            // Told by its length, and found out on the way.
            let (feed, fed) = Body::fed(4);
            assert!(feed.send(vec![b'x'; 600]).await && feed.send(vec![b'y'; 600]).await);
            drop(feed);
            for body in [Body::from(vec![b'x'; 1001]), fed] {
                let length = if matches!(body, Body::Fed(_)) { 1200 } else { 1001 };
                let before = origin.count();
                // An answer that is small enough.
                let answer = client.send(request("POST", "/status/200").body(body).unwrap()).await;
                assert_eq!((answer.status, answer.reason().as_str()), request_side, "{overflow} {on_failure}");
                if request_side.0 == 200 {
                    let seen = origin.last();
                    assert_eq!((seen.body_bytes, seen.has("x-called")), (length, false));
                    assert_eq!(answer.header("x-called"), "x-called");
                } else {
                    assert_eq!(origin.count(), before);
                }
                if client.is_closed() {
                    *client = Connection::http1(proxy.address()).await;
                }
            }
            for path in ["/bytes/1001", "/stream/2"] {
                let answer = client.get(path).await;
                assert_eq!((answer.status, answer.reason().as_str()), response_side, "{overflow} {on_failure} {path}");
                assert_eq!(answer.header("x-called"), "");
                assert_eq!(client.get("/bytes/1000").await.header("x-called"), "x-called", "as much as it wants");
            }
        }
    }
}

#[tokio::test]
async fn all_bodies_that_a_plugin_holds_fit_its_budget() {
    const PIECE: usize = 40 << 10;
    let origin = origin().start();
    for (mode, overflow, on_failure, beyond) in [
        (BUFFER, PASS, "open", (200, "")),
        (BUFFER, PASS, "closed", (503, "plugin_overloaded")),
        (BUFFER, REJECT, "open", (503, "plugin_overloaded")),
        (PEEK, PASS, "open", (200, "")),
        (PEEK, PASS, "closed", (503, "plugin_overloaded")),
    ] {
        let mut guest = Guest::new();
        let name = guest.bytes("x-called");
        let called = format!("(drop (call $header_set (i32.const 0) {name} {name})) (i32.const 0)");
        let guest = wanting(guest.hook("request_body", &called), 0, mode, 1 << 20, overflow);
        let plugin = format!("file: p.wasm, on_failure: {on_failure}, budget: {{ deadline: 1s, bodies: 64KiB }}");
        let proxy = proxy()
            .config("workers: 1")
            .config("routes: [{ name: app, upstream: app, plugins: [p] }]")
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
            .config(format!("plugins: {{ p: {{ {plugin} }} }}"))
            .file("p.wasm", guest.module())
            .start();
        let is_held = async |bytes: usize| {
            while proxy.scrape().value("tidegate_plugin_held_bytes", &[("plugin", "p")]) != bytes as f64 {
                tokio::task::yield_now().await;
            }
        };
        let (feed, body) = Body::fed(1);
        let mut first = Connection::http1(proxy.address()).await;
        let sending = tokio::spawn(async move { first.send(request("POST", "/x").body(body).unwrap()).await });
        assert!(feed.send(vec![b'x'; PIECE]).await);
        is_held(PIECE).await;
        let refused = [("plugin", "p"), ("effect", "body"), ("reason", "budget")];
        for (number, client) in both(&proxy).await.iter_mut().enumerate() {
            let answer = client.send(request("POST", "/x").body(Body::from(vec![b'y'; PIECE])).unwrap()).await;
            assert_eq!((answer.status, answer.reason().as_str()), beyond, "{mode} {overflow} {on_failure}");
            if beyond.0 == 200 {
                let seen = origin.last();
                assert_eq!((seen.body.len(), seen.has("x-called")), (PIECE, false), "whole, and unseen");
            }
            proxy.wait_for_metric("tidegate_plugin_dropped_total", &refused, (number + 1) as f64);
            is_held(PIECE).await;
        }
        drop(feed);
        assert_eq!(sending.await.unwrap().status, 200);
        assert_eq!((origin.last().body.len(), origin.last().has("x-called")), (PIECE, true));
        is_held(0).await;
        for client in &mut both(&proxy).await {
            let answer = client.send(request("POST", "/x").body(Body::from(vec![b'y'; PIECE])).unwrap()).await;
            assert_eq!((answer.status, origin.last().has("x-called")), (200, true), "there is room again");
        }
        is_held(0).await;
    }
}

#[tokio::test]
async fn a_hook_can_answer_once_it_has_seen_the_body() {
    let origin = origin().start();
    for mode in [BUFFER, STREAM] {
        let mut guest = Guest::new();
        let reply = guest.reply(403, "not that");
        let hook = format!(
            "(drop (call $body_read (i32.const 0) (i32.const 60000) (i32.const 1)))
             (if (result i32) (i32.eq (i32.load8_u (i32.const 60000)) (i32.const 98)) (then {reply}) (else (i32.const 0)))"
        );
        let guest = wanting(guest.hook("request_body", &hook), 0, mode, if mode == BUFFER { 1000 } else { 0 }, PASS);
        let proxy = start(&guest, &origin);
        for client in &mut both(&proxy).await {
            let good = client.send(request("POST", "/x").body(Body::from("good")).unwrap()).await;
            assert_eq!((good.status, &origin.last().body[..]), (200, &b"good"[..]));
            let bad = client.send(request("POST", "/x").body(Body::from("bad")).unwrap()).await;
            assert_eq!((bad.status, bad.text().as_str()), (403, "not that"), "{mode}");
        }
        let line = proxy.wait_for_log(4).remove(1);
        assert!(line["error"].is_null(), "{line}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_while_it_is_held_is_an_error() {
    let origin = origin().start();
    let guest = wanting(Guest::new().hook("response_body", "(i32.const 0)"), 1, BUFFER, 1000, PASS);
    let proxy = start(&guest, &origin);
    let answer = get(proxy.address(), "/cut").await;
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_body_incomplete"));
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!((&line["error"]["reason"], &line["attempts"]), (&"upstream_body_incomplete".into(), &1.into()));
}

#[tokio::test]
async fn a_response_whose_first_piece_is_broken_is_an_error_while_it_is_held() {
    for (broken, reason) in [
        ("content-length: 5\r\n\r\n", "upstream_body_incomplete"),
        ("transfer-encoding: chunked\r\n\r\n", "upstream_body_incomplete"),
        ("transfer-encoding: chunked\r\n\r\nno number\r\n", "upstream_protocol"),
    ] {
        let origin = raw_origin(move |_, connection| {
            if connection.head().is_some() {
                connection.send(format!("HTTP/1.1 200 OK\r\n{broken}"));
            }
        });
        for mode in [PEEK, BUFFER] {
            let guest = wanting(Guest::new().hook("response_body", "unreachable"), 1, mode, 1000, PASS);
            let proxy = with_upstream(&guest, origin.address(), "closed").start();
            for client in &mut both(&proxy).await {
                let answer = client.get("/x").await;
                assert_eq!((answer.status, answer.reason().as_str()), (502, reason), "{broken:?} in mode {mode}");
            }
            for line in proxy.wait_for_log(2) {
                assert_eq!((&line["error"]["reason"], &line["attempts"]), (&reason.into(), &1.into()), "{line}");
            }
            assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &[("hook", "response_body")]), 0.0);
        }
    }
}

#[tokio::test]
async fn a_hook_that_fails_in_the_middle_breaks_the_body() {
    let origin = origin().start();
    // At the second piece.
    let guest = Guest::new().hook(
        "response_body",
        "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
         (if (result i32) (i32.gt_u (global.get $seen) (i32.const 1)) (then (i32.const 3)) (else (i32.const 0)))",
    );
    let proxy = start(&guest, &origin);
    let mut client = Connection::http2(proxy.address()).await;
    let asked = request("GET", "/drip/3/50").body(Body::empty()).unwrap();
    let response = client.begin(asked).await.unwrap();
    assert_eq!(response.status(), 200, "its head is out");
    assert!(tidegate_tests::Answer::read(response).await.is_err());
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!((&line["error"]["reason"], &line["response_bytes"]), (&"plugin_failed".into(), &8.into()));
}

#[tokio::test]
async fn what_has_no_body_has_no_body_hook() {
    let origin = origin().start();
    let guest = Guest::new().hook("request_body", "unreachable").hook("response_body", "unreachable");
    let proxy = start(&guest, &origin);
    let mut client = Connection::http1(proxy.address()).await;
    for (method, path, status) in
        [("GET", "/status/204", 204), ("GET", "/status/304", 304), ("HEAD", "/bytes/100", 200)]
    {
        assert_eq!(client.send(request(method, path).body(Body::empty()).unwrap()).await.status, status);
    }
    assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &[("plugin", "p")]), 0.0);
}

#[tokio::test]
async fn trailers_are_changed_in_both_directions() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let request_side = guest.header(2, "x-more", "of the request");
    let response_side = guest.header(3, "x-more", "of the response");
    let guest = guest
        .hook("request_trailers", &format!("{request_side} (i32.const 0)"))
        .hook("response_trailers", &format!("{response_side} (i32.const 0)"));
    let proxy = start(&guest, &origin);
    let (feed, body) = Body::fed(2);
    assert!(feed.send("text").await);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("abc"));
    assert!(feed.trailers(trailers).await);
    drop(feed);
    let asked = request("POST", "/trailers").header("te", "trailers").header("trailer", "x-checksum, x-more");
    let answer = Connection::http2(proxy.address()).await.send(asked.body(body).unwrap()).await;
    let (sent, got) = (origin.last().trailers.unwrap(), answer.trailers.unwrap());
    assert_eq!(
        (&sent["x-checksum"], &sent["x-more"]),
        (&"abc".parse().unwrap(), &"of the request".parse::<HeaderValue>().unwrap())
    );
    assert_eq!(got["x-checksum"], "abc");
    assert_eq!(got["x-more"], "of the response");
}

#[tokio::test]
async fn over_http1_only_trailers_that_were_announced_go_on() {
    for http2 in [false, true] {
        let origin = if http2 { origin().http2().start() } else { origin().start() };
        let mut guest = Guest::new();
        let sides = [2, 3].map(|map| guest.header(map, "x-more", "unannounced"));
        let guest = guest
            .hook("request_trailers", &format!("{} (i32.const 0)", sides[0]))
            .hook("response_trailers", &format!("{} (i32.const 0)", sides[1]));
        let protocol = if http2 { "http2" } else { "http1" };
        let proxy = proxy()
            .config("routes: [{ name: app, upstream: app, plugins: [p] }]")
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol} }} }}", origin.address()))
            .config("plugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }")
            .file("p.wasm", guest.module())
            .start();
        for mut client in both(&proxy).await {
            let (feed, body) = Body::fed(2);
            assert!(feed.send("text").await);
            let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), HeaderValue::from_static("abc"))]);
            assert!(feed.trailers(trailers).await);
            drop(feed);
            let asked = request("POST", "/trailers").header("te", "trailers").header("trailer", "x-checksum");
            let answer = client.send(asked.body(body).unwrap()).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "with trailers"));
            let (sent, got) = (origin.last().trailers.unwrap(), answer.trailers.unwrap());
            assert_eq!(
                (&sent["x-checksum"], &got["x-checksum"]),
                (&"abc".parse().unwrap(), &"abc".parse::<HeaderValue>().unwrap())
            );
            assert_eq!((sent.contains_key("x-more"), got.contains_key("x-more")), (http2, client.is_http2()));
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_given_up_though_plugins_look_at_it() {
    let origin = origin().start();
    for mode in [BUFFER, STREAM] {
        let guest = wanting(Guest::new().hook("request_body", "(i32.const 0)"), 0, mode, 1000, PASS);
        let proxy = with(&guest, &origin, "closed")
            .config("defaults: { timeout: off }")
            .config("listeners: [{ name: web, address: \"127.0.0.1:0\", idle_timeout: 300ms }]")
            .start();
        for number in 0..2 {
            let mut clients = both(&proxy).await;
            let (feed, body) = Body::fed(1);
            assert!(feed.send("a piece").await);
            // Over HTTP/1 the connection may just be closed.
            let _ = clients[number].begin(request("POST", "/x").body(body).unwrap()).await;
            let line = proxy.wait_for_log(number + 1).remove(number);
            assert_eq!(line["error"]["reason"], "body_timeout", "{line}");
        }
    }
}

#[tokio::test]
async fn requests_pass_the_plugins_in_order_and_responses_in_reverse() {
    let origin = origin().start();
    for mode in [BUFFER, REWRITE] {
        let appending = |name: &str| {
            let mut guest = Guest::new();
            let name = guest.bytes(name);
            let append = format!(
                "(if (i64.ne (call $number_read (i32.const 10)) (i64.const 0)) (then (drop (call $body_append {name}))))
                 (i32.const 0)"
            );
            let modes = [0, 1].map(|body| {
                format!("(drop (call $body_mode (i32.const {body}) (i32.const {mode}) (i64.const 1000) (i32.const {REJECT})))")
            });
            let guest = guest.hook("configure", &format!("{} (i32.const 0)", modes.join(" ")));
            guest.hook("request_body", &append).hook("response_body", &append)
        };
        let (one, two) = (appending("1"), appending("2"));
        let proxy = proxy()
            .config("routes: [{ name: app, upstream: app, plugins: [p, q] }]")
            .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
            .config("plugins: { p: { file: p.wasm, on_failure: closed }, q: { file: q.wasm, on_failure: closed } }")
            .file("p.wasm", one.module())
            .file("q.wasm", two.module())
            .start();
        for client in &mut both(&proxy).await {
            let answer = client.send(request("POST", "/echo").body(Body::from("body")).unwrap()).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "body1221"), "{mode}");
        }
    }
}

#[tokio::test]
async fn the_beginning_of_a_body_is_its_last_piece_only_where_it_is_all_of_it() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let last = guest.header(0, "x-last", "yes");
    let peek = format!("(if (i64.eq (call $number_read (i32.const 11)) (i64.const 1)) (then {last})) (i32.const 0)");
    let guest = wanting(guest.hook("request_body", &peek), 0, PEEK, 4, PASS);
    let proxy = start(&guest, &origin);
    for client in &mut both(&proxy).await {
        for (body, expected) in [("all", "yes"), ("more than that", "")] {
            assert_eq!(client.send(request("POST", "/x").body(Body::from(body)).unwrap()).await.status, 200);
            assert_eq!(origin.last().header("x-last"), expected, "{body}");
        }
    }
}
