//! Which route a request takes, and how its head is rewritten on the way.
//! It knows nothing of what the upstream does.

use tidegate_tests::{Connection, Proxy, origin, proxy, raw};

const ROUTES: &str = r#"
routes:
  - { name: exact, match: { hosts: [api.test], path: /exact }, upstream: app }
  - { name: user, match: { hosts: [api.test, "*.api.test"], path: "/users/{id}" }, upstream: app, rewrite: { prefix: /v1/people } }
  - { name: posts, match: { path: "/users/{id}/posts/{post}" }, upstream: app }
  - { name: files, match: { path: "/files/{*path}" }, upstream: app, rewrite: { prefix: /static } }
  - { name: write, match: { path_prefix: /items, methods: [POST, PUT] }, upstream: app }
  - { name: tenant, match: { path_prefix: /items, headers: { x-tenant: acme } }, upstream: app }
  - { name: flagged, match: { path_prefix: /items, headers: { x-flag: "*" } }, upstream: app }
  - { name: upgrade, match: { path_prefix: /items, headers: { upgrade: h2c } }, upstream: app }
  - { name: secure, match: { path_prefix: /items, headers: { x-forwarded-proto: https } }, upstream: app }
  - { name: behind, match: { path_prefix: /items, headers: { via: "*" } }, upstream: app }
  - { name: prefix, match: { path_prefix: /ws }, upstream: app, rewrite: { prefix: /socket, host: ws.internal } }
  - { name: root, match: { path_prefix: /gone }, upstream: app, rewrite: { prefix: / } }
"#;

fn start(origin: &tidegate_tests::Origin) -> Proxy {
    proxy().config(ROUTES).config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address())).start()
}

#[test]
fn the_first_route_that_matches_wins() {
    let origin = origin().start();
    let proxy = start(&origin);
    // Request line, host, further headers; the route (or 404), and the path that the origin sees.
    let table: &[(&str, &str, &str, &str, &str)] = &[
        ("GET /exact", "api.test", "", "exact", "/exact"),
        ("GET /exact?a=b", "API.test:80", "", "exact", "/exact?a=b"),
        ("GET /exact/", "api.test", "", "", ""),
        ("GET /exact", "other.test", "", "", ""),
        ("GET /users/42?full=1", "api.test", "", "user", "/v1/people/42?full=1"),
        ("GET /users/42", "eu.api.test", "", "user", "/v1/people/42"),
        ("GET /users/42", "a.b.api.test", "", "user", "/v1/people/42"),
        ("GET /users/42", "xapi.test", "", "", ""),
        ("GET /users/", "api.test", "", "", ""),
        ("GET /users/1/posts/2", "any.test", "", "posts", "/users/1/posts/2"),
        ("GET /users/1/posts", "any.test", "", "", ""),
        ("GET /files/a/b.css", "any.test", "", "files", "/static/a/b.css"),
        ("GET /files", "any.test", "", "", ""),
        ("POST /items", "any.test", "", "write", "/items"),
        ("GET /items/1", "any.test", "", "", ""),
        ("GET /items/1", "any.test", "x-tenant: acme\r\n", "tenant", "/items/1"),
        ("GET /items/1", "any.test", "x-tenant: other\r\n", "", ""),
        ("GET /items/1", "any.test", "X-Flag: anything\r\n", "flagged", "/items/1"),
        // What goes no further than this hop can be chosen by, and what we say ourselves cannot.
        ("GET /items/1", "any.test", "Upgrade: h2c\r\nConnection: upgrade\r\n", "upgrade", "/items/1"),
        ("GET /items/1", "any.test", "x-forwarded-proto: https\r\n", "", ""),
        ("GET /items/1", "any.test", "via: 1.0 other\r\n", "behind", "/items/1"),
        ("GET /itemsx", "any.test", "x-flag: 1\r\n", "", ""),
        ("GET /ws", "any.test", "", "prefix", "/socket"),
        ("GET /ws/a", "any.test", "", "prefix", "/socket/a"),
        ("GET /wsx", "any.test", "", "", ""),
        ("GET /gone/a/b?c", "any.test", "", "root", "/a/b?c"),
        ("GET /gone", "any.test", "", "root", "/"),
        ("GET /users/a%20b", "api.test", "", "user", "/v1/people/a%20b"),
    ];
    for (number, (line, host, headers, route, path)) in table.iter().enumerate() {
        let before = origin.count();
        let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: 0\r\n\r\n");
        let answer = raw(proxy.address()).send(head).response();
        let log = proxy.wait_for_log(number + 1);
        if route.is_empty() {
            assert_eq!(
                (answer.status(), answer.json()["reason"].as_str()),
                (404, Some("no_route")),
                "{line} {host} {headers}"
            );
            assert_eq!(origin.count(), before);
            assert!(log[number]["route"].is_null());
        } else {
            assert_eq!(answer.status(), 200, "{line} {host} {headers}");
            assert_eq!((log[number]["route"].as_str(), origin.last().path.as_str()), (Some(*route), *path), "{line}");
        }
    }
}

#[test]
fn the_rewritten_host_is_what_the_origin_sees() {
    let origin = origin().start();
    let proxy = start(&origin);
    raw(proxy.address()).send("GET /ws HTTP/1.1\r\nhost: any.test\r\n\r\n").response();
    assert_eq!(origin.last().host, "ws.internal");
    assert_eq!(origin.last().header("x-forwarded-host"), "any.test");
}

#[test]
fn tricks_with_the_path_do_not_get_around_a_route() {
    let origin = origin().start();
    let proxy = proxy()
        .config("routes: [{ name: open, match: { path_prefix: /open }, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    for path in [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open/.%2E/secret",
        "/open/..",
        "/open/..;/x",
        "/open%2f..%2fsecret",
    ] {
        let answer = raw(proxy.address()).send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")).response();
        if answer.status() == 200 {
            let seen = origin.last().path;
            assert!(
                seen.starts_with("/open") && !seen.contains("/../") && !seen.to_lowercase().contains("%2e%2e/"),
                "{path}: {seen}"
            );
        } else {
            assert!([400, 404].contains(&answer.status()), "{path}: {}", answer.head);
        }
    }
}

#[test]
fn metrics_are_labelled_by_template_and_never_by_path() {
    let origin = origin().start();
    let proxy = start(&origin);
    for number in 0..30 {
        let request = format!("GET /users/{number} HTTP/1.1\r\nhost: api.test\r\n\r\n");
        raw(proxy.address()).send(request).response();
        raw(proxy.address()).send(format!("GET /nowhere/{number} HTTP/1.1\r\nhost: api.test\r\n\r\n")).response();
    }
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 60.0);
    let route = [("http_route", "/users/{id}"), ("tidegate_listener", "web")];
    assert_eq!(scrape.value("http_server_request_duration_seconds_count", &route), 30.0);
    assert_eq!(scrape.series("http_server_request_duration_seconds_count"), 2);
    assert_eq!(scrape.value("tidegate_errors_total", &[("reason", "no_route"), ("source", "proxy")]), 30.0);
}

#[tokio::test]
async fn listeners_can_have_routes_of_their_own() {
    let origin = origin().start();
    let proxy = proxy()
        .config("listeners: [{ name: web, address: \"127.0.0.1:0\" }, { name: inside, address: \"127.0.0.1:0\" }]")
        .config("routes: [{ match: { listeners: [inside] }, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    assert_eq!(Connection::http1(proxy.listener("inside")).await.get("/").await.status, 200);
    assert_eq!(Connection::http1(proxy.listener("web")).await.get("/").await.status, 404);
}
