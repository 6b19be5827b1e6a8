//! Reloading: by the admin port, by signal, by the file itself; good ones take effect as a whole, bad ones not at all.
//! It knows nothing of what single keys do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidegate_tests::{Connection, Origin, Proxy, eventually, get, origin, proxy, raw, resident_bytes, websocket};

fn config(origin: &Origin, prefix: &str) -> String {
    format!(
        "routes: [{{ name: app, upstream: app, rewrite: {{ prefix: {prefix} }}, match: {{ path_prefix: / }} }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        origin.address()
    )
}

fn reloads(proxy: &Proxy, result: &str) -> f64 {
    proxy.scrape().value("tidegate_config_reloads_total", &[("result", result)])
}

async fn path_seen(proxy: &Proxy) -> String {
    get(proxy.address(), "/x").await.json()["path"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_good_one_takes_effect_on_every_worker() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/one")).start();
    assert_eq!(path_seen(&proxy).await, "/one/x");
    let answer = proxy.reload(config(&origin, "/two"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    // Acknowledged by every worker before the answer.
    for _ in 0..20 {
        assert_eq!(path_seen(&proxy).await, "/two/x");
    }
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("tidegate_config_last_reload_successful", &[]), 1.0);
    assert!(scrape.value("tidegate_config_last_reload_timestamp_seconds", &[]) > 1.7e9);
    assert!(reloads(&proxy, "success") >= 2.0);
}

#[tokio::test]
async fn a_bad_one_keeps_the_old_and_says_why() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/one")).start();
    for (what, bad, names) in [
        ("not YAML", "routes: [".to_owned(), ""),
        ("an unknown key", config(&origin, "/two").replace("rewrite", "rewrit"), "rewrit"),
        ("an unknown upstream", config(&origin, "/two").replace("upstream: app", "upstream: lost"), "lost"),
        (
            "a certificate that is not there",
            format!(
                "listeners: [{{ address: \"127.0.0.1:0\", tls: {{ certificates: [{{ certificate: no.pem, key: no.key }}] }} }}]\n{}",
                config(&origin, "/two")
            ),
            "no.pem",
        ),
        (
            "a required plugin that does not load",
            format!(
                "{}plugins: {{ bad: {{ file: no.wasm, required: true }} }}\ndefaults: {{ plugins: [bad] }}\n",
                config(&origin, "/two")
            ),
            "bad",
        ),
    ] {
        let answer = proxy.reload(&bad);
        assert_eq!(answer.status(), 422, "{what}: {}", answer.text());
        assert!(answer.text().contains(names), "{what}: {}", answer.text());
        assert_eq!(path_seen(&proxy).await, "/one/x", "{what}");
        assert_eq!(proxy.scrape().value("tidegate_config_last_reload_successful", &[]), 0.0, "{what}");
    }
    assert!(reloads(&proxy, "failure") >= 5.0);
    proxy.wait_for_said(&["\"level\":\"error\"", "lost"]);
    assert_eq!(proxy.ask_admin("GET", "/healthz", "").status(), 200);
    // And from there back to good.
    assert_eq!(proxy.reload(config(&origin, "/three")).status(), 200);
    assert_eq!(path_seen(&proxy).await, "/three/x");
    assert_eq!(proxy.scrape().value("tidegate_config_last_reload_successful", &[]), 1.0);
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_keeps_the_old() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/one")).start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = format!(
        "listeners: [{{ name: web, address: \"127.0.0.1:0\" }}, {{ name: taken, address: \"{}\" }}]\n",
        taken.local_addr().unwrap()
    );
    let answer = proxy.reload(listeners + &config(&origin, "/two"));
    assert_ne!(answer.status(), 200, "{}", answer.text());
    assert_eq!(path_seen(&proxy).await, "/one/x");
}

#[tokio::test]
async fn by_signal_and_by_the_file_itself() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/one")).start();
    proxy.write_config(config(&origin, "/two"));
    eventually("the file is seen", || proxy.scrape().value("tidegate_config_version", &[]) == 2.0);
    assert_eq!(path_seen(&proxy).await, "/two/x");
    let before = reloads(&proxy, "success");
    proxy.signal("HUP");
    eventually("the signal is heard", || reloads(&proxy, "success") > before);
    assert_eq!(path_seen(&proxy).await, "/two/x");
}

#[tokio::test]
async fn a_bad_one_is_refused_whichever_way_it_comes() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/one")).start();
    proxy.write_config(config(&origin, "/two").replace("upstream: app", "upstream: lost"));
    eventually("the file is seen and refused", || reloads(&proxy, "failure") >= 1.0);
    let before = reloads(&proxy, "failure");
    proxy.signal("HUP");
    eventually("the signal is heard and the file refused", || reloads(&proxy, "failure") > before);
    assert_eq!(proxy.scrape().value("tidegate_config_last_reload_successful", &[]), 0.0);
    assert_eq!(path_seen(&proxy).await, "/one/x");
}

#[tokio::test]
async fn what_is_under_way_is_not_disturbed() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/")).start();
    let mut kept = Connection::http1(proxy.address()).await;
    assert_eq!(kept.get("/").await.status, 200);
    let mut socket = websocket(proxy.address(), "/websocket", &[]).await.unwrap();
    let mut slow = raw(proxy.address());
    slow.send("GET /slow/800 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually("the slow request is under way", || origin.seen().iter().any(|seen| seen.path == "/slow/800"));
    let before = proxy.address();
    assert_eq!(proxy.reload(config(&origin, "/two")).status(), 200);
    // The slow one finishes under the version it began with.
    assert_eq!(slow.response().text(), "slow");
    socket.send("still here").await;
    assert_eq!(socket.next().await.unwrap(), b"still here");
    // The connection is the same, the version is new.
    assert_eq!(kept.get("/x").await.json()["path"], "/two/x");
    assert_eq!(proxy.listener("web"), before);
}

