//! Faults of a running plugin: what they cost, and that they cost nobody else anything.
//! Each is a module of its own; what follows from a fault is in `scene`.

use tidegate_abi::Hook;
use tidegate_tests::{
    Connection, Origin, Proxy, eventually, eventually_some, get, origin, proxy, resident_bytes, wasm,
};

use super::fixture;
use super::scene::{DEADLINE, Fault, Scene, TRAP};

const MEMORY: &str = "(memory (export \"memory\") 1)";

/// A plugin whose request head hook does this.
fn request_head(body: &str) -> Vec<u8> {
    wasm(&format!("{MEMORY} (func (export \"tidegate_request_head\") (param i32) (result i32) {body})"))
}

/// All consequences of a fault in the head of a request.
async fn falls(what: &str, module: Vec<u8>, more: &str, fault: Fault) {
    let scene = Scene::new(module, more);
    scene.falls(what, fault).await;
    scene.end();
}

#[tokio::test]
async fn a_trap_costs_one_exchange() {
    falls("unreachable", request_head("unreachable"), "", TRAP).await;
}

#[tokio::test]
async fn a_trap_in_an_instance_of_ones_own_is_a_fault_like_others() {
    falls("isolated", request_head("unreachable"), ", isolation: exchange", TRAP).await;
}

#[tokio::test]
async fn endless_recursion_costs_one_exchange() {
    // The stack ends long before the deadline of a slow machine.
    falls("recursion", fixture("deep_recursion"), ", budget: { deadline: 1s }", TRAP).await;
}

#[tokio::test]
async fn a_verdict_that_does_not_exist_costs_one_exchange() {
    falls("verdict 99", request_head("(i32.const 99)"), "", TRAP).await;
}

#[tokio::test]
async fn an_endless_loop_runs_into_its_deadline() {
    falls("loop", fixture("endless_loop"), ", budget: { deadline: 5ms }", DEADLINE).await;
}

#[tokio::test]
async fn a_million_host_calls_run_into_the_deadline() {
    falls("host calls", fixture("host_calls"), ", budget: { deadline: 5ms }", DEADLINE).await;
    // Where there is time enough they are made, and do no harm.
    let scene = Scene::new(fixture("host_calls"), ", budget: { deadline: 30s }");
    assert_eq!(scene.closed().await.status, 200);
    scene.end();
}

#[tokio::test]
async fn a_table_ends_at_the_budget_of_memory() {
    falls("table", fixture("table_growth"), ", budget: { memory: 4MiB, deadline: 1s }", TRAP).await;
}

#[tokio::test]
async fn a_panic_costs_one_exchange_and_its_message_is_in_the_log() {
    let scene = Scene::new(fixture("panic"), "");
    assert_eq!(scene.closed().await.reason(), "plugin_trap");
    let message = "thread '<unnamed>' panicked at src/lib.rs:7: no way";
    eventually("the panic's message", || {
        scene.lines("closed").iter().any(|line| line["message"] == message && line["level"] == "error")
    });
    let fault = eventually_some("what is said of the fault", || {
        scene.lines("closed").into_iter().find(|line| line["hook"] == "request_head")
    });
    assert!(fault["fault"].as_str().unwrap().contains("rust_panic"), "{fault:#}");
    scene.end();
    falls("panic", fixture("panic"), "", TRAP).await;
}

#[tokio::test]
async fn a_plugin_cannot_end_the_process() {
    falls("exit", fixture("exit"), "", TRAP).await;
}

#[tokio::test]
async fn a_trap_and_a_loop_after_waiting_cost_the_exchange_that_waited() {
    falls("trap in resume", fixture("trap_in_resume"), "", TRAP).await;
    falls("loop in resume", fixture("loop_in_resume"), ", budget: { deadline: 5ms }", DEADLINE).await;
}

