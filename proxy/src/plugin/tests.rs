//! Guests in WAT against the host: what a plugin author and an operator would notice.
//! The imports of every guest are read from `docs/abi.md`, so each test also holds that page to the host.

mod bodies;
mod capabilities;
mod effects;
mod faults;
mod hand_over;
mod headers;
mod isolation;
mod keeping;
mod lies;
mod load;
mod outside;
mod page;
mod reading;
mod shipped;
mod waiting;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, Version};
use tidegate_abi::Hook;

use super::config::{Allow, Budget, Isolation, OnFailure, Plugin, Source};
use super::contract::{Directory, Matter, Outcome, Scope, Slot};
use super::{Engine, Instance, LoadError, Loaded};
use crate::telemetry::metrics::{Registry, Shard, Snapshot};
use crate::telemetry::record::{Arrival, CopiedHeaders, Record, RequestHead, ResponseHead, Value};
use crate::telemetry::scope::{ListenerScope, RouteScope, WorkerScope};
use crate::telemetry::trace_context::SpanId;

const PAGE: &str = include_str!("../../../docs/abi.md");

/// A guest on one worker.
struct Guest {
    registry: Registry,
    shard: Shard,
    loaded: Arc<Loaded>,
    instance: Instance,
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

fn plugin(source: Source) -> Plugin {
    Plugin {
        name: "guest".into(),
        source,
        config: serde_json::json!({ "tenants": ["acme"] }),
        on_failure: OnFailure::Closed,
        required: false,
        isolation: Isolation::Worker,
        allow: Allow::ALL,
        budget: Budget {
            memory: 256 * 1024,
            // Long enough that a busy machine does not end a good call; the endless ones say less.
            deadline: Duration::from_secs(5),
            series: 4,
            log_fields: 8,
            spans: 3,
            ..Budget::default()
        },
    }
}

/// Two routes and two upstreams.
fn directory() -> Rc<Directory> {
    let names = |names: [&str; 2]| names.into_iter().zip(0..).map(|(name, index)| (name.into(), index)).collect();
    Rc::new(Directory { routes: names(["users", "other"]), upstreams: names(["app", "auth"]) })
}

/// Tells the test numbers where there is no exchange, as the gauge `told` by `n`; see [`Guest::told`].
const TELLING: &str = r#"
    (global $configured (mut i32) (i32.const 0))
    (func (export "tidegate_configure") (result i32)
        (drop (call $define_label_set
            @"\01\00\00\00n\08\00\00\00\01\00\00\000\01\00\00\001\01\00\00\002\01\00\00\003\01\00\00\004\01\00\00\005\01\00\00\006\01\00\00\007"))
        (drop (call $define_metric
            @"\01\00\00\00\04\00\00\00told\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00"))
        (global.set $configured (i32.add (global.get $configured) (i32.const 1)))
        (i32.const 0))
    (func $tell (param $n i32) (param $value i32)
        (drop (call $metric_set (i32.const 0) (local.get $n) (f64.convert_i32_s (local.get $value)))))
    (func $add (param $n i32) (param $value i32)
        (drop (call $metric_add (i32.const 0) (local.get $n) (f64.convert_i32_s (local.get $value)))))"#;

fn no_builtin(_: &str) -> Option<&'static [u8]> {
    None
}

/// Loads bytes, as a file.
fn load_bytes(registry: &Registry, bytes: &[u8], change: impl FnOnce(&mut Plugin)) -> Result<Arc<Loaded>, LoadError> {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("tidegate-plugin-{}-{}.wasm", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let path: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut plugin = plugin(Source::File(path.clone()));
    change(&mut plugin);
    let loaded = Loaded::load(engine(), &plugin, registry, no_builtin);
    std::fs::remove_file(path).unwrap();
    loaded
}

/// Loads a module that is complete in itself.
fn load_raw(wat: &str) -> Result<Arc<Loaded>, LoadError> {
    load_bytes(&Registry::new(), &wat::parse_str(wat).unwrap(), |_| {})
}

/// A guest with this body; see [`module`].
fn guest(body: &str) -> Guest {
    guest_with(body, |_| {})
}

fn guest_with(body: &str, change: impl FnOnce(&mut Plugin)) -> Guest {
    let registry = Registry::new();
    let bytes = wat::parse_str(module(body)).unwrap();
    let loaded = load_bytes(&registry, &bytes, change).unwrap();
    let shard = registry.shard();
    Guest { instance: Instance::new(&loaded, &shard, directory(), None), registry, shard, loaded }
}

/// Every host function by its name, a memory, the version, `$say`, and `body`. `@"text"` in the body becomes pointer and length of
/// that text, which is put into the memory.
fn module(body: &str) -> String {
    let (mut code, mut data, mut at) = (String::new(), String::new(), 1024);
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("@\"") {
        let (text, after) = after.split_once('"').unwrap();
        // `\hh` is one byte.
        let length = text.len() - 2 * text.matches('\\').count();
        code += &format!("{before}(i32.const {at}) (i32.const {length})");
        data += &format!("(data (i32.const {at}) \"{text}\")\n");
        at += length;
        rest = after;
    }
    code += rest;
    // Imports come first in a module.
    let (more, code): (Vec<_>, Vec<_>) = code.lines().partition(|line| line.trim_start().starts_with("(import "));
    let (more, code) = (more.join("\n"), code.join("\n"));
    let imports: String = page::functions()
        .iter()
        .map(|function| {
            let types = function.parameters.join(" ");
            let result = function.result.map(|result| format!("(result {result})")).unwrap_or_default();
            let name = function.name;
            format!("(import \"tidegate_v1\" \"{name}\" (func ${name} (param {types}) {result}))\n")
        })
        .collect();
    format!(
        r#"(module
        {imports}
        {more}
        (memory (export "memory") 2)
        (func (export "tidegate_abi_version") (result i32) (i32.const 1))
        ;; Tells the test a number: the log field `r<n>`.
        (func $say (param $n i32) (param $value i32)
            (drop (call $log_field_int (i32.add (i32.const 1000) (i32.mul (local.get $n) (i32.const 2))) (i32.const 2)
                (i64.extend_i32_s (local.get $value)))))
        (data (i32.const 1000) "r0r1r2r3r4r5r6r7")
        {code}
        {data})"#
    )
}