#[tokio::test]
async fn listeners_come_and_go() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/")).start();
    let web = proxy.listener("web");
    let both = "listeners: [{ name: web, address: \"127.0.0.1:0\" }, { name: more, address: \"127.0.0.1:0\" }]\n";
    assert_eq!(proxy.reload(both.to_owned() + &config(&origin, "/")).status(), 200);
    let more = proxy.listener("more");
    assert_eq!((get(web, "/").await.status, get(more, "/").await.status), (200, 200));
    let listeners = || proxy.ask_admin("GET", "/status", "").json()["listeners"].clone();
    assert_eq!(listeners()["more"], more.to_string());
    let mut kept = raw(more);
    assert_eq!(kept.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").response().status(), 200);
    assert_eq!(proxy.reload(config(&origin, "/")).status(), 200);
    assert!(kept.closed(), "a listener that goes takes its idle connections along");
    eventually("the port is closed", || std::net::TcpStream::connect(more).is_err());
    assert_eq!(listeners().as_object().unwrap().keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(get(web, "/").await.status, 200);
}

#[tokio::test]
async fn limits_that_did_not_change_keep_their_count() {
    let origin = origin().start();
    let limited = |prefix: &str| {
        config(&origin, prefix).replace("upstream: app, ", "upstream: app, limits: [all], ")
            + "limits: { all: { key: global, rate: 1/h, burst: 3 } }\n"
    };
    let proxy = proxy().config(limited("/one")).start();
    for _ in 0..3 {
        assert_eq!(get(proxy.address(), "/").await.status, 200);
    }
    assert_eq!(proxy.reload(limited("/two")).status(), 200);
    assert_eq!(get(proxy.address(), "/").await.status, 429);
    // And so do counters.
    assert_eq!(proxy.scrape().value("tidegate_limit_decisions_total", &[("decision", "allowed")]), 3.0);
}

#[tokio::test]
async fn two_hundred_under_load_without_a_failed_request() {
    let origin = origin().start();
    let plugins = "plugins: { ids: { builtin: correlation-id } }\ndefaults: { plugins: [ids] }\n";
    let version = |number: usize| format!("{}{plugins}", config(&origin, &format!("/v{number}")));
    let proxy = proxy().config(version(0)).start();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|number| {
            let (address, stop, served) = (proxy.address(), Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let mut client = Connection::http1(address).await;
                    while !stop.load(Ordering::SeqCst) {
                        // Some keep their connection, some come anew each time.
                        if number % 2 == 0 {
                            client = Connection::http1(address).await;
                        }
                        let answer = client.get("/x").await;
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                });
            })
        })
        .collect();
    let mut memory = Vec::new();
    for number in 1..=200 {
        let before = served.load(Ordering::SeqCst);
        let answer = proxy.reload(version(number));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        eventually("requests go on", || served.load(Ordering::SeqCst) > before);
        if number % 50 == 0 {
            memory.push(resident_bytes(proxy.id()));
        }
    }
    stop.store(true, Ordering::SeqCst);
    for thread in load {
        thread.join().expect("a request failed");
    }
    assert!(served.load(Ordering::SeqCst) > 200);
    assert_eq!(path_seen(&proxy).await, "/v200/x");
    let log = proxy.wait_for_log(served.load(Ordering::SeqCst) + 1);
    assert!(log.iter().all(|line| line["status"] == 200));
    // What the first fifty have taken, allocator and all, is enough for the next hundred and fifty.
    let (first, last) = (memory[0], memory[memory.len() - 1]);
    assert!(last < first + (12 << 20), "memory went from {} to {} KiB", first / 1024, last / 1024);
}

#[tokio::test]
async fn a_routes_count_stays_its_own_when_another_comes_before_it() {
    let origin = origin().start();
    let limits = "limits: { each: { key: route, rate: 1/h, burst: 2 } }\n";
    let route = "{ name: app, upstream: app, limits: [each] }";
    let new = "{ name: new, upstream: app, match: { path_prefix: /new }, limits: [each] }";
    let config = |routes: &str| {
        format!("routes: [{routes}]\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n{limits}", origin.address())
    };
    let proxy = proxy().config(config(route)).start();
    assert_eq!((get(proxy.address(), "/").await.status, get(proxy.address(), "/").await.status), (200, 200));
    assert_eq!(proxy.reload(config(&format!("{new}, {route}"))).status(), 200);
    assert_eq!((get(proxy.address(), "/new").await.status, get(proxy.address(), "/").await.status), (200, 429));
}

#[tokio::test]
async fn a_listeners_new_name_is_the_one_that_counts() {
    let origin = origin().start();
    let proxy = proxy().config(config(&origin, "/")).start();
    let address = proxy.address();
    assert_eq!(get(address, "/").await.status, 200);
    let renamed = "listeners: [{ name: front, address: \"127.0.0.1:0\" }]\n".to_owned() + &config(&origin, "/");
    assert_eq!(proxy.reload(renamed).status(), 200);
    assert_eq!(get(address, "/").await.status, 200);
    let scrape = proxy.wait_for_metric("tidegate_connections_total", &[("listener", "front")], 1.0);
    assert_eq!(scrape.value("tidegate_connections_total", &[("listener", "web")]), 1.0);
    let state = proxy.ask_admin("GET", "/status", "").json();
    assert_eq!(state["listeners"], serde_json::json!({ "front": address.to_string() }));
}
