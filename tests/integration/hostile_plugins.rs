//! Plugins that do not load, loop, trap or take too much: what happens to their exchange, and that nothing happens to others.
//! They are written here, as WebAssembly text.

use tidegate_tests::{Connection, Origin, Proxy, get, origin, proxy, resident_bytes, wasm};

const MEMORY: &str = "(memory (export \"memory\") 1)";

/// A plugin whose request head hook does this.
fn request_head(body: &str) -> Vec<u8> {
    wasm(&format!(
        "{MEMORY} (func $recurse (call $recurse)) (func (export \"tidegate_request_head\") (param i32) (result i32) {body})"
    ))
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

async fn faulty(what: &str, module: &[u8], more: &str, outcome: &str, reason: &str) {
    let origin = origin().start();
    // Fail open: the exchange goes on as if the plugin were not there.
    let open = start(&origin, module, more);
    assert_eq!(get(open.address(), "/bad").await.status, 200, "{what}");
    let labels = [("plugin", "bad"), ("hook", "request_head"), ("outcome", outcome)];
    open.wait_for_metric("tidegate_plugin_calls_total", &labels, 1.0);
    // Fail closed: this exchange fails, and no other.
    let closed = start(&origin, module, &format!("{more}, on_failure: closed"));
    let before = origin.count();
    let answer = get(closed.address(), "/bad").await;
    assert_eq!((answer.status, answer.reason()), (500, reason.to_owned()), "{what}");
    assert_eq!(origin.count(), before, "{what}");
    closed.wait_for_metric("tidegate_errors_total", &[("source", "plugin"), ("reason", reason), ("route", "bad")], 1.0);
    assert_eq!(get(closed.address(), "/").await.status, 200, "{what}");
    assert_eq!(closed.wait_for_log(2)[0]["error"]["source"], "plugin", "{what}");
}

#[tokio::test]
async fn a_trap_costs_one_exchange() {
    faulty("unreachable", &request_head("unreachable"), "", "trap", "plugin_trap").await;
}

#[tokio::test]
async fn endless_recursion_costs_one_exchange() {
    faulty("recursion", &request_head("(call $recurse) (i32.const 0)"), "", "trap", "plugin_trap").await;
}

#[tokio::test]
async fn a_verdict_that_does_not_exist_costs_one_exchange() {
    faulty("verdict 99", &request_head("(i32.const 99)"), "", "trap", "plugin_trap").await;
}

#[tokio::test]
async fn an_endless_loop_runs_into_its_deadline() {
    let module = request_head("(loop br 0) (i32.const 0)");
    faulty("loop", &module, ", budget: { deadline: 5ms }", "deadline", "plugin_deadline").await;
}

#[tokio::test]
async fn a_plugin_that_says_it_failed() {
    faulty("fail", &request_head("(i32.const 3)"), "", "failed", "plugin_failed").await;
}

#[tokio::test]
async fn memory_ends_at_the_budget() {
    // Grows by 1 MiB until that is refused, touching each page; then traps, as an allocator would.
    let module = request_head(
        "(local $at i32)
         (loop $more
            (local.set $at (memory.grow (i32.const 16)))
            (if (i32.ne (local.get $at) (i32.const -1)) (then
                (i32.store (i32.mul (local.get $at) (i32.const 65536)) (i32.const 1))
                (br $more))))
         unreachable",
    );
    faulty("growth", &module, ", budget: { memory: 4MiB, deadline: 1s }", "trap", "plugin_trap").await;
    let origin = origin().start();
    let proxy = start(&origin, &module, ", budget: { memory: 64MiB, deadline: 1s }");
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..20 {
        assert_eq!(client.get("/bad").await.status, 200);
    }
    assert!(resident_bytes(proxy.id()) < 600 << 20);
}

#[tokio::test]
async fn pointers_out_of_memory_trap_in_the_guest_alone() {
    let module = wasm(&format!(
        "(import \"tidegate_v1\" \"log_field_text\" (func $field (param i32 i32 i32 i32) (result i32))) {MEMORY}
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (drop (call $field (i32.const -1) (i32.const -1) (i32.const 65530) (i32.const 100)))
            (i32.const 0))"
    ));
    faulty("bad pointers", &module, "", "trap", "plugin_trap").await;
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
async fn what_cannot_load_does_not_stop_the_rest() {
    let origin = origin().start();
    let component: &[u8] = b"\0asm\x0d\0\x01\0";
    for (what, module) in [
        ("no wasm", b"this is no wasm".to_vec()),
        ("empty", Vec::new()),
        ("cut", request_head("(i32.const 0)")[..20].to_vec()),
        ("a component", component.to_vec()),
        ("no memory", wasm("(func (export \"tidegate_request_head\") (param i32) (result i32) (i32.const 0))")),
        ("a hook of another type", wasm(&format!("{MEMORY} (func (export \"tidegate_request_head\"))"))),
        (
            "configure that traps",
            wasm(&format!("{MEMORY} (func (export \"tidegate_configure\") (result i32) unreachable)")),
        ),
        (
            "configure that refuses",
            wasm(&format!("{MEMORY} (func (export \"tidegate_configure\") (result i32) (i32.const 3))")),
        ),
        (
            "configure that loops",
            wasm(&format!("{MEMORY} (func (export \"tidegate_configure\") (result i32) (loop br 0) (i32.const 0))")),
        ),
        ("memory beyond the budget", wasm("(memory (export \"memory\") 2000)")),
    ] {
        let open = start(&origin, &module, "");
        assert_eq!(get(open.address(), "/bad").await.status, 200, "{what}");
        assert_eq!(get(open.address(), "/").await.status, 200, "{what}");
        assert_eq!(open.scrape().get("tidegate_plugin_state", &[("plugin", "bad")]), Some(0.0), "{what}");
        let said = open.stderr_text();
        assert!(said.contains("bad"), "{what}: nothing was said of it:\n{said}");
        let closed = start(&origin, &module, ", on_failure: closed");
        let answer = get(closed.address(), "/bad").await;
        assert_eq!((answer.status, answer.reason().as_str()), (503, "plugin_unavailable"), "{what}");
        assert_eq!(get(closed.address(), "/").await.status, 200, "{what}");
    }
}

#[tokio::test]
async fn a_missing_import_is_named_and_traps_only_when_called() {
    let origin = origin().start();
    let module = |call: &str| {
        wasm(&format!(
            "(import \"elsewhere\" \"frobnicate\" (func $f)) {MEMORY}
             (func (export \"tidegate_request_head\") (param i32) (result i32) {call} (i32.const 0))"
        ))
    };
    let proxy = start(&origin, module(""), ", on_failure: closed");
    assert_eq!(get(proxy.address(), "/bad").await.status, 200);
    assert!(proxy.stderr_text().contains("frobnicate"), "{}", proxy.stderr_text());
    let proxy = start(&origin, module("(call $f)"), ", on_failure: closed");
    assert_eq!(get(proxy.address(), "/bad").await.reason(), "plugin_trap");
}

#[tokio::test]
async fn a_required_plugin_refuses_the_configuration() {
    let folder = tidegate_tests::Scratch::new();
    folder.write("bad.wasm", "no wasm");
    folder.write(
        "tidegate.yaml",
        "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app, plugins: [bad] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\nplugins: { bad: { file: bad.wasm, required: true } }\n",
    );
    let checked = tidegate_tests::run(folder.path(), &["check", "-c", "tidegate.yaml"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    assert!(checked.text().contains("bad"), "{}", checked.text());
    assert_eq!(tidegate_tests::run(folder.path(), &["run", "-c", "tidegate.yaml"]).code(), 2);
}

#[tokio::test]
async fn spam_is_dropped_and_counted() {
    let origin = origin().start();
    // 10,000 log fields and spans in one exchange, against budgets of a few.
    let module = wasm(
        "(import \"tidegate_v1\" \"log_field_int\" (func $field (param i32 i32 i64) (result i32)))
         (import \"tidegate_v1\" \"span_start\" (func $span (param i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"field0000\")
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (local $n i32)
            (loop $more
                (i32.store8 (i32.const 5) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 26))))
                (i32.store8 (i32.const 6) (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $n) (i32.const 26)) (i32.const 26))))
                (drop (call $field (i32.const 0) (i32.const 9) (i64.const 1)))
                (drop (call $span (i32.const 0) (i32.const 0) (i32.const 5)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 600))))
            (i32.const 0))",
    );
    let proxy = start(&origin, module, ", budget: { log_fields: 5, spans: 3, deadline: 1s }");
    assert_eq!(get(proxy.address(), "/bad").await.status, 200);
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!(line.as_object().unwrap().keys().filter(|key| key.starts_with("field")).count(), 5, "{line:#}");
    let dropped = |effect| {
        let labels = [("plugin", "bad"), ("effect", effect), ("reason", "budget")];
        proxy.scrape().value("tidegate_plugin_dropped_total", &labels)
    };
    assert_eq!((dropped("log_field"), dropped("span")), (595.0, 597.0));
}

#[tokio::test]
async fn the_proxys_own_names_cannot_be_taken() {
    let origin = origin().start();
    let module = wasm(
        "(import \"tidegate_v1\" \"log_field_text\" (func $field (param i32 i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"statustrace_id\")
         (func (export \"tidegate_log\") (param i32)
            (drop (call $field (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 6)))
            (drop (call $field (i32.const 6) (i32.const 8) (i32.const 0) (i32.const 6))))",
    );
    let proxy = start(&origin, module, "");
    assert_eq!(get(proxy.address(), "/bad").await.status, 200);
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!(line["status"], 200);
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    let labels = [("plugin", "bad"), ("effect", "log_field")];
    proxy.wait_for_metric("tidegate_plugin_dropped_total", &labels, 2.0);
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
