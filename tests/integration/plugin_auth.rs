//! `auth-callout` in the running proxy: a service over a socket decides, and everything else goes on.
//! What the plugin makes of an answer is tested beside it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate_tests::{
    Origin, Proxy, ProxyBuilder, RawMessage, RawOrigin, collector, eventually_some, nowhere, origin, proxy, raw,
    raw_origin,
};

/// The heads of requests that the service got.
type Asked = Arc<Mutex<Vec<RawMessage>>>;

/// A service that lets `good-NAME` pass as NAME, redirects `lost`, fails for `broken`, and hangs for `slow`.
fn service() -> (RawOrigin, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let origin = raw_origin(move |_, connection| {
        while let Some(message) = connection.message() {
            let credentials = message.header("authorization").unwrap_or_default().to_owned();
            seen.lock().unwrap().push(message);
            let answer = match credentials.strip_prefix("good-") {
                Some(name) => format!("200 OK\r\nx-auth-user: {name}\r\nx-auth-other: no"),
                None if credentials == "lost" => {
                    "302 Found\r\nlocation: /login\r\nset-cookie: a=1\r\nset-cookie: b=2".to_owned()
                }
                None if credentials == "broken" => "500 Internal Server Error".to_owned(),
                None if credentials == "slow" => {
                    // Until the other side gives up.
                    connection.closed();
                    return;
                }
                None => "401 Unauthorized\r\nwww-authenticate: Basic realm=\"a\"".to_owned(),
            };
            connection.send(format!("HTTP/1.1 {answer}\r\ncontent-length: 4\r\n\r\nbody"));
        }
    });
    (origin, asked)
}

fn with(origin: &Origin, auth: std::net::SocketAddr, more: &str) -> ProxyBuilder {
    proxy()
        .config(
            "routes:\n  - { name: open, match: { path: \"/open/{*rest}\" }, upstream: app }\n  \
             - { name: app, upstream: app, plugins: [auth] }",
        )
        .config(format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"] }}, auth: {{ endpoints: [\"{auth}\"] }} }}",
            origin.address()
        ))
        .config(format!(
            "plugins:\n  auth:\n    builtin: auth-callout\n    on_failure: closed\n    budget: {{ deadline: 1s }}\n    config:\n      upstream: auth\n      path: /verify\n      \
             identity: [{{ header: x-auth-user, log_field: user, span_attribute: enduser.id }}]\n      {more}\n"
        ))
}

