//! Plugins that behave: the shipped ones, and small ones written here for each effect and for the order of a chain.
//! What goes wrong with plugins is in `hostile`.

use tidegate_tests::{
    Body, Connection, Guest, Origin, ProxyBuilder, collector, eventually, get, origin, proxy, raw, request, wasm,
};

fn with_plugins(origin: &Origin, chain: &str, plugins: &str) -> ProxyBuilder {
    proxy()
        .config(format!(
            "routes: [{{ name: app, match: {{ path: \"/{{*rest}}\" }}, upstream: app, plugins: [{chain}] }}]"
        ))
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config(format!("plugins:\n{plugins}"))
}

#[test]
fn correlation_ids_in_a_header_of_ones_own() {
    let origin = origin().start();
    let plugin = "  ids: { builtin: correlation-id, config: { header: x-trace, format: uuid_v7, trust: any, accept: [x-old-id], log_field: ref } }";
    let proxy = with_plugins(&origin, "ids", plugin).start();
    let answer = raw(proxy.address()).send("GET /a HTTP/1.1\r\nhost: a.test\r\n\r\n").response();
    let made = answer.header("x-trace").unwrap().to_owned();
    assert_eq!((made.len(), made.as_bytes()[14]), (36, b'7'), "{made}");
    assert_eq!(origin.last().header("x-trace"), made);
    let answer = raw(proxy.address()).send("GET /a HTTP/1.1\r\nhost: a.test\r\nx-old-id: kept-1\r\n\r\n").response();
    assert_eq!(answer.header("x-trace"), Some("kept-1"));
    assert_eq!(origin.last().header("x-old-id"), "kept-1");
    let log = proxy.wait_for_log(2);
    assert_eq!((&log[0]["correlation_id"], &log[0]["ref"]), (&made.as_str().into(), &made.as_str().into()));
    assert_eq!(log[1]["correlation_id"], "kept-1");
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("correlation_id_ids_total", &[("plugin", "ids"), ("origin", "created")]), 1.0);
    assert_eq!(scrape.value("correlation_id_ids_total", &[("plugin", "ids"), ("origin", "received")]), 1.0);
}

#[test]
fn nobody_is_trusted_where_the_configuration_says_so() {
    let origin = origin().start();
    let proxy = with_plugins(&origin, "ids", "  ids: { builtin: correlation-id, config: { trust: none } }").start();
    let answer = raw(proxy.address()).send("GET /a HTTP/1.1\r\nhost: a.test\r\nx-request-id: mine\r\n\r\n").response();
    assert_ne!(answer.header("x-request-id"), Some("mine"));
    assert_ne!(origin.last().header("x-request-id"), "mine");
}

#[tokio::test]
async fn requests_are_classified_by_path_header_and_query() {
    let origin = origin().start();
    let plugin = "  classify:\n    builtin: request-classifier\n    config:\n      label: kind\n      otherwise: other\n      rules:\n\
                  \x20       - { path_prefix: /api, value: api }\n        - { header: { name: x-tenant, value: acme }, value: acme }\n\
                  \x20       - { query: { name: debug }, value: debug }\n";
    let proxy = with_plugins(&origin, "classify", plugin).start();
    let ask = |path: &str, headers: &str| {
        raw(proxy.address()).send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n")).response();
    };
    ask("/api/x", "");
    ask("/apix", "");
    ask("/b", "x-tenant: acme\r\n");
    ask("/b?debug=1", "x-tenant: other\r\n");
    for number in 0..50 {
        ask(&format!("/b/{number}"), &format!("x-tenant: t{number}\r\n"));
    }
    let scrape = proxy.wait_for_metric("requests_by_kind_total", &[("plugin", "classify")], 54.0);
    let of = |kind| scrape.value("requests_by_kind_total", &[("kind", kind)]);
    assert_eq!((of("api"), of("acme"), of("debug"), of("other")), (1.0, 1.0, 1.0, 51.0));
    assert!(scrape.series("requests_by_kind_total") <= 4);
    let timed =
        |hook| scrape.get("tidegate_plugin_hook_duration_seconds_count", &[("plugin", "classify"), ("hook", hook)]);
    assert!(timed("log").is_some() && timed("configure").is_none(), "no series of what is never timed");
}

