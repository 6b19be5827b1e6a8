//! What the configuration lets a plugin do and keep: `allow`, and the store over workers and reloads.
//! It knows nothing of how the host counts or keeps either.

use tidegate_tests::{Origin, Proxy, ProxyBuilder, get, origin, proxy, run, wasm};

fn with(origin: &Origin, plugin: &str) -> ProxyBuilder {
    proxy().config(parts(origin, plugin))
}

fn parts(origin: &Origin, plugin: &str) -> String {
    format!(
        "routes: [{{ name: app, upstream: app, plugins: [p], limits: [per-tenant] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
         limits: {{ per-tenant: {{ key: plugin.tenant, rate: 1/h }} }}\n\
         plugins: {{ p: {{ file: p.wasm, {plugin} }} }}\n",
        origin.address()
    )
}

/// Counts requests in the store, and tells the count as a letter in the header `x-count` of the answer.
fn counting() -> Vec<u8> {
    wasm(
        r#"(import "tidegate_v1" "store_increment" (func $increment (param i32 i32 i64 i64) (result i64)))
           (import "tidegate_v1" "header_set" (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (memory (export "memory") 1) (data (i32.const 0) "x-count")
           (func (export "tidegate_response_head") (param i32) (result i32)
              (i32.store8 (i32.const 16) (i32.add (i32.const 96)
                  (i32.wrap_i64 (call $increment (i32.const 0) (i32.const 7) (i64.const 1) (i64.const 0)))))
              (drop (call $set (i32.const 1) (i32.const 0) (i32.const 7) (i32.const 16) (i32.const 1)))
              (i32.const 0))"#,
    )
}

async fn counts(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut counts = Vec::new();
    for _ in 0..requests {
        // Each over a connection of its own, so that both workers get some.
        counts.push(get(proxy.address(), "/").await.header("x-count").to_owned());
    }
    counts
}

#[tokio::test]
async fn workers_and_reloads_share_the_store_of_a_plugin() {
    let origin = origin().start();
    let proxy = with(&origin, "required: true").file("p.wasm", counting()).start();
    assert_eq!(counts(&proxy, 10).await, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("tidegate_plugin_store_entries", &[("plugin", "p")]), 1.0);
    assert_eq!(scrape.value("tidegate_plugin_store_bytes", &[("plugin", "p")]), 7.0 + 8.0 + 64.0);
    // Another generation of the same name.
    let reloaded = proxy.reload(parts(&origin, "budget: { key_value: 2KiB }"));
    assert_eq!(reloaded.status(), 200, "{}", reloaded.text());
    assert_eq!(counts(&proxy, 3).await, ["k", "l", "m"]);
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("tidegate_plugin_generation", &[("plugin", "p")]), 2.0);
}

#[tokio::test]
async fn what_is_not_allowed_is_counted_and_the_request_goes_on() {
    let origin = origin().start();
    let proxy = with(&origin, "allow: [metrics, reply]").file("p.wasm", counting()).start();
    let answer = get(proxy.address(), "/").await;
    assert_eq!((answer.status, answer.headers.get("x-count")), (200, None));
    for effect in ["store", "header"] {
        let labels = [("plugin", "p"), ("effect", effect), ("reason", "denied")];
        proxy.wait_for_metric("tidegate_plugin_dropped_total", &labels, 1.0);
    }
}

#[test]
fn a_word_that_is_no_capability_is_told_with_what_was_meant() {
    let folder = tidegate_tests::Scratch::new();
    folder.write(
        "tidegate.yaml",
        "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app, plugins: [ids] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\nplugins: { ids: { builtin: correlation-id, allow: [header] } }\n",
    );
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    assert!(checked.text().contains("unknown value `header`"), "{}", checked.text());
    assert!(checked.text().contains("did you mean `headers`?"), "{}", checked.text());
}
