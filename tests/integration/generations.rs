//! Plugins that are loaded anew: who sees which generation, what a plugin keeps, and what becomes of one that does not load.
//! It knows nothing of how a module is compiled.

use serde_json::Value;
use tidegate_tests::{
    Answer, Connection, Generation, Guest, Origin, Proxy, eventually, generation, get, origin, proxy, raw, wasm,
};

/// One route with the plugin `p`, and whatever else is wanted in the configuration.
fn config(origin: &Origin, plugin: &str) -> String {
    format!(
        "workers: 1\nroutes: [{{ name: app, upstream: app, plugins: [p] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\nplugins: {{ p: {plugin} }}\n",
        origin.address()
    )
}

fn start(origin: &Origin, plugin: &Generation) -> Proxy {
    proxy().file("p.wasm", plugin.module()).config(config(origin, "{ file: p.wasm }")).start()
}

fn gauge(proxy: &Proxy, what: &str) -> f64 {
    proxy.scrape().get(&format!("tidegate_plugin_{what}"), &[("plugin", "p")]).expect("the metric is there")
}

fn status(proxy: &Proxy) -> Value {
    proxy.ask_admin("GET", "/status", "").json()
}

fn reloads(proxy: &Proxy, result: &str) -> f64 {
    proxy.scrape().value("tidegate_config_reloads_total", &[("result", result)])
}

/// Which generation answered.
fn seen(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-generation")
}

#[tokio::test]
async fn a_module_that_changes_on_disk_is_what_the_next_exchange_sees() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    let mut kept = Connection::http1(proxy.address()).await;
    assert_eq!(seen(&kept.get("/").await), "one");
    assert_eq!((gauge(&proxy, "generation"), gauge(&proxy, "generations")), (1.0, 1.0));
    proxy.write("p.wasm", generation("two").module());
    eventually("the file is seen", || gauge(&proxy, "generation") == 2.0);
    assert_eq!(seen(&kept.get("/").await), "two");
    eventually("the old generation is gone", || gauge(&proxy, "generations") == 1.0);
    assert_eq!(gauge(&proxy, "state"), 1.0);
    let state = status(&proxy)["plugins"]["p"].clone();
    assert_eq!((&state["generation"], &state["generations"]), (&2.into(), &1.into()), "{state:#}");
    assert_eq!(proxy.scrape().value("tidegate_config_last_reload_successful", &[]), 1.0);
}

#[tokio::test]
async fn the_same_content_again_is_no_new_generation() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    proxy.write("p.wasm", generation("one").module());
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    assert_eq!((gauge(&proxy, "generation"), gauge(&proxy, "generations")), (1.0, 1.0));
    // Nor is the same length.
    proxy.write("p.wasm", generation("two").module());
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    assert_eq!(gauge(&proxy, "generation"), 2.0);
    assert_eq!(seen(&get(proxy.address(), "/").await), "two");
}

#[tokio::test]
async fn a_module_that_does_not_load_any_more_keeps_its_generation_and_says_why() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    let memory = "(memory (export \"memory\") 1)";
    let traps = wasm(&format!("{memory} (func (export \"tidegate_configure\") (result i32) unreachable)"));
    let refuses = wasm(&format!("{memory} (func (export \"tidegate_configure\") (result i32) (i32.const 3))"));
    let whole = generation("two").module();
    let cut = whole[..whole.len() - 5].to_vec();
    for (number, (what, module, why)) in [
        ("no wasm", b"this is no wasm".to_vec(), "not a wasm module"),
        ("cut", cut, "does not compile"),
        ("configure traps", traps, "unreachable"),
        ("configure refuses", refuses, "refused its config"),
    ]
    .into_iter()
    .enumerate()
    {
        // Noticed without being asked, and said in the log.
        proxy.write("p.wasm", &module);
        eventually(what, || reloads(&proxy, "failure") >= (2 * number + 1) as f64);
        proxy.wait_for_said(&["\"level\":\"error\"", why]);
        // And whoever asks is told.
        let answer = proxy.ask_admin("POST", "/-/reload", "");
        assert_eq!(answer.status(), 422, "{what}");
        for word in ["plugins.p", why, "generation 1 runs on"] {
            assert!(answer.text().contains(word), "{what}: no {word} in {}", answer.text());
        }
        assert_eq!(seen(&get(proxy.address(), "/").await), "one", "{what}");
        assert_eq!(proxy.scrape().value("tidegate_config_last_reload_successful", &[]), 0.0, "{what}");
        assert_eq!(["state", "generation", "generations"].map(|what| gauge(&proxy, what)), [1.0; 3], "{what}");
        let status = status(&proxy);
        assert_eq!(status["plugins"]["p"]["state"], "loaded", "{what}");
        assert!(status["config"]["last_refused"].to_string().contains(why), "{what}: {status:#}");
    }
    // Nothing of a version is taken in which a plugin is given up.
    let renamed =
        config(&origin, "{ file: p.wasm }").replace("upstream: app,", "upstream: app, rewrite: { prefix: /v2 },");
    assert_eq!(proxy.reload(&renamed).status(), 422);
    assert_eq!(get(proxy.address(), "/x").await.json()["path"], "/x");
    // And from there back to good.
    proxy.write("p.wasm", generation("two").module());
    eventually("the good one is seen", || gauge(&proxy, "generations") == 1.0 && gauge(&proxy, "generation") > 1.0);
    let answer = get(proxy.address(), "/x").await;
    assert_eq!((seen(&answer), answer.json()["path"].as_str()), ("two", Some("/v2/x")));
    assert_eq!(status(&proxy)["config"]["last_refused"], Value::Null);
}

