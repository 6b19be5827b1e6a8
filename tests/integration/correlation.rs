//! One id ties everything about an exchange together: request upstream, response, log line, span, error body.
//! What the shipped plugin adds to this is in `plugins`.

use tidegate_tests::{Proxy, RawMessage, nowhere, origin, proxy, raw};

fn ask(proxy: &Proxy, headers: &str) -> RawMessage {
    raw(proxy.address()).send(format!("GET /status/200 HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n")).response()
}

#[test]
fn an_id_is_made_and_is_the_same_everywhere() {
    let origin = origin().start();
    let collector = tidegate_tests::collector();
    let proxy = proxy()
        .origin(&origin)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 100ms }} }}",
            collector.endpoint()
        ))
        .start();
    let answer = ask(&proxy, "");
    let id = answer.header("x-request-id").expect("an id in the response").to_owned();
    assert!(id.len() >= 16);
    assert_eq!(origin.last().header("x-request-id"), id);
    assert_eq!(proxy.wait_for_log(1)[0]["correlation_id"], id);
    tidegate_tests::eventually("the span", || {
        collector.spans().iter().any(|span| span.attributes.get("tidegate.correlation_id") == Some(&id))
    });
    assert_ne!(ask(&proxy, "").header("x-request-id"), Some(id.as_str()));
}

#[test]
fn a_clients_id_is_taken_over_under_its_own_header() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for name in ["x-request-id", "x-correlation-id"] {
        let answer = ask(&proxy, &format!("{name}: abc-123.DEF_4\r\n"));
        assert_eq!(answer.headers(name), ["abc-123.DEF_4"]);
        assert_eq!(origin.last().header(name), "abc-123.DEF_4");
    }
    assert!(proxy.wait_for_log(2).iter().all(|line| line["correlation_id"] == "abc-123.DEF_4"));
}

#[test]
fn an_id_that_could_do_harm_is_replaced() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let long = "x".repeat(5_000);
    let hostile = ["", "a b", "a\"b", "{}", "a\tb", "\u{e9}", "<script>", "a;b", "${x}", &long];
    for (number, id) in hostile.iter().enumerate() {
        let answer = ask(&proxy, &format!("x-request-id: {id}\r\n"));
        assert_eq!(answer.status(), 200);
        let made = answer.header("x-request-id").unwrap();
        assert!(!made.is_empty() && made != *id && made.len() < 130, "{id}: {made}");
        assert_eq!(origin.last().header("x-request-id"), made);
        assert_eq!(proxy.wait_for_log(number + 1)[number]["correlation_id"], made);
    }
}

#[test]
fn answers_of_our_own_carry_it_too() {
    let proxy = proxy().upstream(nowhere()).start();
    let answer = ask(&proxy, "x-request-id: mine\r\n");
    assert_eq!((answer.status(), answer.header("x-request-id")), (502, Some("mine")));
    assert_eq!(answer.json()["correlation_id"], "mine");
    // Even a request that could not be read.
    let answer = raw(proxy.address()).send("nonsense\r\n\r\n").response();
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(answer.json()["correlation_id"], id);
    assert_eq!(proxy.wait_for_log(2)[1]["correlation_id"], id);
}

#[test]
fn an_origins_own_id_does_not_get_in_the_way() {
    let origin = tidegate_tests::raw_origin(|_, connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nx-request-id: of-the-origin\r\ncontent-length: 0\r\n\r\n");
    });
    let proxy = proxy().upstream(origin.address()).start();
    let answer = ask(&proxy, "x-request-id: mine\r\n");
    assert_eq!(answer.headers("x-request-id"), ["mine"]);
}