/// A request hook around `body`, which goes on.
fn on_request(body: &str) -> String {
    format!("(func (export \"tidegate_request_head\") (param $slot i32) (result i32) {body} (i32.const 0))")
}

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &[u8])| (name.parse::<HeaderName>().unwrap(), value.to_vec().try_into().unwrap());
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn scope() -> Scope {
    let worker = Rc::new(WorkerScope::silent(&Registry::new()).unwrap());
    let request = RequestHead {
        uri: "/users/42?a=b".parse().unwrap(),
        version: Version::HTTP_11,
        host: "api.example.com".into(),
        headers: headers(&[("x-tenant", b"acme"), ("x-tenant", b"glo\xffbex"), ("accept", b"*/*")]),
        ..RequestHead::default()
    };
    let listener = ListenerScope::new(&worker, &"web".into());
    let mut record = Record::begin(listener, Arrival { peer: "10.0.0.1:4711".parse().unwrap(), request });
    record.enter(RouteScope::new(&worker, &"users".into(), "/users/{id}", "app"));
    record.started_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    record.trace.trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    record.trace.span = SpanId(0x00f0_67aa_0ba9_02b7);
    record.trace.sampled = true;
    record.correlation.id = "0198".into();
    record.trusted_peer = true;
    record.client = "203.0.113.9".parse().unwrap();
    record.request_bytes = 7;
    record
}

fn answered(status: u16) -> Scope {
    let mut scope = scope();
    scope.response = Some(ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_11,
        headers: headers(&[("content-type", b"text/plain")]),
    });
    scope
}

// === impl Guest ===

impl Guest {
    /// One exchange in a slot of its own.
    fn call(&self, hook: Hook, scope: Scope) -> (Scope, Outcome) {
        let slot = self.instance.open();
        let answer = self.instance.call(hook, slot, scope);
        self.instance.release(slot);
        answer
    }

    fn request(&self) -> (Scope, Outcome) {
        self.call(Hook::RequestHead, scope())
    }

    /// What the request hook told with `$say`, by number, up to the first that is missing.
    fn said(&self) -> Vec<i64> {
        let (scope, outcome) = self.request();
        assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
        said(&scope)
    }

    fn metrics(&self) -> Snapshot {
        self.registry.gather()
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> = [("plugin", &**self.loaded.name())].into_iter().chain(labels.iter().copied()).collect();
        self.metrics().value(name, &labels).map_or(0.0, |value| value.as_f64())
    }

    /// What a guest with [`TELLING`] told last.
    fn told(&self, n: u32) -> f64 {
        self.value("told", &[("n", &n.to_string())])
    }

    fn dropped(&self, effect: &str, reason: &str) -> f64 {
        self.value("tidegate.plugin.dropped", &[("effect", effect), ("reason", reason)])
    }

    fn calls(&self, hook: &str, outcome: &str) -> f64 {
        self.value("tidegate.plugin.calls", &[("hook", hook), ("outcome", outcome)])
    }
}

fn field<'a>(scope: &'a Scope, key: &str) -> Option<&'a Value> {
    scope.fields.iter().find(|field| &*field.key == key).map(|field| &field.value)
}

fn text<'a>(scope: &'a Scope, key: &str) -> &'a str {
    match field(scope, key) {
        Some(Value::Text(text)) => text,
        other => panic!("`{key}` is {other:?}"),
    }
}

fn said(scope: &Scope) -> Vec<i64> {
    let number = |n: i32| match field(scope, &format!("r{n}")) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    (0..8).map_while(number).collect()
}