#[test]
fn a_wrong_configuration_names_its_key() {
    let folder = tidegate_tests::Scratch::new();
    folder.write(
        "tidegate.yaml",
        "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app, plugins: [ids] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\nplugins: { ids: { builtin: correlation-id, required: true, config: { formt: uuid } } }\n",
    );
    let checked = tidegate_tests::run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    assert!(checked.text().contains("formt") && checked.text().contains("ids"), "{}", checked.text());
}

/// Header functions of the ABI, and a memory with `text` at 0.
fn with_headers(text: &str, body: &str) -> Vec<u8> {
    wasm(&format!(
        "(import \"tidegate_v1\" \"header_set\" (func $set (param i32 i32 i32 i32 i32) (result i32)))
         (import \"tidegate_v1\" \"header_add\" (func $add (param i32 i32 i32 i32 i32) (result i32)))
         (import \"tidegate_v1\" \"header_remove\" (func $remove (param i32 i32 i32) (result i32)))
         (import \"tidegate_v1\" \"reply\" (func $reply (param i32 i32 i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"{text}\") {body}"
    ))
}

#[tokio::test]
async fn headers_are_changed_in_the_order_of_the_chain() {
    let origin = origin().start();
    // Each adds its letter to `x-chain`, on the way there and on the way back.
    let plugin = |letter: &str| {
        with_headers(
            &format!("x-chain{letter}"),
            "(func (export \"tidegate_request_head\") (param i32) (result i32)
                (call $add (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 1)))
             (func (export \"tidegate_response_head\") (param i32) (result i32)
                (call $add (i32.const 1) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 1)))",
        )
    };
    let proxy =
        with_plugins(&origin, "a, b, c", "  a: { file: a.wasm }\n  b: { file: b.wasm }\n  c: { file: c.wasm }\n")
            .file("a.wasm", plugin("a"))
            .file("b.wasm", plugin("b"))
            .file("c.wasm", plugin("c"))
            .start();
    let answer = get(proxy.address(), "/x").await;
    assert_eq!(origin.last().header("x-chain"), "a, b, c");
    let back: Vec<_> = answer.headers.get_all("x-chain").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(back, ["c", "b", "a"]);
}

#[tokio::test]
async fn a_local_reply_ends_the_way() {
    let origin = origin().start();
    // 403 with the body `no`.
    let module = with_headers(
        "no",
        "(func (export \"tidegate_request_head\") (param i32) (result i32)
            (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2)))
            (i32.const 2))",
    );
    let proxy = with_plugins(&origin, "deny", "  deny: { file: deny.wasm }\n").file("deny.wasm", module).start();
    let answer = get(proxy.address(), "/x").await;
    assert_eq!((answer.status, answer.text().as_str(), origin.count()), (403, "no", 0));
    assert!(!answer.header("x-request-id").is_empty());
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!((&line["status"], &line["attempts"]), (&403.into(), &0.into()));
    assert!(line["error"].is_null());
}

#[tokio::test]
async fn a_plugin_cannot_break_the_framing() {
    let origin = origin().start();
    for name in ["content-length", "transfer-encoding", "connection", "host"] {
        let module = with_headers(
            &format!("{name}9"),
            &format!(
                "(func (export \"tidegate_request_head\") (param i32) (result i32)
                    (drop (call $set (i32.const 0) (i32.const 0) (i32.const {0}) (i32.const {0}) (i32.const 1))) (i32.const 0))
                 (func (export \"tidegate_response_head\") (param i32) (result i32)
                    (drop (call $set (i32.const 1) (i32.const 0) (i32.const {0}) (i32.const {0}) (i32.const 1))) (i32.const 0))",
                name.len()
            ),
        );
        let proxy = with_plugins(&origin, "odd", "  odd: { file: odd.wasm }\n").file("odd.wasm", module).start();
        let mut client = raw(proxy.address());
        for _ in 0..2 {
            let answer =
                client.send("POST /bytes/3 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi").response();
            assert_eq!((answer.status(), answer.text().as_str()), (200, "xxx"), "{name}");
        }
        assert_eq!(origin.last().body_bytes, 2, "{name}");
    }
}

