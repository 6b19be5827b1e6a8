//! The admin port: health, readiness, what it shows, and that nobody can get at more.
//! Reloading is in `reload`, the scrape in `metrics`.

use tidegate_tests::{eventually, nowhere, origin, proxy, raw};

#[test]
fn health_in_three_words() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    assert_eq!(proxy.ask_admin("GET", "/healthz", "").status(), 200);
    assert_eq!(proxy.ask_admin("GET", "/readyz", "").status(), 200);
    let health = proxy.ask_admin("GET", "/health", "");
    assert_eq!((health.status(), health.header("content-type")), (200, Some("application/json")));
    let health = health.json();
    assert_eq!((&health["status"], &health["version"]), (&"healthy".into(), &"0.1.0".into()));
    for key in ["uptime", "timestamp", "checks"] {
        assert!(health.as_object().unwrap().keys().any(|found| found.starts_with(key)), "{key} is missing: {health:#}");
    }
    assert!(health["checks"].as_object().is_some_and(|checks| !checks.is_empty()), "{health:#}");
}

#[test]
fn what_is_wrong_shows_in_the_health() {
    let proxy = proxy()
        .file("bad.wasm", "no wasm")
        .config("routes: [{ upstream: app, plugins: [bad] }]\nplugins: { bad: { file: bad.wasm } }")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", nowhere()))
        .start();
    let health = proxy.ask_admin("GET", "/health", "").json();
    assert_ne!(health["status"], "healthy", "{health:#}");
    assert!(health["checks"].to_string().contains("bad"), "{health:#}");
    // It still takes traffic.
    assert_eq!(proxy.ask_admin("GET", "/readyz", "").status(), 200);
}

#[test]
fn unknown_paths_and_methods() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    assert_eq!(proxy.ask_admin("GET", "/nothing", "").status(), 404);
    assert_eq!(proxy.ask_admin("DELETE", "/metrics", "").status(), 405);
    assert_eq!(proxy.ask_admin("GET", "/-/reload", "").status(), 405);
    assert_eq!(proxy.ask_admin("HEAD", "/healthz", "").status(), 200);
    // A page in somebody's browser may not reload.
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "origin: http://evil.test\r\n").status(), 403);
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "sec-fetch-site: cross-site\r\n").status(), 403);
    // Nor one whose name was made to point here.
    let rebound = "POST /-/reload HTTP/1.1\r\nhost: evil.test\r\norigin: http://evil.test\r\n\r\n";
    assert_eq!(raw(proxy.admin()).send(rebound).response().status(), 403);
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_state_shows_no_secrets() {
    let origin = origin().start();
    let proxy = proxy()
        .origin(&origin)
        .environment("TOKEN", "s3cret-token")
        .config("telemetry: { otlp: { endpoint: \"http://127.0.0.1:1\", headers: { authorization: \"${TOKEN}\" } } }")
        .start();
    let state = proxy.ask_admin("GET", "/status", "");
    assert_eq!(state.status(), 200);
    assert!(state.text().contains(&origin.address().to_string()), "{}", state.text());
    assert!(!state.text().contains("s3cret"));
    assert!(!proxy.stderr_text().contains("s3cret"));
}

#[test]
fn the_admin_port_stays_up_under_bad_clients() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut hold: Vec<_> = (0..40).map(|_| raw(proxy.admin())).collect();
    for client in &mut hold {
        client.send("GET /metr");
    }
    assert!(raw(proxy.admin()).send("nonsense\r\n\r\n").message().is_none_or(|answer| answer.status() == 400));
    eventually("an answer", || proxy.ask_admin("GET", "/healthz", "").status() == 200);
}

#[test]
fn clients_that_never_read_do_not_keep_others_from_the_health() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let hold: Vec<_> = (0..64)
        .map(|_| {
            let mut client = raw(proxy.admin());
            client.send("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200));
            client
        })
        .collect();
    assert_eq!(proxy.ask_admin("GET", "/healthz", "").status(), 200);
    drop(hold);
}

#[tokio::test]
async fn without_an_admin_port_traffic_passes_and_a_listener_can_be_scraped() {
    let origin = origin().start();
    let proxy = proxy()
        .config("admin: { address: off }")
        .origin(&origin)
        .config("telemetry: { metrics: { scrape: [{ listener: web, path: /metrics }] } }")
        .start();
    assert_eq!(tidegate_tests::get(proxy.address(), "/x").await.json()["path"], "/x");
    assert!(tidegate_tests::get(proxy.address(), "/metrics").await.text().contains("tidegate_build_info"));
}