fn ask(proxy: &Proxy, path: &str, headers: &str) -> RawMessage {
    raw(proxy.address()).send(format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n{headers}\r\n")).response()
}

fn outcome(proxy: &Proxy, outcome: &str, count: f64) {
    proxy.wait_for_metric("auth_requests_total", &[("plugin", "auth"), ("outcome", outcome)], count);
}

#[test]
fn a_request_passes_with_the_services_identity_and_not_the_clients() {
    let (origin, (auth, asked)) = (origin().start(), service());
    let proxy = with(&origin, auth.address(), "timeout: 5s").start();
    let answer = ask(&proxy, "/a?b=c", "authorization: good-ann\r\nx-auth-user: root\r\nx_auth_user: root\r\n");
    assert_eq!(answer.status(), 200);
    let seen = origin.last();
    assert_eq!((seen.header("x-auth-user").as_str(), seen.has("x_auth_user")), ("ann", false));
    assert!(!seen.has("x-auth-other"));
    let question = asked.lock().unwrap().remove(0);
    assert_eq!(question.start_line(), "GET /verify HTTP/1.1");
    assert_eq!(question.header("x-forwarded-uri"), Some("/a?b=c"));
    assert_eq!(question.header("x-forwarded-host"), Some("shop.test"));
    assert_eq!(question.header("x-forwarded-for"), Some("127.0.0.1"));
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!((&line["user"], &line["auth.outcome"]), (&"ann".into(), &"allowed".into()), "{line}");
    outcome(&proxy, "allowed", 1.0);
    assert_eq!(proxy.scrape().value("auth_duration_seconds_count", &[("plugin", "auth")]), 1.0);
}

#[test]
fn a_denial_reaches_the_client_and_not_the_origin() {
    let (origin, (auth, _asked)) = (origin().start(), service());
    let proxy = with(&origin, auth.address(), "timeout: 5s").start();
    let denied = ask(&proxy, "/a", "authorization: bad\r\n");
    assert_eq!((denied.status(), denied.text().as_str()), (401, "body"));
    assert_eq!(denied.header("www-authenticate"), Some("Basic realm=\"a\""));
    let lost = ask(&proxy, "/a", "authorization: lost\r\n");
    assert_eq!((lost.status(), lost.header("location")), (302, Some("/login")));
    assert_eq!(lost.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(origin.count(), 0);
    outcome(&proxy, "denied", 2.0);
}

#[test]
fn answers_are_remembered_by_all_workers_and_over_a_reload() {
    let (origin, (auth, asked)) = (origin().start(), service());
    let proxy = with(&origin, auth.address(), "cache: { ttl: 10m, key: [] }").config("workers: 2").start();
    for _ in 0..10 {
        // A connection each, so that both workers get some.
        assert_eq!(ask(&proxy, "/a", "authorization: good-ann\r\n").status(), 200);
        assert_eq!(origin.last().header("x-auth-user"), "ann");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    outcome(&proxy, "cached", 9.0);
    let text = std::fs::read_to_string(proxy.folder().join("tidegate.yaml")).unwrap();
    assert_eq!(proxy.reload(text.replace("ttl: 10m", "ttl: 11m")).status(), 200);
    assert_eq!(ask(&proxy, "/b", "authorization: good-ann\r\n").status(), 200);
    assert_eq!(ask(&proxy, "/b", "authorization: good-bob\r\n").status(), 200);
    assert_eq!(origin.last().header("x-auth-user"), "bob");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_service_that_fails_or_hangs_denies_and_holds_up_nobody_else() {
    let (origin, (auth, _asked)) = (origin().start(), service());
    let proxy = with(&origin, auth.address(), "timeout: 1500ms").config("workers: 1").start();
    let broken = ask(&proxy, "/a", "authorization: broken\r\n");
    assert_eq!((broken.status(), broken.header("cache-control")), (503, Some("no-store")));
    let begun = Instant::now();
    let mut slow = raw(proxy.address());
    slow.send("GET /a HTTP/1.1\r\nhost: a.test\r\nauthorization: slow\r\n\r\n");
    assert_eq!(ask(&proxy, "/open/a", "").status(), 200);
    assert_eq!(ask(&proxy, "/a", "authorization: good-ann\r\n").status(), 200);
    assert!(begun.elapsed() < Duration::from_millis(1500), "others were held up");
    assert_eq!(slow.response().status(), 503);
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    outcome(&proxy, "failed", 2.0);
    let errors: Vec<_> = proxy.wait_for_log(4).iter().map(|line| line["auth.error"].clone()).collect();
    assert!(errors.contains(&"status_500".into()) && errors.contains(&"timeout".into()), "{errors:?}");
}

#[test]
fn a_service_that_is_not_there_lets_pass_only_where_told_to() {
    let origin = origin().start();
    for (config, status) in [("on_failure: deny", 503), ("on_failure: allow", 200)] {
        let proxy = with(&origin, nowhere(), config).start();
        let answer = ask(&proxy, "/a", "authorization: good-ann\r\nx-auth-user: root\r\n");
        assert_eq!(answer.status(), status);
        assert_eq!(proxy.wait_for_log(1)[0]["auth.error"], "connect_failed");
    }
    assert_eq!(origin.count(), 1);
    assert!(!origin.last().has("x-auth-user"));
}

#[test]
fn the_question_is_a_child_of_the_exchanges_span() {
    let (origin, (auth, asked), collector) = (origin().start(), service(), collector());
    let proxy = with(&origin, auth.address(), "timeout: 5s")
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        ))
        .start();
    assert_eq!(ask(&proxy, "/a", "authorization: good-ann\r\n").status(), 200);
    let spans = eventually_some("the spans of the exchange", || {
        let spans = collector.spans();
        spans.iter().any(|span| span.kind == 2).then_some(spans)
    });
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(server.attributes["enduser.id"], "ann");
    let question = spans.iter().find(|span| span.attributes.contains_key("tidegate.plugin") && span.kind == 3).unwrap();
    assert_eq!((&question.parent_id, &question.trace_id), (&server.span_id, &server.trace_id));
    let carried = asked.lock().unwrap()[0].header("traceparent").unwrap().to_owned();
    assert!(carried.starts_with(&format!("00-{}-{}-", question.trace_id, question.span_id)), "{carried}");
}