#[tokio::test]
async fn a_plugin_that_waits_for_ever_meets_the_timeout_of_its_exchange() {
    let origin = origin().start();
    let proxy = proxy()
        .file("bad.wasm", fixture("waits_for_ever"))
        .config("workers: 1")
        .config("routes: [{ name: bad, match: { path: /bad }, upstream: app, plugins: [bad], timeout: 200ms }, { name: good, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("plugins: { bad: { file: bad.wasm } }")
        .start();
    let bystander = super::bystander::Bystander::start(proxy.address());
    let answer = get(proxy.address(), "/bad").await;
    assert_eq!((answer.status, answer.reason().as_str()), (504, "timeout"));
    bystander.end();
}

#[tokio::test]
async fn a_trap_when_an_exchange_is_let_go_costs_the_instance_alone() {
    let scene = Scene::new(fixture("trap_in_release"), "");
    for _ in 0..3 {
        assert_eq!((scene.open().await.status, scene.closed().await.status), (200, 200));
    }
    scene.proxy.wait_for_metric("tidegate_plugin_restarts_total", &[("plugin", "closed")], 3.0);
    scene.end();
}

#[tokio::test]
async fn a_tick_that_never_ends_is_ended_and_then_left_out() {
    let scene = Scene::new(fixture("loop_in_tick"), ", budget: { deadline: 5ms }");
    eventually("a tick has met its deadline", || scene.calls("open", Hook::Tick.name(), "deadline") >= 5.0);
    scene.state(0.5);
    assert_eq!((scene.open().await.status, scene.closed().await.status), (200, 200));
    scene.end();
}

#[tokio::test]
async fn a_plugin_that_defines_something_else_each_time_does_not_run() {
    let scene = Scene::new(fixture("changes_its_mind"), "");
    assert_eq!(scene.open().await.status, 200);
    let answer = scene.closed().await;
    assert!([500, 503].contains(&answer.status), "{}", answer.text());
    eventually("it is said why", || {
        scene
            .lines("closed")
            .iter()
            .any(|line| line["fault"].as_str().is_some_and(|fault| fault.contains("defined something else")))
    });
    scene.end();
}

#[tokio::test]
async fn a_plugin_that_says_it_failed_keeps_its_instance() {
    let scene = Scene::new(request_head("(i32.const 3)"), "");
    for _ in 0..10 {
        assert_eq!(scene.open().await.status, 200);
        let answer = scene.closed().await;
        assert_eq!((answer.status, answer.reason().as_str()), (500, "plugin_failed"));
    }
    scene.state(1.0);
    let metrics = scene.end();
    let failed = [("plugin", "closed"), ("hook", "request_head"), ("outcome", "failed")];
    assert_eq!(metrics.value("tidegate_plugin_calls_total", &failed), 10.0);
    assert_eq!(metrics.value("tidegate_plugin_restarts_total", &[("plugin", "closed")]), 0.0);
}

#[tokio::test]
async fn memory_ends_at_the_budget() {
    falls("growth", fixture("memory_growth"), ", budget: { memory: 4MiB, deadline: 1s }", TRAP).await;
    // What an instance had is given back with it.
    let scene = Scene::new(fixture("memory_growth"), ", budget: { memory: 64MiB, deadline: 5s }");
    for _ in 0..20 {
        assert_eq!(scene.open().await.status, 200);
    }
    scene.proxy.wait_for_metric("tidegate_plugin_memory_bytes", &[("plugin", "open")], 0.0);
    assert!(resident_bytes(scene.proxy.id()) < 600 << 20);
    scene.end();
}

#[tokio::test]
async fn after_its_quarantine_a_plugin_is_tried_again_and_rests_longer() {
    let scene = Scene::new(request_head("unreachable"), "");
    for _ in 0..6 {
        assert_eq!(scene.open().await.status, 200);
    }
    assert!(scene.calls("open", "request_head", "unavailable") >= 1.0);
    // A second later one call is enough for the next rest, which is of two seconds.
    let rests = |rest: &str| scene.lines("open").iter().any(|line| line["quarantine"] == rest);
    assert!(rests("1s"), "{:#?}", scene.lines("open"));
    let patience = std::time::Instant::now();
    while !rests("2s") {
        assert!(patience.elapsed() < tidegate_tests::PATIENCE, "{:#?}", scene.lines("open"));
        assert_eq!(scene.open().await.status, 200);
    }
    assert_eq!(scene.calls("open", "request_head", "trap"), 6.0);
    scene.end();
}

/// The plugin `bad` on `/bad`, and a route beside it.
fn start(origin: &Origin, module: impl AsRef<[u8]>, more: &str) -> Proxy {
    proxy()
        .file("bad.wasm", module)
        .config("routes: [{ name: bad, match: { path_prefix: /bad }, upstream: app, plugins: [bad] }, { name: good, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(format!("plugins: {{ bad: {{ file: bad.wasm{more} }} }}"))
        .start()
}

#[tokio::test]
async fn repeated_traps_end_in_quarantine_and_the_bystander_never_notices() {
    let origin = origin().start();
    let proxy = start(&origin, request_head("unreachable"), "");
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..200 {
        assert_eq!(client.get("/bad").await.status, 200);
        assert_eq!(client.get("/").await.status, 200);
    }
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 400.0);
    let traps = scrape.value("tidegate_plugin_calls_total", &[("plugin", "bad"), ("outcome", "trap")]);
    assert!((3.0..200.0).contains(&traps), "{traps} traps, and no quarantine");
    assert_eq!(scrape.value("tidegate_plugin_state", &[("plugin", "bad")]), 0.5);
}

#[tokio::test]
async fn a_response_hook_that_fails_is_answered_once_and_keeps_nothing_of_the_upstream() {
    let origin = origin().start();
    let module =
        wasm(&format!("{MEMORY} (func (export \"tidegate_response_head\") (param i32) (result i32) unreachable)"));
    let closed = start(&origin, &module, ", on_failure: closed");
    // A body that would not fit into any buffer, and one that never ends.
    for path in ["/bad/bytes/50000000", "/bad/stall"] {
        let answer = get(closed.address(), path).await;
        assert_eq!((answer.status, answer.reason().as_str()), (500, "plugin_trap"), "{path}");
    }
    let labels = [("plugin", "bad"), ("hook", "response_head"), ("outcome", "trap")];
    closed.wait_for_metric("tidegate_plugin_calls_total", &labels, 2.0);
    closed.wait_for_metric("http_client_open_connections", &[("http_connection_state", "active")], 0.0);
    assert_eq!(get(closed.address(), "/").await.status, 200);
    for line in closed.wait_for_log(3).iter().filter(|line| line["route"] == "bad") {
        assert_eq!((&line["status"], &line["attempts"]), (&500.into(), &1.into()));
        assert_eq!(line["error"]["reason"], "plugin_trap");
    }
    // Where it fails open, the upstream's answer goes out.
    let open = start(&origin, &module, "");
    assert_eq!(get(open.address(), "/bad").await.status, 200);
}

#[tokio::test]
async fn a_response_hook_that_fails_ends_a_websocket_before_it_begins() {
    let origin = origin().start();
    let module =
        wasm(&format!("{MEMORY} (func (export \"tidegate_response_head\") (param i32) (result i32) unreachable)"));
    let proxy = proxy()
        .file("bad.wasm", module)
        .config("routes: [{ name: bad, upstream: app, plugins: [bad] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("plugins: { bad: { file: bad.wasm, on_failure: closed } }")
        .start();
    assert_eq!(tidegate_tests::websocket(proxy.address(), "/websocket", &[]).await.unwrap_err(), 500);
    assert_eq!(proxy.wait_for_log(1)[0]["error"]["reason"], "plugin_trap");
    assert_eq!(proxy.scrape().value("tidegate_websocket_active", &[]), 0.0);
}
