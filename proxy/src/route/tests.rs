//! What a user would notice of routing: which rule gets a request, and what the upstream sees.
//! It knows nothing of how rules are indexed.

use std::borrow::Cow;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::config::{Host, Match, PathMatch, Rewrite, Template};
use super::normal::{self, Bad};
use super::{Error, Request, Router};

fn any() -> Match {
    Match::default()
}

fn hosts(hosts: &[&str]) -> Match {
    Match { hosts: hosts.iter().map(|host| Host::parse(host).unwrap()).collect(), ..any() }
}

fn prefix(text: &str) -> Match {
    Match { path: PathMatch::prefix(text).unwrap(), ..any() }
}

fn template(text: &str) -> Match {
    Match { path: PathMatch::Template(Template::parse(text).unwrap()), ..any() }
}

fn header(name: &'static str, value: Option<&'static str>) -> (HeaderName, Option<HeaderValue>) {
    (HeaderName::from_static(name), value.map(HeaderValue::from_static))
}

fn find(router: &Router, host: &str, path: &str) -> Option<usize> {
    let headers = HeaderMap::new();
    router.find(&Request { listener: 0, host, path, method: &Method::GET, headers: &headers })
}

#[test]
fn the_first_rule_that_matches_wins_whatever_its_kind() {
    let rules = [
        Match { path: PathMatch::prefix("/health").unwrap(), ..any() },
        Match { path: PathMatch::prefix("/v1").unwrap(), ..hosts(&["*.example.com"]) },
        hosts(&["api.example.com", "www.example.com"]),
        hosts(&["*.api.example.com"]),
        hosts(&["*.example.com"]),
        prefix("/late"),
    ];
    let router = Router::new(rules);
    for (host, path, expected) in [
        ("api.example.com", "/health", Some(0)),
        ("api.example.com", "/v1/x", Some(1)),
        ("api.example.com", "/x", Some(2)),
        ("api.example.com.", "/x", Some(2)),
        ("a.api.example.com", "/x", Some(3)),
        ("a.api.example.com", "/v1", Some(1)),
        ("b.a.api.example.com", "/x", Some(3)),
        ("other.example.com", "/late", Some(4)),
        ("example.com", "/x", None),
        ("example.com", "/late/x", Some(5)),
        ("", "/late", Some(5)),
        (".example.com", "/x", None),
        ("10.0.0.1", "/health/x", Some(0)),
    ] {
        assert_eq!(find(&router, host, path), expected, "{host}{path}");
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let rule = Match {
        methods: vec![Method::GET, Method::HEAD],
        headers: vec![header("x-tenant", Some("acme")), header("x-any", None)],
        listeners: vec![1],
        ..any()
    };
    let router = Router::new([rule]);
    let mut headers = HeaderMap::new();
    let found = |listener, method: Method, headers: &HeaderMap| {
        router.find(&Request { listener, host: "h", path: "/", method: &method, headers }).is_some()
    };
    assert!(!found(1, Method::GET, &headers));
    headers.append("x-tenant", HeaderValue::from_static("other"));
    headers.append("x-tenant", HeaderValue::from_static("acme"));
    headers.append("x-any", HeaderValue::from_static(""));
    assert!(found(1, Method::GET, &headers));
    assert!(found(1, Method::HEAD, &headers));
    assert!(!found(1, Method::POST, &headers));
    assert!(!found(0, Method::GET, &headers));
}

#[test]
fn prefixes_end_at_segment_borders() {
    for (rule, path, matches) in [
        ("/ws", "/ws", true),
        ("/ws", "/ws/", true),
        ("/ws", "/ws/a", true),
        ("/ws", "/wsx", false),
        ("/ws", "/", false),
        ("/ws", "/a/ws", false),
        ("/ws/", "/ws/a", true),
        ("/ws/", "/ws", false),
        ("/", "/anything", true),
        ("/", "*", false),
    ] {
        assert_eq!(prefix(rule).path.matches(path), matches, "{rule} {path}");
    }
}

#[test]
fn templates_match_whole_segments() {
    for (rule, path, matches) in [
        ("/users/{id}", "/users/42", true),
        ("/users/{id}", "/users/", false),
        ("/users/{id}", "/users", false),
        ("/users/{id}", "/users/42/", false),
        ("/users/{id}", "/users/42/x", false),
        ("/users/{id}", "/users/a%2Fb", true),
        ("/users/{id}/posts", "/users/42/posts", true),
        ("/files/{*path}", "/files/a/b/c", true),
        ("/files/{*path}", "/files/a", true),
        ("/files/{*path}", "/files/", false),
        ("/files/{*path}", "/files", false),
        ("/exact", "/exact", true),
        ("/exact", "/exact/", false),
        ("/exact/", "/exact/", true),
        ("/", "/", true),
        ("/", "/x", false),
        ("/{a}", "*", false),
    ] {
        assert_eq!(template(rule).path.matches(path), matches, "{rule} {path}");
    }
}

#[test]
fn what_cannot_be_meant_is_an_error() {
    for (text, error) in [
        ("users", Error::NotAbsolute),
        ("/users/{id", Error::PartOfSegment("{id".into())),
        ("/users/x{id}", Error::PartOfSegment("x{id}".into())),
        ("/users/{}", Error::ParameterName("{}".into())),
        ("/users/{a-b}", Error::ParameterName("{a-b}".into())),
        ("/{*rest}/x", Error::RestNotLast("rest".into())),
        ("/{a}/{a}", Error::Repeated("a".into())),
        ("/a?b=c", Error::Query),
        ("/a b", Error::Character),
        ("/a/../b", Error::NotNormal("/b".into())),
        ("/%61", Error::NotNormal("/a".into())),
        ("/..", Error::Path(Bad::AboveRoot)),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
    assert_eq!(PathMatch::prefix("/a%2fb"), Err(Error::NotNormal("/a%2Fb".into())));
    assert_eq!(PathMatch::prefix("/{a}"), Err(Error::Character));
    for host in ["", "a..b", "a:80", "http://a", "a b", "[::1", "[::1]:80", "é"] {
        assert!(Host::parse(host).is_err(), "{host}");
    }
    for host in ["*", "a.*.b", "*a.b", "*.", "*.*.a"] {
        assert_eq!(Host::parse(host), Err(Error::Wildcard), "{host}");
    }
    assert_eq!(Host::parse("API.Example.COM.").unwrap(), Host::Exact("api.example.com".into()));
    assert_eq!(Host::parse("[2001:DB8:0::1]").unwrap(), Host::Exact("[2001:db8::1]".into()));
}

#[test]
fn paths_that_mean_the_same_are_matched_and_forwarded_the_same() {
    for (path, normal) in [
        ("/", "/"),
        ("*", "*"),
        ("/a/b", "/a/b"),
        ("/a//b/", "/a//b/"),
        ("/a/./b", "/a/b"),
        ("/a/../admin", "/admin"),
        ("/a/%2e%2e/admin", "/admin"),
        ("/a/.%2E/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%20b", "/a%20b"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a/..b/c", "/a/..b/c"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/a;v=1/b", "/a;v=1/b"),
    ] {
        assert_eq!(normal::path(path).as_deref(), Ok(normal), "{path}");
    }
    assert!(matches!(normal::path("/a/%2F/.x"), Ok(Cow::Borrowed(_))));
}

#[test]
fn paths_that_services_disagree_about_are_refused() {
    for (path, bad) in [
        ("", Bad::NotAbsolute),
        ("a", Bad::NotAbsolute),
        ("/..", Bad::AboveRoot),
        ("/a/../../b", Bad::AboveRoot),
        ("/%2e%2e/b", Bad::AboveRoot),
        ("/a/..%2fadmin", Bad::HiddenDots),
        ("/a%2f..%2fadmin", Bad::HiddenDots),
        ("/a%2F%2e%2e/admin", Bad::HiddenDots),
        ("/a/..%5cadmin", Bad::HiddenDots),
        ("/a/..\\admin", Bad::HiddenDots),
        ("/a\\..\\admin", Bad::HiddenDots),
        ("/a/..;x=1/admin", Bad::HiddenDots),
        ("/a/..%3bx/admin", Bad::HiddenDots),
        ("/a%", Bad::Escape),
        ("/a%2", Bad::Escape),
        ("/a%zz", Bad::Escape),
        ("/a%+1", Bad::Escape),
        ("/a%é", Bad::Escape),
        ("/a%00", Bad::Nul),
    ] {
        assert_eq!(normal::path(path), Err(bad), "{path}");
    }
}

#[test]
fn the_prefix_replaces_what_the_match_fixed() {
    let rewrite = |to: &str| Rewrite { prefix: Some(to.into()), host: None };
    for (rule, to, path, expected) in [
        (template("/users/{id}"), "/v1/users", "/users/42", "/v1/users/42"),
        (template("/users/{id}"), "/", "/users/42", "/42"),
        (template("/exact"), "/other", "/exact", "/other"),
        (template("/a/{*rest}"), "/b/", "/a/x/y", "/b/x/y"),
        (template("/{*rest}"), "/b", "/x", "/b/x"),
        (prefix("/ws"), "/", "/ws", "/"),
        (prefix("/ws"), "/", "/ws/a", "/a"),
        (prefix("/ws"), "/live", "/ws/a", "/live/a"),
        (prefix("/ws/"), "/live", "/ws/a", "/live/a"),
        (prefix("/"), "/b", "/a", "/b/a"),
        (any(), "/b", "/a", "/b/a"),
    ] {
        assert_eq!(rewrite(to).path(&rule.path, path), expected, "{} {to} {path}", rule.path.template_text());
    }
    let target = rewrite("/v1").target(&prefix("/a").path, "/a/b", Some("q=%20")).unwrap();
    assert_eq!(target.as_str(), "/v1/b?q=%20");
    assert_eq!(Rewrite::default().target(&any().path, "/a", None).unwrap().as_str(), "/a");
}

#[test]
fn a_rule_that_can_never_match_is_found() {
    let with = |mut rule: Match, method: Method| {
        rule.methods.push(method);
        rule
    };
    let tenant = |value| Match { headers: vec![header("x-tenant", value)], ..any() };
    let listener = |listeners: &[usize]| Match { listeners: listeners.to_vec(), ..any() };
    for (first, later, shadows) in [
        (any(), any(), true),
        (any(), prefix("/a"), true),
        (prefix("/a"), any(), false),
        (prefix("/"), template("/{x}"), true),
        (prefix("/a"), prefix("/a/b"), true),
        (prefix("/a"), prefix("/ab"), false),
        (prefix("/a"), template("/a/{x}"), true),
        (prefix("/a/"), template("/a/{x}"), true),
        (prefix("/a/"), template("/a"), false),
        (prefix("/a/b"), template("/a/{x}"), false),
        (template("/a/{x}"), template("/a/b"), true),
        (template("/a/{x}"), template("/a/{y}"), true),
        (template("/a/b"), template("/a/{y}"), false),
        (template("/a/{*x}"), template("/a/b/c"), true),
        (template("/a/{*x}"), template("/a/{b}/{*c}"), true),
        (template("/a/{*x}"), template("/a/"), false),
        (template("/a/{x}"), template("/a/{*x}"), false),
        (template("/a/{x}"), prefix("/a"), false),
        (hosts(&["*.a.b"]), hosts(&["x.a.b", "*.y.a.b"]), true),
        (hosts(&["*.a.b"]), hosts(&["a.b"]), false),
        (hosts(&["*.a.b"]), any(), false),
        (any(), hosts(&["a.b"]), true),
        (with(any(), Method::GET), with(any(), Method::GET), true),
        (with(any(), Method::GET), with(with(any(), Method::GET), Method::PUT), false),
        (with(any(), Method::GET), any(), false),
        (tenant(None), tenant(Some("acme")), true),
        (tenant(Some("acme")), tenant(None), false),
        (tenant(Some("acme")), any(), false),
        (any(), tenant(None), true),
        (listener(&[0, 1]), listener(&[1]), true),
        (listener(&[0]), listener(&[0, 1]), false),
    ] {
        assert_eq!(first.shadows(&later), shadows, "{first:?} then {later:?}");
    }
}
