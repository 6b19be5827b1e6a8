//! The admin port: health, readiness, what it shows, and that nobody can get at more.
//! Reloading is in `reload`, the scrape in `metrics`.

use tidegate_tests::{CollectorMode, Proxy, collector, eventually, get, nowhere, origin, proxy, raw, wasm};

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

#[tokio::test]
async fn a_quarantine_shows_in_the_health_and_says_its_fault() {
    let origin = origin().start();
    let module = wasm(
        "(memory (export \"memory\") 1) (func (export \"tidegate_request_head\") (param i32) (result i32) unreachable)",
    );
    let proxy = proxy()
        .origin(&origin)
        .file("bad.wasm", module)
        .config("workers: 1\ndefaults: { plugins: [bad] }\nplugins: { bad: { file: bad.wasm } }")
        .start();
    assert_eq!(check(&proxy, "plugins"), fine());
    for _ in 0..5 {
        assert_eq!(get(proxy.address(), "/").await.status, 200, "it fails open");
    }
    let resting = ("degraded".into(), "warning".into(), "in quarantine: bad".into());
    assert_eq!(check(&proxy, "plugins"), resting);
    let plugin = proxy.ask_admin("GET", "/status", "").json()["plugins"]["bad"].clone();
    assert_eq!(plugin["state"], "quarantined");
    assert!(plugin["error"].as_str().is_some_and(|error| error.contains("unreachable")), "{plugin:#}");
}

/// The state of one check and what is said of it, with the state of all.
fn check(proxy: &Proxy, name: &str) -> (String, String, String) {
    let answer = proxy.ask_admin("GET", "/health", "");
    assert_eq!(answer.status(), 200, "traffic flows");
    let health = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let check = &health["checks"][name];
    (text(&health["status"]), text(&check["status"]), text(&check["message"]))
}

fn fine() -> (String, String, String) {
    ("healthy".into(), "healthy".into(), String::new())
}

#[tokio::test]
async fn a_collector_that_takes_nothing_shows_in_the_health_until_it_does() {
    let (origin, collector) = (origin().start(), collector());
    let telemetry = format!(
        "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, metrics: {{ interval: 100ms }}, traces: {{ interval: 50ms }} }}",
        collector.endpoint()
    );
    let proxy = proxy().origin(&origin).config(telemetry).start();
    get(proxy.address(), "/").await;
    eventually("the spans", || !collector.spans().is_empty());
    assert_eq!(check(&proxy, "collector"), fine());
    collector.set_mode(CollectorMode::Fails);
    get(proxy.address(), "/").await;
    eventually("both are told of", || {
        let (whole, state, message) = check(&proxy, "collector");
        let both =
            message.contains("spans do not arrive since 20") && message.contains("metrics do not arrive since 20");
        both && message.contains("2 spans dropped since") && (&*whole, &*state) == ("degraded", "warning")
    });
    // One that is told of still gets what there is, and all is well again.
    collector.set_mode(CollectorMode::Takes);
    get(proxy.address(), "/").await;
    eventually("it is well again", || check(&proxy, "collector") == fine());
}

#[tokio::test]
async fn a_dead_collector_shows_in_the_health() {
    let origin = origin().start();
    let telemetry = format!(
        "telemetry: {{ otlp: {{ endpoint: \"http://{}\" }}, metrics: {{ otlp: false }}, traces: {{ interval: 50ms }} }}",
        nowhere()
    );
    let proxy = proxy().origin(&origin).config(telemetry).start();
    // Nothing was sent yet, and nobody looks whether it could be.
    assert_eq!(check(&proxy, "collector"), fine());
    get(proxy.address(), "/").await;
    eventually("it is told of", || check(&proxy, "collector").2.ends_with("unreachable; 2 spans dropped since"));
    // A version without a collector has nothing to say of one.
    proxy.write_config(format!(
        "routes: [{{ upstream: app }}]\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}",
        origin.address()
    ));
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    assert_eq!(check(&proxy, "collector").0, "healthy");
}

#[tokio::test]
async fn an_access_log_that_cannot_be_written_shows_in_the_health_until_it_can() {
    let origin = origin().start();
    let app =
        format!("routes: [{{ upstream: app }}]\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address());
    let proxy = proxy().config(&app).config("telemetry: { access_log: { output: /dev/full } }").start();
    assert_eq!(check(&proxy, "access_log"), fine());
    get(proxy.address(), "/").await;
    eventually("it is told of", || {
        let (whole, state, message) = check(&proxy, "access_log");
        message.starts_with("not written since 20")
            && message.ends_with("No space left on device (os error 28); 0 lines dropped since")
            && (&*whole, &*state) == ("degraded", "warning")
    });
    // What waited is written where it can be, and with that all is well.
    let answer = proxy.reload(format!("{app}\ntelemetry: {{ access_log: {{ output: access.log }} }}"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    eventually("it is well again", || check(&proxy, "access_log") == fine());
    assert_eq!(std::fs::read_to_string(proxy.folder().join("access.log")).unwrap().lines().count(), 1);
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
    assert_eq!(get(proxy.address(), "/x").await.json()["path"], "/x");
    assert!(get(proxy.address(), "/metrics").await.text().contains("tidegate_build_info"));
}
