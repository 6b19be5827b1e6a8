//! What someone who configures the plugin would notice.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{TestCallOut, TestExchange};

use crate::AuthCallout;

/// A plugin whose service lets `Bearer good-NAME` pass as NAME.
#[allow(clippy::needless_pass_by_value, reason = "a test writes `json!({ .. })`, and nothing around it")]
fn host(more: serde_json::Value) -> TestHost {
    let mut config = json!({
        "upstream": "auth",
        "path": "/verify?v=1",
        "identity": [
            { "header": "x-auth-user", "log_field": "user", "span_attribute": "enduser.id" },
            { "header": "x-auth-groups" },
        ],
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut host = TestHost::configure::<AuthCallout>(config).unwrap();
    host.upstream("auth", service);
    host
}

fn service(request: &TestCallOut) -> TestAnswer {
    let credentials = request.header("authorization");
    let answer = match credentials.as_str() {
        Some("Bearer banned") => TestAnswer::new(403).body("banned"),
        Some("Bearer broken") => TestAnswer::new(500),
        Some("Bearer teapot") => TestAnswer::new(404),
        Some("Bearer lost") => TestAnswer::failed("connect_failed"),
        Some("Bearer slow") => TestAnswer::new(200).after(Duration::from_secs(3)),
        Some("Bearer session") => TestAnswer::new(302)
            .header("location", "/login")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("x-internal", "secret"),
        Some(token) => match token.strip_prefix("Bearer good-") {
            Some(name) => {
                let answer = TestAnswer::new(204).header("x-auth-user", name);
                match name {
                    "cookie" => answer.header("set-cookie", "a=1"),
                    "private" => answer.header("cache-control", "private, No-Store"),
                    "brief" => answer.header("cache-control", "max-age=5"),
                    "groups" => answer.header("x-auth-groups", "a,b").header("x-auth-other", "no"),
                    _ => answer,
                }
            }
            None => TestAnswer::new(401).header("www-authenticate", "Bearer").body("who?"),
        },
        None => TestAnswer::new(401).header("www-authenticate", "Bearer"),
    };
    if credentials == "Bearer slow" { answer } else { answer.after(Duration::from_millis(10)) }
}

fn ask(host: &mut TestHost, token: &str) -> TestExchange {
    host.exchange().get("/a").header("authorization", format!("Bearer {token}")).respond(200)
}

fn outcomes(host: &TestHost) -> [u64; 4] {
    ["allowed", "denied", "failed", "cached"].map(|outcome| host.counter("auth.requests", [("outcome", outcome)]))
}

#[test]
fn a_request_that_is_let_pass_goes_on_with_its_identity() {
    let mut host = host(json!({}));
    let exchange = ask(&mut host, "good-groups");
    assert_eq!(exchange.status(), 200);
    assert_eq!(exchange.request_header("x-auth-user"), "groups");
    assert_eq!(exchange.request_header("x-auth-groups"), "a,b");
    assert!(exchange.request_header("x-auth-other").is_absent());
    assert_eq!(exchange.log_field("user"), "groups");
    assert_eq!(exchange.span().attribute("enduser.id"), "groups");
    assert_eq!(exchange.log_field("auth.outcome"), "allowed");
    assert_eq!(outcomes(&host), [1, 0, 0, 0]);
    assert_eq!(host.histogram("auth.duration", []).values, [0.01]);
}

#[test]
fn the_service_is_told_what_it_needs_and_no_more() {
    let mut host = host(json!({ "method": "POST", "request_headers": ["authorization", "x-tenant"] }));
    let request = host.exchange().request("PUT", "/a/b?c=d").host("shop").header("cookie", "secret=1");
    request.header("authorization", "Bearer good-a").header("x-tenant", "t1").request_body("body").respond(200);
    let asked = &host.call_outs()[0];
    assert_eq!((asked.upstream(), asked.method(), asked.path()), ("auth", "POST", "/verify?v=1"));
    assert_eq!(asked.header("x-forwarded-method"), "PUT");
    assert_eq!(asked.header("x-forwarded-uri"), "/a/b?c=d");
    assert_eq!(asked.header("x-forwarded-host"), "shop");
    assert_eq!(asked.header("x-forwarded-proto"), "http");
    assert_eq!(asked.header("x-forwarded-for"), "203.0.113.9");
    assert_eq!(asked.header("x-tenant"), "t1");
    assert!(asked.header("cookie").is_absent());
    assert_eq!(asked.body(), b"");
}

#[test]
fn nobody_says_on_their_own_who_they_are() {
    for config in [json!({}), json!({ "on_failure": "allow" }), json!({ "cache": { "ttl": "1m" } })] {
        let mut host = host(config);
        for token in ["good-me", "good-me", "lost", "slow"] {
            let request = host.exchange().header("authorization", format!("Bearer {token}"));
            let request = request.header("X-Auth-User", "root").header("x_auth_user", "root");
            let exchange = request.header("X-Auth_Groups", "admin").header("x-auth-groups", "admin").respond(200);
            let user = exchange.request_header("x-auth-user");
            assert!(user == "me" || (user.is_absent() && token != "good-me"), "{token}: {user:?}");
            for other in ["x_auth_user", "x-auth_groups", "x-auth-groups"] {
                assert!(exchange.request_header(other).is_absent(), "{token}: {other}");
            }
        }
    }
}

#[test]
fn a_plugin_that_cannot_remove_them_lets_nobody_pass() {
    let mut host = host(json!({ "on_failure": "allow" }));
    host.deny("headers");
    let exchange = host.exchange().header("authorization", "Bearer good-a").header("x-auth-user", "root").respond(200);
    assert_eq!(exchange.status(), 503);
    assert!(host.call_outs().is_empty());
}

#[test]
fn a_denial_reaches_the_client_as_the_service_said_it() {
    let mut host = host(json!({}));
    let unknown = ask(&mut host, "bad");
    assert_eq!((unknown.status(), unknown.reply_body()), (401, Some(&b"who?"[..])));
    assert_eq!(unknown.response_header("www-authenticate"), "Bearer");
    assert_eq!(unknown.response_header("cache-control"), "no-store");
    assert_eq!(ask(&mut host, "banned").status(), 403);
    let redirect = ask(&mut host, "session");
    assert_eq!((redirect.status(), redirect.response_header("location")), (302, "/login".into()));
    assert_eq!(redirect.response_headers("set-cookie"), ["a=1", "b=2"]);
    assert!(redirect.response_header("x-internal").is_absent());
    assert_eq!(redirect.log_field("auth.outcome"), "denied");
    assert_eq!(outcomes(&host), [0, 3, 0, 0]);
}

#[test]
fn a_service_that_fails_denies_or_allows_as_configured() {
    for (on_failure, status) in [("deny", 503), ("allow", 200)] {
        let mut host = host(json!({ "on_failure": on_failure }));
        for (token, error) in
            [("broken", "status_500"), ("teapot", "status_404"), ("lost", "connect_failed"), ("slow", "timeout")]
        {
            let exchange = ask(&mut host, token);
            assert_eq!((exchange.status(), exchange.log_field("auth.error")), (status, error.into()), "{token}");
            assert!(exchange.request_header("x-auth-user").is_absent());
        }
        assert_eq!(outcomes(&host), [0, 0, 4, 0]);
        // Two seconds until the slow one was given up.
        assert_eq!(host.histogram("auth.duration", []).values, [0.01, 0.01, 0.01, 2.0]);
    }
}

#[test]
fn an_answer_is_remembered_for_its_time() {
    let mut host = host(json!({ "cache": { "ttl": "30s" } }));
    assert_eq!(ask(&mut host, "good-ann").log_field("auth.outcome"), "allowed");
    let cached = ask(&mut host, "good-ann");
    assert_eq!(cached.log_field("auth.outcome"), "cached");
    assert_eq!(cached.request_header("x-auth-user"), "ann");
    assert_eq!(cached.log_field("user"), "ann");
    assert!(cached.request_header("x-auth-groups").is_absent());
    assert_eq!(ask(&mut host, "good-bob").request_header("x-auth-user"), "bob");
    host.advance(Duration::from_secs(31));
    assert_eq!(ask(&mut host, "good-ann").log_field("auth.outcome"), "allowed");
    assert_eq!((outcomes(&host), host.call_outs().len()), ([3, 0, 0, 1], 3));
}

#[test]
fn what_must_not_be_remembered_is_not() {
    let mut host = host(json!({ "cache": { "ttl": "30s" } }));
    for token in ["good-cookie", "good-private", "bad", "broken", "session"] {
        ask(&mut host, token);
        assert_ne!(ask(&mut host, token).log_field("auth.outcome"), "cached", "{token}");
    }
    ask(&mut host, "good-brief");
    assert_eq!(ask(&mut host, "good-brief").log_field("auth.outcome"), "cached");
    host.advance(Duration::from_secs(5));
    assert_eq!(ask(&mut host, "good-brief").log_field("auth.outcome"), "allowed");
}

#[test]
fn an_answer_is_found_by_all_that_the_service_is_told_unless_said_otherwise() {
    let ask = |host: &mut TestHost, path: &str, client: &str, tenant: &str| {
        let request = host.exchange().get(path).client(client).header("x-tenant", tenant);
        request.header("authorization", "Bearer good-a").respond(200).log_field("auth.outcome")
    };
    let headers = json!(["authorization", "x-tenant"]);
    let mut all = host(json!({ "request_headers": headers, "cache": { "ttl": "30s" } }));
    for (path, client, tenant) in [
        ("/a", "1.1.1.1", "t"),
        ("/b", "1.1.1.1", "t"),
        ("/a?", "1.1.1.1", "t"),
        ("/a", "2.2.2.2", "t"),
        ("/a", "1.1.1.1", "u"),
    ] {
        assert_eq!(ask(&mut all, path, client, tenant), "allowed", "{path} {client} {tenant}");
        assert_eq!(ask(&mut all, path, client, tenant), "cached", "{path} {client} {tenant}");
    }
    for outcome in ["allowed", "cached"] {
        let request = all.exchange().get("/a").client("1.1.1.1").header("x-tenant", "t").https();
        let exchange = request.header("authorization", "Bearer good-a").respond(200);
        assert_eq!(exchange.log_field("auth.outcome"), outcome, "a service may let pass over TLS alone");
    }
    let cache = json!({ "ttl": "30s", "key": [], "key_headers": ["Authorization"] });
    let mut less = host(json!({ "request_headers": headers, "cache": cache }));
    assert_eq!(ask(&mut less, "/a", "1.1.1.1", "t"), "allowed");
    assert_eq!(ask(&mut less, "/b", "2.2.2.2", "u"), "cached");
}

#[test]
fn credentials_are_not_in_the_store() {
    let mut host = host(json!({ "cache": { "ttl": "30s" } }));
    ask(&mut host, "good-ann");
    let keys = host.stored_keys();
    assert_eq!(keys.len(), 2, "the secret and one answer");
    for key in keys {
        let stored = [&key[..], &host.stored(&key).unwrap()].concat();
        assert!(!stored.windows(8).any(|bytes| bytes == b"good-ann"), "{stored:?}");
    }
}

#[test]
fn a_reload_keeps_what_is_remembered_unless_another_service_is_asked() {
    let config = |path: &str| json!({ "upstream": "auth", "path": path, "identity": [], "cache": { "ttl": "30s" } });
    let mut host = TestHost::configure::<AuthCallout>(config("/one")).unwrap();
    host.upstream("auth", service);
    ask(&mut host, "good-ann");
    host.reconfigure::<AuthCallout>(config("/one")).unwrap();
    assert_eq!(ask(&mut host, "good-ann").log_field("auth.outcome"), "cached");
    host.reconfigure::<AuthCallout>(config("/two")).unwrap();
    assert_eq!(ask(&mut host, "good-ann").log_field("auth.outcome"), "allowed");
}

#[test]
fn without_a_store_every_request_is_asked_about() {
    let mut host = host(json!({ "cache": { "ttl": "30s" } }));
    host.deny("key_value");
    for _ in 0..2 {
        assert_eq!(ask(&mut host, "good-ann").log_field("auth.outcome"), "allowed");
    }
    let mut full = self::host(json!({ "cache": { "ttl": "30s" } }));
    full.key_value_budget(110);
    for _ in 0..2 {
        assert_eq!(ask(&mut full, "good-ann").log_field("auth.outcome"), "allowed");
    }
}

#[test]
fn an_upstream_that_is_not_there_counts_as_failed() {
    let mut host = TestHost::configure::<AuthCallout>(json!({ "upstream": "nobody", "path": "/" })).unwrap();
    let exchange = ask(&mut host, "good-ann");
    assert_eq!((exchange.status(), exchange.log_field("auth.error")), (503, "refused".into()));
    assert!(exchange.log_lines()[0].1.contains("there is no upstream of that name"));
}

#[test]
fn a_wrong_configuration_is_refused_by_the_key() {
    let refused = |more: serde_json::Value| {
        let mut config = json!({ "upstream": "auth", "path": "/" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        TestHost::configure::<AuthCallout>(config).unwrap_err().to_string()
    };
    assert_eq!(refused(json!({ "upstream": "" })), "config.upstream: the name of an upstream is missing");
    assert_eq!(
        refused(json!({ "path": "verify" })),
        "config.path: `verify` is no path: it begins with `/` and has no spaces"
    );
    assert_eq!(refused(json!({ "method": "G T" })), "config.method: `G T` is no method");
    assert_eq!(refused(json!({ "request_headers": ["a b"] })), "config.request_headers: `a b` is no name of a header");
    let connection = "config.identity.header: `Host` belongs to one connection and cannot be passed on";
    assert_eq!(refused(json!({ "identity": [{ "header": "Host" }] })), connection);
    assert_eq!(refused(json!({ "timeout": "5" })), "config.timeout: `5` is no time, as `250ms` or `30s`");
    let number = "config.timeout: invalid type: integer `5`, expected a time, as `250ms` or `30s`";
    assert_eq!(refused(json!({ "timeout": 5 })), number);
    assert_eq!(refused(json!({ "timeout": "0s" })), "config.timeout: it is 1ms to 1h");
    assert_eq!(refused(json!({ "cache": { "ttl": "0s" } })), "config.cache.ttl: it is at least 1ms");
    assert!(refused(json!({ "cache": {} })).starts_with("config.cache: missing field `ttl`"));
    assert!(refused(json!({ "on_failure": "closed" })).contains("expected `deny` or `allow`"));
    assert!(refused(json!({ "chache": {} })).contains("unknown field `chache`"));
}
