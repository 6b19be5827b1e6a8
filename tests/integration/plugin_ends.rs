//! Exchanges that end while a hook of theirs waits, whichever hook that is: at their deadline, or because the client leaves.
//! It knows nothing of what hooks wait for.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use tidegate_tests::{
    Answer, Body, Connection, Guest, Origin, PATIENCE, Proxy, RawConnection, eventually, origin, proxy, raw, request,
};

/// A hook, and how its plugin wants bodies where that matters: nothing, or held until they are whole.
const WAITS: [(&str, bool); 11] = [
    ("request_head", false),
    ("request_body", false),
    ("request_body", true),
    ("request_trailers", false),
    ("upstream_chosen", false),
    ("upstream_error", false),
    ("retry", false),
    ("response_head", false),
    ("response_body", true),
    ("response_body", false),
    ("response_trailers", false),
];

/// Where the head of the answer is out before the hook waits.
fn is_late(hook: &str, holds: bool) -> bool {
    hook == "response_trailers" || (hook == "response_body" && !holds)
}

fn name(hook: &str, holds: bool) -> String {
    format!("{}{}", hook.replace('_', "-"), if holds { "-held" } else { "" })
}

/// A plugin with this hook, which sleeps for longer than any test. Each exchange must find the slot of the one before free again, and
/// nothing may be resumed.
fn sleeping(hook: &str, holds: bool) -> Vec<u8> {
    let mut guest = Guest::new();
    if holds {
        let body = u8::from(hook == "response_body");
        let mode = format!("(call $body_mode (i32.const {body}) (i32.const 3) (i64.const 1000) (i32.const 1))");
        guest = guest.hook("configure", &mode);
    }
    guest
        .hook(hook, "(if (local.get $slot) (then unreachable)) (drop (call $sleep (i64.const 60000))) (i32.const 1)")
        .hook("resume", "unreachable")
        .hook("log", "(if (local.get $slot) (then unreachable))")
        .module()
}

/// A route and a plugin for each of them.
fn start(origin: &Origin, timeout: &str) -> Proxy {
    let (mut builder, mut routes, mut plugins) = (proxy(), String::new(), String::new());
    for (hook, holds) in WAITS {
        let name = name(hook, holds);
        builder = builder.file(&format!("{name}.wasm"), sleeping(hook, holds));
        let upstream = if matches!(hook, "upstream_error" | "retry") { "gone" } else { "app" };
        routes += &format!(
            "\n  - {{ name: {name}, match: {{ path_prefix: /{name} }}, rewrite: {{ prefix: / }}, upstream: {upstream}, timeout: {timeout}, plugins: [{name}] }}"
        );
        plugins += &format!("\n  {name}: {{ file: {name}.wasm, on_failure: closed, budget: {{ deadline: 1s }} }}");
    }
    builder
        .config(format!("workers: 1\nroutes:{routes}\nplugins:{plugins}"))
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, gone: {{ endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"] }} }}",
            origin.address()
        ))
        .start()
}

/// A request that brings the plugin to its hook. `Err` where there was no whole answer.
async fn ask(mut connection: Connection, hook: &str, holds: bool) -> hyper::Result<Answer> {
    let path = if hook.starts_with("response") { "/trailers" } else { "/" };
    let body = if hook.starts_with("request") {
        let (feed, body) = Body::fed(2);
        tokio::spawn(async move {
            feed.send("hello").await;
            feed.trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("5"))])).await;
        });
        body
    } else {
        Body::empty()
    };
    let asked = request("POST", &format!("/{}{path}", name(hook, holds)))
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(body)
        .unwrap();
    Answer::read(connection.begin(asked).await?).await
}

fn calls(proxy: &Proxy, hook: &str, holds: bool, outcome: &str) -> f64 {
    let name = name(hook, holds);
    let labels = [("plugin", name.as_str()), ("hook", hook), ("outcome", outcome)];
    proxy.scrape().value("tidegate_plugin_calls_total", &labels)
}

/// What the last exchange's line says.
fn reason(proxy: &Proxy, number: usize) -> String {
    let line = proxy.wait_for_log(number).remove(number - 1);
    line["error"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// Waits for something while the client goes on.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_deadline_ends_a_wait_in_every_hook() {
    let origin = origin().start();
    let proxy = start(&origin, "200ms");
    let mut number = 0;
    for http2 in [false, true] {
        for (hook, holds) in WAITS {
            let what = format!("{}, HTTP/2: {http2}", name(hook, holds));
            let connection = match http2 {
                true => Connection::http2(proxy.address()).await,
                false => Connection::http1(proxy.address()).await,
            };
            let begun = Instant::now();
            let answer = ask(connection, hook, holds).await;
            let took = begun.elapsed();
            assert!((Duration::from_millis(190)..PATIENCE / 2).contains(&took), "{what}: {took:?}");
            match answer {
                // What a client has of the answer is not whole, and it can see that.
                Err(_) if is_late(hook, holds) => {}
                Ok(answer) if !is_late(hook, holds) => {
                    assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"), "{what}");
                }
                other => panic!("{what}: {other:?}"),
            }
            number += 1;
            assert_eq!(reason(&proxy, number), "timeout", "{what}");
            let pending = if http2 { 2.0 } else { 1.0 };
            assert_eq!(calls(&proxy, hook, holds, "pending"), pending, "{what}");
        }
    }
    assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &[("outcome", "trap")]), 0.0);
}

/// Each of them waits for a request over HTTP/1.1, and then the client goes in this way.
fn left(leave: impl Fn(RawConnection)) {
    let origin = origin().start();
    let proxy = start(&origin, "50s");
    for (number, (hook, holds)) in WAITS.into_iter().enumerate() {
        let name = name(hook, holds);
        let (path, body) = if hook.starts_with("response") { ("trailers", "") } else { ("", "5\r\nhello\r\n") };
        let mut client = raw(proxy.address());
        client.send(format!(
            "POST /{name}/{path} HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             {body}0\r\nx-sum: 5\r\n\r\n"
        ));
        eventually(&format!("{name} waits"), || calls(&proxy, hook, holds, "pending") == 1.0);
        leave(client);
        assert_eq!(reason(&proxy, number + 1), "client_closed", "{name}");
    }
    assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &[("outcome", "trap")]), 0.0);
}

#[test]
fn a_client_that_closes_ends_a_wait_in_every_hook() {
    left(drop);
}

#[test]
fn a_client_that_breaks_off_ends_a_wait_in_every_hook() {
    left(RawConnection::reset);
}

#[tokio::test]
async fn a_stream_that_is_given_up_ends_a_wait_in_every_hook() {
    let origin = origin().start();
    let proxy = start(&origin, "50s");
    let client = Connection::http2(proxy.address()).await;
    for (number, (hook, holds)) in WAITS.into_iter().enumerate() {
        let name = name(hook, holds);
        tokio::select! {
            answer = ask(client.beside(), hook, holds) => panic!("{name}: {answer:?}"),
            () = until(&name, || calls(&proxy, hook, holds, "pending") == 1.0) => {}
        }
        until(&format!("the end of {name}"), || proxy.log_lines().len() > number).await;
        assert_eq!(reason(&proxy, number + 1), "client_closed", "{name}");
    }
    assert_eq!(proxy.scrape().value("tidegate_plugin_calls_total", &[("outcome", "trap")]), 0.0);
}
