//! What a call of a plugin's hook costs, in nanoseconds, with everything around it that a request pays: `cargo bench -p tidegate --bench hooks`.
//! It fails where that is more than is promised.
//! Guests are hand-written, so that the figures are the host's; it knows no SDK.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement stops when something is wrong, and prints")]

use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tidegate::plugin::config::{Allow, Budget, Isolation, OnFailure, Plugin, Source};
use tidegate::plugin::contract::Scope;
use tidegate::plugin::{Engine, Instance, Loaded};
use tidegate::telemetry::metrics::Registry;
use tidegate::telemetry::record::{Arrival, Record, RequestHead};
use tidegate::telemetry::scope::{ListenerScope, WorkerScope};
use tidegate_abi::Hook;

const GUEST: &str = r#"(module
    (import "tidegate_v1" "define_label_set" (func $label_set (param i32 i32) (result i32)))
    (import "tidegate_v1" "define_metric" (func $metric (param i32 i32) (result i32)))
    (import "tidegate_v1" "metric_add" (func $add (param i32 i32 f64) (result i32)))
    (import "tidegate_v1" "header_read" (func $header (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "tidegate_v1" "text_read" (func $text (param i32 i32 i32) (result i32)))
    (import "tidegate_v1" "log_field_text" (func $field (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "tidegate_abi_version") (result i32) (i32.const 1))
    (func (export "tidegate_configure") (result i32)
        (drop (call $label_set (i32.const 64) (i32.const 32)))
        (drop (call $metric (i32.const 128) (i32.const 32)))
        (i32.const 0))
    ;; An empty hook.
    (func (export "tidegate_log") (param i32))
    ;; A header and a counter.
    (func (export "tidegate_request_head") (param i32) (result i32)
        (drop (call $header (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 1024) (i32.const 256)))
        (drop (call $add (i32.const 0) (i32.const 0) (f64.const 1)))
        (i32.const 0))
    ;; A header, a log field of its value, the path, and a counter.
    (func (export "tidegate_response_head") (param i32) (result i32)
        (local $length i32)
        (local.set $length
            (call $header (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 1024) (i32.const 256)))
        (drop (call $field (i32.const 2) (i32.const 6) (i32.const 1024) (local.get $length)))
        (drop (call $text (i32.const 3) (i32.const 2048) (i32.const 256)))
        (drop (call $add (i32.const 0) (i32.const 1) (f64.const 1)))
        (i32.const 0))
    (data (i32.const 0) "x-tenant")
    (data (i32.const 64) "\06\00\00\00tenant\02\00\00\00\04\00\00\00acme\02\00\00\00gx")
    (data (i32.const 128) "\00\00\00\00\04\00\00\00hits\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00"))"#;

/// What is promised of a call, where something is.
const PROMISES: [(&str, f64); 2] = [("empty hook", 60.0), ("header, log field, path, counter", 350.0)];

fn main() -> ExitCode {
    let engine = Engine::new().unwrap();
    let bytes: &'static [u8] = wat::parse_str(GUEST).unwrap().leak();
    BYTES.set(bytes).unwrap();
    let plugin = Plugin {
        name: "bench".into(),
        source: Source::Builtin("bench".into()),
        config: serde_json::Value::Null,
        on_failure: OnFailure::Closed,
        required: true,
        isolation: Isolation::Worker,
        allow: Allow::ALL,
        budget: Budget {
            memory: 1 << 20,
            deadline: Duration::from_secs(1),
            series: 100,
            log_fields: 32,
            spans: 16,
            ..Budget::default()
        },
    };
    let registry = Registry::new();
    let started = Instant::now();
    let loaded = Loaded::load(&engine, &plugin, &registry, builtin).unwrap();
    println!("load (compile, try out, define)      {:>9.1} us", started.elapsed().as_secs_f64() * 1e6);

    let shard = registry.shard();
    let instance = Instance::new(&loaded, &shard, Rc::default(), None);
    let slot = instance.open();
    time("an instance: start and configure", 200, || {
        drop(black_box(Instance::new(&loaded, &shard, Rc::default(), None)))
    });
    let mut kept = true;
    for (name, hook) in [
        ("empty hook", Hook::Log),
        ("header, counter", Hook::RequestHead),
        ("header, log field, path, counter", Hook::ResponseHead),
    ] {
        let mut scope = Some(scope());
        kept &= time(name, 2_000_000, || {
            let (mut back, outcome) = instance.call(hook, slot, scope.take().unwrap());
            black_box(&outcome);
            // A field that is there is replaced, which is not what a request does.
            back.fields.clear();
            scope = Some(back);
        });
    }
    time("three hooks, a slot taken and given back", 500_000, {
        let mut scope = Some(scope());
        move || {
            let slot = instance.open();
            let mut given = scope.take().unwrap();
            for hook in [Hook::RequestHead, Hook::ResponseHead, Hook::Log] {
                given = instance.call(hook, slot, given).0;
            }
            instance.release(slot);
            given.fields.clear();
            scope = Some(given);
        }
    });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

static BYTES: std::sync::OnceLock<&'static [u8]> = std::sync::OnceLock::new();

fn builtin(_: &str) -> Option<&'static [u8]> {
    BYTES.get().copied()
}

/// The best of five rounds: what the machine's other work adds is not the host's. Whether it is what is promised.
fn time(name: &str, times: u32, mut call: impl FnMut()) -> bool {
    let round = |call: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..times).for_each(|_| call());
        started.elapsed().as_secs_f64() / f64::from(times) * 1e9
    };
    let best = (0..5).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min);
    let promise = PROMISES.iter().find(|(promised, _)| *promised == name).map(|(_, most)| *most);
    let verdict = match promise {
        Some(most) if best <= most => format!(", of {most} at most"),
        Some(most) => format!(", MISSED: {most} at most"),
        None => String::new(),
    };
    println!("{name:<40}{best:>7.1} ns{verdict}");
    promise.is_none_or(|most| best <= most)
}

fn scope() -> Scope {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "api.example.com"), ("accept", "*/*"), ("x-tenant", "acme"), ("user-agent", "bench")]
    {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let request = RequestHead {
        uri: "/users/42".parse().unwrap(),
        version: Version::HTTP_11,
        host: "api.example.com".into(),
        headers,
        ..RequestHead::default()
    };
    let worker = Rc::new(WorkerScope::silent(&Registry::new()).unwrap());
    let listener = ListenerScope::new(&worker, &Arc::from("web"));
    Record::begin(listener, Arrival { peer: "10.0.0.1:4711".parse().unwrap(), request })
}
