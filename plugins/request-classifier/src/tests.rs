//! What someone who configures the plugin would notice.

use tidegate_sdk::prelude::*;

use crate::Classifier;

fn host(config: serde_json::Value) -> TestHost {
    TestHost::configure::<Classifier>(config).unwrap()
}

fn class(
    host: &mut TestHost,
    request: impl FnOnce(tidegate_sdk::test::TestRequest<'_>) -> tidegate_sdk::test::TestRequest<'_>,
) -> String {
    request(host.exchange()).respond(200).log_field("kind").as_str().unwrap().to_owned()
}

#[test]
fn counts_times_logs_and_traces_a_request_by_its_class() {
    let mut host = host(json!({ "label": "kind", "rules": [{ "path_prefix": "/users", "value": "api" }] }));
    let exchange = host.exchange().get("/users/42").duration(Duration::from_millis(250)).respond(200);
    assert_eq!(host.counter("requests_by_kind", [("kind", "api")]), 1);
    assert_eq!(host.histogram("requests_by_kind.duration", [("kind", "api")]).values, [0.25]);
    assert_eq!(exchange.log_field("kind"), "api");
    assert_eq!(exchange.span().attribute("kind"), "api");
    let child = exchange.child("classify").unwrap();
    assert_eq!(child.attribute("kind"), "api");
    assert!(child.is_ended() && child.is_child_of_exchange());
}

#[test]
fn the_first_rule_wins_and_the_rest_is_otherwise() {
    let mut host = host(json!({
        "label": "kind",
        "rules": [
            { "path": "/users/me", "value": "own" },
            { "path_prefix": "/users/", "method": "GET", "value": "read" },
            { "path_prefix": "/users", "value": "write" },
        ],
        "otherwise": "page",
    }));
    assert_eq!(class(&mut host, |request| request.get("/users/me")), "own");
    assert_eq!(class(&mut host, |request| request.get("/users/7")), "read");
    assert_eq!(class(&mut host, |request| request.post("/users")), "write");
    assert_eq!(class(&mut host, |request| request.get("/usersx")), "page");
    assert_eq!(host.counter("requests_by_kind", [("kind", "page")]), 1);
    assert_eq!(host.counter("requests_by_kind", [("kind", "other")]), 0);
}

#[test]
fn hosts_headers_and_queries_match_too() {
    let mut host = host(json!({
        "label": "kind",
        "rules": [
            { "host": "*.API.example.com", "value": "subdomain" },
            { "host": "api.example.com", "value": "api" },
            { "header": { "name": "X-Tenant", "value": "acme" }, "value": "acme" },
            { "header": { "name": "x-bot" }, "value": "bot" },
            { "query": { "name": "q", "value": "a b&c" }, "value": "search" },
            { "query": { "name": "debug" }, "value": "debug" },
        ],
    }));
    assert_eq!(class(&mut host, |request| request.host("eu.api.example.com")), "subdomain");
    assert_eq!(class(&mut host, |request| request.host("api.example.com")), "api");
    assert_eq!(class(&mut host, |request| request.header("x-tenant", "globex").header("x-tenant", "acme")), "acme");
    assert_eq!(class(&mut host, |request| request.header("x-bot", b"\xff")), "bot");
    assert_eq!(class(&mut host, |request| request.get("/?p=1&q=a+b%26c")), "search");
    assert_eq!(class(&mut host, |request| request.get("/?debug")), "debug");
    assert_eq!(class(&mut host, |request| request.get("/?debugger=%zz%")), "other");
    assert_eq!(class(&mut host, |request| request.get("/")), "other");
}

#[test]
fn a_client_cannot_add_a_class() {
    let mut host = host(json!({ "label": "kind", "rules": [{ "header": { "name": "x-kind" }, "value": "given" }] }));
    for value in ["a", "b", "given"] {
        host.exchange().header("x-kind", value).respond(200);
    }
    assert_eq!(host.counter("requests_by_kind", [("kind", "given")]), 3);
}

#[test]
fn a_wrong_configuration_is_refused_by_the_key() {
    let refused = |config| TestHost::configure::<Classifier>(config).unwrap_err().to_string();
    assert_eq!(
        refused(json!({ "label": "kind", "rules": [{ "value": "api" }] })),
        "config.rules[0]: no condition; write `otherwise` for everything else"
    );
    assert_eq!(
        refused(json!({ "label": "kind", "rules": [{ "path": "users", "value": "api" }] })),
        "config.rules[0].path: a path begins with `/`"
    );
    assert_eq!(
        refused(json!({ "label": "kind", "rules": [{ "path": "/", "path_prefix": "/", "value": "api" }] })),
        "config.rules[0]: `path` and `path_prefix`, a rule has one of them"
    );
    assert_eq!(
        refused(json!({ "label": "kind", "rules": [{ "path": "/" }] })),
        "config.rules[0].value: missing, it is the class that the rule gives"
    );
    assert!(
        refused(json!({ "label": "kind", "rules": [{ "prefix": "/", "value": "x" }] }))
            .contains("unknown field `prefix`")
    );
    assert!(refused(json!({ "label": "plugin", "rules": [] })).contains("the label set `plugin`"));
}