#[tokio::test]
async fn a_plugin_that_did_not_run_before_stops_nothing_unless_it_is_required() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    proxy.write("new.wasm", "no wasm");
    let both = |more: &str, prefix: &str| {
        config(&origin, "{ file: p.wasm }")
            .replace("plugins: [p]", &format!("plugins: [p, new], rewrite: {{ prefix: /{prefix} }}"))
            .replace("p.wasm }", &format!("p.wasm }}, new: {{ file: new.wasm{more} }}"))
    };
    assert_eq!(proxy.reload(both(", required: true", "required")).status(), 422);
    assert_eq!(get(proxy.address(), "/").await.json()["path"], "/");
    for prefix in ["first", "again"] {
        let answer = proxy.reload(both("", prefix));
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let answer = get(proxy.address(), "/").await;
        assert_eq!((seen(&answer), answer.json()["path"].as_str()), ("one", Some(&*format!("/{prefix}/"))));
        assert_eq!(proxy.scrape().get("tidegate_plugin_state", &[("plugin", "new")]), Some(0.0));
        assert_eq!(status(&proxy)["plugins"]["new"]["state"], "failed");
    }
    // What was right all the time is as it was.
    assert_eq!(gauge(&proxy, "generation"), 1.0);
    proxy.write("new.wasm", generation("new").module());
    proxy.wait_for_metric("tidegate_plugin_state", &[("plugin", "new")], 1.0);
}

#[tokio::test]
async fn what_is_under_way_ends_on_its_generation_and_then_that_is_gone() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    // Held by the client, so that the test and not the clock says when it ends.
    let mut slow = raw(proxy.address());
    slow.send("POST /held HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\nab");
    eventually("the request is under way", || origin.seen().iter().any(|seen| seen.path == "/held"));
    for (number, name) in ["two", "three"].into_iter().enumerate() {
        proxy.write("p.wasm", generation(name).module());
        assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
        assert_eq!(seen(&get(proxy.address(), "/").await), name);
        assert_eq!(gauge(&proxy, "generation"), number as f64 + 2.0);
        eventually("no more than that one and the new one", || gauge(&proxy, "generations") == 2.0);
    }
    assert_eq!(status(&proxy)["plugins"]["p"]["generations"], 2);
    slow.send("cd");
    let answer = slow.response();
    assert_eq!((answer.status(), answer.header("x-generation")), (200, Some("one")));
    eventually("the old generation is gone", || gauge(&proxy, "generations") == 1.0);
}

#[tokio::test]
async fn a_plugin_that_goes_leaves_no_generation_and_one_that_comes_back_counts_on() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    let without = config(&origin, "").replace(", plugins: [p]", "").replace("plugins: { p:  }\n", "");
    assert_eq!(proxy.reload(without).status(), 200);
    eventually("it is gone", || gauge(&proxy, "generations") == 0.0);
    assert_eq!((gauge(&proxy, "state"), gauge(&proxy, "memory_bytes")), (0.0, 0.0));
    assert_eq!(get(proxy.address(), "/").await.header("x-generation"), "");
    assert_eq!(proxy.reload(config(&origin, "{ file: p.wasm }")).status(), 200);
    assert_eq!(seen(&get(proxy.address(), "/").await), "one");
    assert_eq!(["state", "generation", "generations"].map(|what| gauge(&proxy, what)), [1.0, 2.0, 1.0]);
}

#[tokio::test]
async fn what_a_plugin_keeps_goes_on_through_reloads_that_do_not_touch_it() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    let mut client = Connection::http1(proxy.address()).await;
    let other_route = |config: String| {
        config.replace("routes: [", "routes: [{ name: new, upstream: app, match: { path_prefix: /new } }, ")
    };
    let plain = || config(&origin, "{ file: p.wasm }");
    for (count, next) in ["a", "b", "c"].into_iter().zip([plain() + "limits: {}\n", other_route(plain()), plain()]) {
        assert_eq!(client.get("/").await.header("x-count"), count);
        assert_eq!(proxy.reload(next).status(), 200);
    }
    assert_eq!((client.get("/").await.header("x-count"), gauge(&proxy, "generation")), ("d", 1.0));
    // What is changed begins anew.
    assert_eq!(proxy.reload(config(&origin, "{ file: p.wasm, config: { a: 1 } }")).status(), 200);
    assert_eq!((client.get("/").await.header("x-count"), gauge(&proxy, "generation")), ("a", 2.0));
}

