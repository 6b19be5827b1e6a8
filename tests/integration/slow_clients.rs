//! A thousand clients at once that are slow in the three ways there are: others are served all the while, and each of the
//! thousand is gone when its time is over. The timeouts one by one are in `timeouts`.

use std::time::{Duration, Instant};

use tidegate_tests::{
    Connection, Proxy, eventually, origin, proxy, raise_descriptors, raw, raw_origin, resident_bytes, websocket,
};

const HEADS: usize = 400;
const BODIES: usize = 400;
const READERS: usize = 200;
/// Of a head, and of silence. Long enough for all of them to be there at once on a slow machine.
const LIMIT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_thousand_at_once_keep_nobody_from_being_served_and_are_gone_in_time() {
    raise_descriptors();
    let quick = origin().start();
    let large = raw_origin(|_, connection| {
        if connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
            while connection.try_send(&[b'x'; 64 * 1024]) {}
        }
    });
    let proxy = proxy()
        .config("listeners: [{ name: web, address: \"127.0.0.1:0\", head: { timeout: 8s }, idle_timeout: 8s }]")
        .config("routes: [{ name: large, match: { path: /large }, upstream: large }, { name: quick, upstream: quick }]")
        .config(format!(
            "upstreams: {{ quick: {{ endpoints: [\"{}\"] }}, large: {{ endpoints: [\"{}\"] }} }}",
            quick.address(),
            large.address()
        ))
        .start();
    let mut bystander = Connection::http1(proxy.address()).await;
    assert_eq!(bystander.get("/").await.status, 200);
    let before = resident_bytes(proxy.id());

    let connected = |request: &str, count: usize| {
        let connect = |_| {
            let mut client = raw(proxy.address());
            client.send(request);
            client
        };
        (0..count).map(connect).collect::<Vec<_>>()
    };
    let mut heads = connected("GET / HTTP/1.1\r\nhost: a", HEADS);
    let mut bodies = connected("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nhello", BODIES);
    let readers = connected("GET /large HTTP/1.1\r\nhost: a.test\r\n\r\n", READERS);
    let all = (HEADS + BODIES + READERS + 1) as f64;
    eventually("all are there at once", || proxy.scrape().value("tidegate_connections_active", &[]) == all);
    let most = resident_bytes(proxy.id());

    let begun = Instant::now();
    let mut waits = Vec::new();
    while proxy.scrape().value("tidegate_connections_active", &[]) > 1.0 {
        let asked = Instant::now();
        assert_eq!(bystander.get("/").await.status, 200);
        waits.push(asked.elapsed());
        // A head that comes byte by byte gains no time.
        for client in heads.iter_mut().step_by(40) {
            client.send("a");
        }
        assert!(begun.elapsed() < LIMIT * 3, "some do not go");
    }
    // Not the slowest: on a busy machine that one tells of the machine.
    waits.sort();
    let (served, most_in) = (waits.len(), waits[waits.len() * 95 / 100]);
    assert!(served >= 20 && most_in < LIMIT / 8, "{served} served, 95 % of them in {most_in:?}");
    assert!(most < before + 128 * 1024 * 1024, "{} KiB", (most - before) / 1024);

    // Who can be answered was; whoever takes nothing cannot be.
    assert!(bodies.iter_mut().all(|client| client.to_end().starts_with(b"HTTP/1.1 408 ")));
    let told = heads.iter_mut().filter_map(|client| client.message()).filter(|answer| answer.status() == 408).count();
    assert!(told > HEADS * 9 / 10, "{told}");
    drop(readers);
    let errors = |reason: &str| proxy.scrape().value("tidegate_errors_total", &[("reason", reason)]);
    assert_eq!((errors("head_timeout"), errors("body_timeout")), (HEADS as f64, BODIES as f64));
    assert_eq!(errors("client_closed"), READERS as f64);
}

/// How many bytes the proxy holds for each of the clients that came since it held `before`.
fn each(proxy: &Proxy, before: u64, clients: u64) -> u64 {
    resident_bytes(proxy.id()).saturating_sub(before) / clients
}

#[test]
fn a_client_that_is_slow_to_ask_holds_little() {
    raise_descriptors();
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let connected = |count: u64, request: &str| {
        let connect = |_| {
            let mut client = raw(proxy.address());
            client.send(request);
            client
        };
        (0..count).map(connect).collect::<Vec<_>>()
    };
    let mut held = connected(100, "GET / HTTP/1.1\r\nhost: a");
    // Nothing tells that a part of a head was read; the answer to whoever came later does.
    let all_read = || {
        for client in &mut connected(4, "GET / HTTP/1.1\r\nhost: a\r\n\r\n") {
            client.response();
        }
    };
    all_read();
    let before = resident_bytes(proxy.id());
    held.extend(connected(1000, "GET / HTTP/1.1\r\nhost: a"));
    all_read();
    let each = each(&proxy, before, 1000);
    assert!(each <= 6 * 1024, "{each}");
    // They are served all the same.
    for mut client in held.into_iter().step_by(100) {
        assert_eq!(client.send(".test\r\n\r\n").response().status(), 200);
    }
}

#[tokio::test]
async fn a_websocket_in_which_nothing_is_said_holds_little() {
    raise_descriptors();
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut held = Vec::new();
    let mut before = 0;
    // So many, since the allocator takes memory by some MiB.
    for number in 0..2100 {
        if number == 100 {
            before = resident_bytes(proxy.id());
        }
        let mut socket = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
        // What a session holds while bytes pass is given back.
        socket.send("hello").await;
        assert_eq!(socket.next().await.unwrap(), b"hello");
        held.push(socket);
    }
    let each = each(&proxy, before, 2000);
    assert!(each <= 8 * 1024, "{each}");
}