#[tokio::test]
async fn log_lines_of_a_plugin_carry_the_ids() {
    let origin = origin().start();
    let module = wasm(
        "(import \"tidegate_v1\" \"log_line\" (func $line (param i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"hello from inside\")
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (drop (call $line (i32.const 1) (i32.const 0) (i32.const 17))) (i32.const 0))",
    );
    let proxy = with_plugins(&origin, "talk", "  talk: { file: talk.wasm }\n").file("talk.wasm", module).start();
    get(proxy.address(), "/x").await;
    let log = proxy.wait_for_log(1);
    eventually("the plugin's line", || proxy.stderr_text().contains("hello from inside"));
    let line = proxy.diagnostics().into_iter().find(|line| line.to_string().contains("hello from inside")).unwrap();
    let text = line.to_string();
    assert!(text.contains("talk") && text.contains(log[0]["correlation_id"].as_str().unwrap()), "{text}");
    assert!(text.contains(log[0]["trace_id"].as_str().unwrap()), "{text}");
}

#[tokio::test]
async fn spans_attributes_events_and_status() {
    let (origin, collector) = (origin().start(), collector());
    let module = wasm(
        "(import \"tidegate_v1\" \"span_start\" (func $start (param i32 i32 i32) (result i32)))
         (import \"tidegate_v1\" \"span_end\" (func $end (param i32) (result i32)))
         (import \"tidegate_v1\" \"span_attribute_int\" (func $int (param i32 i32 i32 i64) (result i32)))
         (import \"tidegate_v1\" \"span_event\" (func $event (param i32 i32 i32) (result i32)))
         (import \"tidegate_v1\" \"span_status\" (func $status (param i32 i32 i32 i32) (result i32)))
         (memory (export \"memory\") 1) (data (i32.const 0) \"lookup.app.rows\")
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (local $outer i32) (local $inner i32)
            (local.set $outer (call $start (i32.const 0) (i32.const 0) (i32.const 6)))
            (local.set $inner (call $start (local.get $outer) (i32.const 7) (i32.const 3)))
            (drop (call $int (local.get $inner) (i32.const 7) (i32.const 8) (i64.const 42)))
            (drop (call $event (local.get $inner) (i32.const 11) (i32.const 4)))
            (drop (call $status (local.get $inner) (i32.const 2) (i32.const 0) (i32.const 6)))
            (drop (call $end (local.get $inner)))
            (drop (call $end (local.get $outer)))
            (drop (call $int (i32.const 0) (i32.const 7) (i32.const 8) (i64.const 7)))
            (i32.const 0))",
    );
    let proxy = with_plugins(&origin, "deep", "  deep: { file: deep.wasm }\n")
        .file("deep.wasm", module)
        .config(format!(
            "telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}",
            collector.endpoint()
        ))
        .start();
    get(proxy.address(), "/x").await;
    eventually("four spans", || collector.spans().len() == 4);
    let spans = collector.spans();
    let server = spans.iter().find(|span| span.kind == 2).unwrap();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{spans:#?}"));
    let (outer, inner) = (named("lookup"), named("app"));
    assert_eq!((&outer.parent_id, &inner.parent_id), (&server.span_id, &outer.span_id));
    assert_eq!(
        (inner.attributes["app.rows"].as_str(), inner.events.as_slice(), inner.status),
        ("42", &["rows".to_owned()][..], 2)
    );
    assert_eq!(server.attributes["app.rows"], "7");
}

#[tokio::test]
async fn a_changed_module_or_configuration_is_loaded_anew() {
    let origin = origin().start();
    let answering = |status: u16| {
        with_headers(
            "x",
            &format!(
                "(func (export \"tidegate_request_head\") (param i32) (result i32)
                    (drop (call $reply (i32.const {status}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))) (i32.const 2))"
            ),
        )
    };
    let proxy = with_plugins(&origin, "p", "  p: { file: p.wasm }\n").file("p.wasm", answering(403)).start();
    assert_eq!(get(proxy.address(), "/x").await.status, 403);
    proxy.write("p.wasm", answering(418));
    assert_eq!(proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    assert_eq!(get(proxy.address(), "/x").await.status, 418);
    // A module that does not load does not take the place of one that does.
    proxy.write("p.wasm", "broken");
    proxy.ask_admin("POST", "/-/reload", "");
    assert!([418, 200].contains(&get(proxy.address(), "/x").await.status));
    assert_eq!(proxy.ask_admin("GET", "/healthz", "").status(), 200);
}

#[tokio::test]
async fn a_hook_that_is_not_exported_is_not_called() {
    let origin = origin().start();
    let module = wasm("(memory (export \"memory\") 1) (func (export \"tidegate_log\") (param i32))");
    let proxy = with_plugins(&origin, "quiet", "  quiet: { file: quiet.wasm }\n").file("quiet.wasm", module).start();
    for _ in 0..5 {
        assert_eq!(get(proxy.address(), "/x").await.status, 200);
    }
    let scrape = proxy.wait_for_metric("tidegate_plugin_calls_total", &[("plugin", "quiet"), ("hook", "log")], 5.0);
    assert_eq!(scrape.value("tidegate_plugin_calls_total", &[("plugin", "quiet"), ("hook", "request_head")]), 0.0);
}

#[tokio::test]
async fn twenty_plugins_without_a_hook_for_an_exchange_have_no_part_in_it() {
    let origin = origin().start();
    // An instance says when it starts; for an exchange none has to.
    let mut guest = Guest::new();
    let line = guest.bytes("an instance has started");
    let guest = guest
        .hook("configure", &format!("(drop (call $log_line (i32.const 2) {line})) (i32.const 0)"))
        .hook("tick", "unreachable")
        .hook("release", "unreachable");
    let names: Vec<String> = (0..20).map(|number| format!("idle{number}")).collect();
    let plugins: String = names
        .iter()
        .zip(["worker", "exchange"].iter().cycle())
        .map(|(name, isolation)| {
            format!("  {name}: {{ file: idle.wasm, on_failure: closed, isolation: {isolation} }}\n")
        })
        .collect();
    let proxy = with_plugins(&origin, &names.join(", "), &plugins).file("idle.wasm", guest.module()).start();
    let started = || proxy.stderr_text().matches("an instance has started").count();
    let before = started();
    assert!(before >= 20, "{before}");
    for mut client in [Connection::http1(proxy.address()).await, Connection::http2(proxy.address()).await] {
        let (feed, body) = Body::fed(2);
        assert!(feed.send("text").await);
        let trailers = [("x-checksum".parse().unwrap(), "abc".parse().unwrap())];
        assert!(feed.trailers(trailers.into_iter().collect()).await);
        drop(feed);
        let asked = request("POST", "/trailers").header("te", "trailers").header("trailer", "x-checksum");
        let answer = client.send(asked.body(body).unwrap()).await;
        assert_eq!((answer.status, answer.trailers.unwrap()["x-checksum"].as_bytes()), (200, &b"abc"[..]));
        assert_eq!(origin.last().trailers.unwrap()["x-checksum"], "abc");
        // A body that nobody changes keeps its length.
        assert_eq!(client.get("/bytes/100000").await.header("content-length"), "100000");
    }
    proxy.wait_for_log(4);
    let scrape = proxy.scrape();
    assert_eq!(scrape.value("tidegate_plugin_calls_total", &[]), 0.0);
    assert_eq!(scrape.value("tidegate_plugin_restarts_total", &[]), 0.0);
    assert_eq!(started(), before);
}

#[tokio::test]
async fn answers_of_our_own_pass_the_response_hooks_last_to_first() {
    let origin = origin().start();
    // Each adds its letter to the answer; `b` answers requests itself.
    let plugin = |letter: &str, request: &str| {
        with_headers(
            &format!("x-chain{letter}"),
            &format!(
                "(func (export \"tidegate_request_head\") (param i32) (result i32) {request})
                 (func (export \"tidegate_response_head\") (param i32) (result i32)
                    (call $add (i32.const 1) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 1)))"
            ),
        )
    };
    let reply =
        "(drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (i32.const 2)";
    let proxy =
        with_plugins(&origin, "a, b, c", "  a: { file: a.wasm }\n  b: { file: b.wasm }\n  c: { file: c.wasm }\n")
            .file("a.wasm", plugin("a", "(i32.const 0)"))
            .file("b.wasm", plugin("b", reply))
            .file("c.wasm", plugin("c", "unreachable"))
            .start();
    let answer = get(proxy.address(), "/x").await;
    assert_eq!((answer.status, origin.count()), (403, 0));
    let back: Vec<_> = answer.headers.get_all("x-chain").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(back, ["c", "b", "a"]);
}

#[tokio::test]
async fn a_response_hook_can_answer_in_the_place_of_an_upstream() {
    let origin = origin().start();
    let module = with_headers(
        "no",
        "(func (export \"tidegate_response_head\") (param i32) (result i32)
            (drop (call $reply (i32.const 451) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2)))
            (i32.const 2))",
    );
    let proxy = with_plugins(&origin, "deny", "  deny: { file: deny.wasm }\n").file("deny.wasm", module).start();
    let answer = get(proxy.address(), "/bytes/5000000").await;
    assert_eq!((answer.status, answer.text().as_str()), (451, "no"));
    let line = proxy.wait_for_log(1).remove(0);
    assert_eq!((&line["status"], &line["attempts"], &line["response_bytes"]), (&451.into(), &1.into(), &2.into()));
}

#[tokio::test]
async fn the_log_hook_runs_whatever_became_of_the_exchange() {
    let plugin = "  classify: { builtin: request-classifier, config: { label: kind, otherwise: other, rules: [] } }\n";
    let proxy = proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [classify], limits: [few] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", tidegate_tests::nowhere()))
        .config("limits: { few: { key: global, rate: 1/h, burst: 1 } }")
        .config(format!("plugins:\n{plugin}"))
        .start();
    assert_eq!((get(proxy.address(), "/").await.status, get(proxy.address(), "/").await.status), (502, 429));
    proxy.wait_for_metric("tidegate_plugin_calls_total", &[("plugin", "classify"), ("hook", "log")], 2.0);
    proxy.wait_for_metric("requests_by_kind_total", &[("plugin", "classify"), ("kind", "other")], 2.0);
}

#[tokio::test]
async fn what_an_instance_keeps_for_an_exchange_is_let_go_with_it() {
    let origin = origin().start();
    // Every exchange has a number; it is given again when the exchange is over.
    let module = wasm(
        "(memory (export \"memory\") 1)
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (if (i32.gt_u (local.get 0) (i32.const 1)) (then unreachable)) (i32.const 0))",
    );
    let proxy = with_plugins(&origin, "few", "  few: { file: few.wasm, on_failure: closed }\n")
        .file("few.wasm", module)
        .start();
    let mut client = Connection::http1(proxy.address()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/x").await.status, 200);
    }
}

#[tokio::test]
async fn a_plugin_is_called_by_the_clock_without_traffic() {
    let origin = origin().start();
    let module = wasm(
        "(import \"tidegate_v1\" \"tick_every\" (func $tick_every (param i64) (result i32)))
         (memory (export \"memory\") 1)
         (func (export \"tidegate_configure\") (result i32) (call $tick_every (i64.const 100)))
         (func (export \"tidegate_tick\") (param i32) (result i32) (i32.const 0))",
    );
    let proxy = with_plugins(&origin, "clock", "  clock: { file: clock.wasm }\n").file("clock.wasm", module).start();
    let ticks = [("plugin", "clock"), ("hook", "tick"), ("outcome", "ok")];
    let count = || proxy.scrape().value("tidegate_plugin_calls_total", &ticks);
    eventually("ticks of both workers", || count() >= 4.0);
    assert_eq!(origin.count(), 0);
}