#[tokio::test]
async fn a_plugin_that_can_say_names_begins_anew_when_they_change() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one").saying_names());
    let mut client = Connection::http1(proxy.address()).await;
    let plain = config(&origin, "{ file: p.wasm }");
    let renamed = plain.replace("name: app", "name: other");
    for (count, next) in [("a", plain.clone() + "limits: {}\n"), ("b", renamed.clone()), ("a", renamed), ("b", plain)] {
        assert_eq!(client.get("/").await.header("x-count"), count);
        assert_eq!(proxy.reload(next).status(), 200);
    }
    assert_eq!((client.get("/").await.header("x-count"), gauge(&proxy, "generation")), ("a", 1.0));
}

#[tokio::test]
async fn the_store_survives_reloads_and_goes_with_the_plugin() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one").storing());
    for (count, next) in [("a", "two"), ("b", "three"), ("c", "four")] {
        assert_eq!(get(proxy.address(), "/").await.header("x-count"), count);
        proxy.write("p.wasm", generation(next).storing().module());
        assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    }
    let answer = get(proxy.address(), "/").await;
    assert_eq!((seen(&answer), answer.header("x-count")), ("four", "d"));
    let without = config(&origin, "").replace(", plugins: [p]", "").replace("plugins: { p:  }\n", "");
    assert_eq!(proxy.reload(without).status(), 200);
    eventually("it is gone", || gauge(&proxy, "generations") == 0.0);
    assert_eq!(proxy.reload(config(&origin, "{ file: p.wasm }")).status(), 200);
    assert_eq!(get(proxy.address(), "/").await.header("x-count"), "a");
}

#[tokio::test]
async fn what_is_handed_over_is_what_the_next_generation_begins_with() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one").handing_over());
    let mut client = Connection::http1(proxy.address()).await;
    for count in ["a", "b", "c"] {
        assert_eq!(client.get("/").await.header("x-count"), count);
    }
    proxy.write("p.wasm", generation("two").handing_over().module());
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    let answer = client.get("/").await;
    assert_eq!((seen(&answer), answer.header("x-count")), ("two", "d"));
    // By a change of the configuration just the same.
    assert_eq!(proxy.reload(config(&origin, "{ file: p.wasm, config: { a: 1 } }")).status(), 200);
    assert_eq!(client.get("/").await.header("x-count"), "e");
}

#[tokio::test]
async fn metrics_keep_their_values() {
    let origin = origin().start();
    let proxy = start(&origin, &generation("one"));
    let labels = [("plugin", "p")];
    for (number, name) in ["two", "three", "four"].into_iter().enumerate() {
        assert_eq!(get(proxy.address(), "/").await.status, 200);
        proxy.wait_for_metric("hits_total", &labels, number as f64 + 1.0);
        proxy.write("p.wasm", generation(name).module());
        assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    }
    assert_eq!(get(proxy.address(), "/").await.status, 200);
    let scrape = proxy.wait_for_metric("hits_total", &labels, 4.0);
    assert_eq!(scrape.value("tidegate_plugin_calls_total", &[("plugin", "p"), ("hook", "response_head")]), 4.0);
    assert_eq!(scrape.value("tidegate_plugin_series", &labels), 1.0);
}

#[tokio::test]
async fn a_tick_that_waits_keeps_no_generation() {
    let origin = origin().start();
    let mut guest = Guest::new();
    let every = guest.call("tick_every", "(i64.const 100)");
    let wait = guest.call("sleep", "(i64.const 3600000)");
    guest = guest.hook("configure", &format!("{every} (i32.const 0)"));
    guest = guest.hook("tick", &format!("{wait} (i32.const 1)")).hook("resume", "unreachable");
    let proxy = proxy().file("p.wasm", guest.module()).config(config(&origin, "{ file: p.wasm }")).start();
    let pending = [("plugin", "p"), ("hook", "tick"), ("outcome", "pending")];
    proxy.wait_for_metric("tidegate_plugin_calls_total", &pending, 1.0);
    proxy.write("p.wasm", generation("two").module());
    eventually("the old generation is gone", || {
        gauge(&proxy, "generation") == 2.0 && gauge(&proxy, "generations") == 1.0
    });
    assert_eq!(seen(&get(proxy.address(), "/").await), "two");
}
