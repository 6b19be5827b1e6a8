//! How long a hostile plugin can hold a worker: its deadline and 10 ms, whatever it does in that time.
//! It knows no plugin's inside; it measures from outside, and measures the machine too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate_tests::{Body, Connection, Origin, Proxy, get, origin, proxy, request, wasm};

use super::bystander::Bystander;
use super::fixture;
use crate::contract::EFFECTS;

pub(super) const DEADLINE: Duration = Duration::from_millis(5);
/// What the deadline may be late by.
pub(super) const MARGIN: Duration = Duration::from_millis(10);
/// A machine that wakes its threads this soon does nothing else.
const QUIET: Duration = Duration::from_millis(2);

/// How late this machine wakes a thread that sleeps, at worst, while it is asked.
pub(super) struct Machine {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Machine {
    pub(super) fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            const NAP: Duration = Duration::from_millis(1);
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::SeqCst) {
                let begun = Instant::now();
                std::thread::sleep(NAP);
                worst = worst.max(begun.elapsed().saturating_sub(NAP));
            }
            worst
        });
        Self { stop, thread }
    }

    pub(super) fn worst(self) -> Duration {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// How long the threads that serve, and the one that counts the time, were ready and had no core to run on.
fn waited(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let counts = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let serves = name.starts_with("worker-") || name.starts_with("plugin-clock");
        counts.split(' ').nth(1)?.parse::<u64>().ok().filter(|_| serves)
    };
    Duration::from_nanos(tasks.filter_map(of_task).sum())
}

/// Calls each hostile plugin once, in the head of a request, and checks how long each call held the worker.
async fn held(plugins: &[(String, Vec<u8>)]) {
    let origin = origin().start();
    let (mut builder, mut routes, mut listed) = (proxy(), String::new(), String::new());
    for (number, (_, module)) in plugins.iter().enumerate() {
        builder = builder.file(&format!("p{number}.wasm"), module);
        routes +=
            &format!("\n  - {{ name: r{number}, match: {{ path: /p{number} }}, upstream: app, plugins: [p{number}] }}");
        listed +=
            &format!("\n  p{number}: {{ file: p{number}.wasm, budget: {{ deadline: {}ms }} }}", DEADLINE.as_millis());
    }
    let proxy = builder
        .config(format!("workers: 1\nroutes:{routes}\n  - {{ name: good, upstream: app }}\nplugins:{listed}"))
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    let bystander = Bystander::start(proxy.address());
    bystander.goes_on();
    let machine = Machine::watch();
    let mut waits = Vec::new();
    for number in 0..plugins.len() {
        let before = waited(proxy.id());
        assert_eq!(get(proxy.address(), &format!("/p{number}")).await.status, 200);
        waits.push(waited(proxy.id()).saturating_sub(before));
    }
    bystander.goes_on();
    let worst = machine.worst();
    bystander.end();

    let calls = [("hook", "request_head"), ("outcome", "deadline")];
    let metrics = proxy.wait_for_metric("tidegate_plugin_calls_total", &calls, plugins.len() as f64);
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (number, (name, _)) in plugins.iter().enumerate() {
        let plugin = format!("p{number}");
        let labels = [("plugin", plugin.as_str()), ("hook", "request_head")];
        // One call, so the sum is its time.
        assert_eq!(metrics.value("tidegate_plugin_hook_duration_seconds_count", &labels), 1.0, "{name}");
        let time = metrics.value("tidegate_plugin_hook_duration_seconds_sum", &labels);
        // Of that the machine kept the proxy's threads waiting for a core.
        times.entry(name).or_default().push(Duration::from_secs_f64(time).saturating_sub(waits[number]));
    }
    let most = DEADLINE + MARGIN;
    for (name, mut times) in times {
        times.sort_unstable();
        let said = format!("{name}: held for {times:?}, waits for a core aside; threads woke up to {worst:?} too late");
        // What a quarter of them took says what the proxy does, but for how late this machine wakes whoever counts the time.
        assert!(times[times.len() / 4] <= most + worst, "{said}");
        // Where it does nothing else, that holds for all of them.
        assert!(worst > QUIET || times[times.len() - 1] <= most + MARGIN, "{said}");
    }
}

fn many(name: &str) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), fixture(name)); 15]
}

#[tokio::test]
async fn an_endless_loop_holds_a_worker_for_its_deadline_and_no_longer() {
    held(&many("endless_loop")).await;
}

#[tokio::test]
async fn a_million_host_calls_hold_a_worker_for_their_deadline_and_no_longer() {
    held(&many("host_calls")).await;
}

/// Calls a host function for ever, with 8 MiB of text wherever it takes bytes.
fn as_much_as_there_is(name: &str, shape: &str) -> Vec<u8> {
    let (mut parameters, mut arguments) = (String::new(), String::new());
    for letter in shape.chars() {
        let (parameter, argument) = match letter {
            'i' => ("i32 ", "(i32.const 0) "),
            'l' => ("i64 ", "(i64.const 1) "),
            'd' => ("f64 ", "(f64.const 1) "),
            'b' | 'o' => ("i32 i32 ", "(i32.const 65536) (i32.const 8388608) "),
            _ => continue,
        };
        parameters += parameter;
        arguments += argument;
    }
    let (result, call) = match shape.chars().last() {
        Some('-') => ("", format!("(call $f {arguments})")),
        Some('L') => ("(result i64)", format!("(drop (call $f {arguments}))")),
        _ => ("(result i32)", format!("(drop (call $f {arguments}))")),
    };
    wasm(&format!(
        "(import \"tidegate_v1\" \"{name}\" (func $f (param {parameters}) {result})) (memory (export \"memory\") 130)
         (func (export \"tidegate_request_head\") (param i32) (result i32)
            (memory.fill (i32.const 65536) (i32.const 120) (i32.const 8388608))
            (loop $forever {call} (br $forever)) (i32.const 0))"
    ))
}

#[tokio::test]
async fn no_host_function_holds_a_worker_for_long_whatever_it_is_given() {
    let functions = EFFECTS.iter().filter(|(name, _)| !name.ends_with("_bytes"));
    let all = functions.map(|(name, shape)| ((*name).to_owned(), as_much_as_there_is(name, shape)));
    // Three of each, far from each other: the first call of each is timed, and each is called once.
    let all: Vec<_> = all.collect();
    let plugins = [&*all, &*all, &*all].concat();
    held(&plugins).await;
}

/// Spins for `$ms` milliseconds: less than any deadline.
const SPIN: &str = r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (func $now (result i64) (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 1024))) (i64.load (i32.const 1024)))
    (func $spin (param $ms i64) (local $end i64)
        (local.set $end (i64.add (call $now) (i64.mul (local.get $ms) (i64.const 1000000))))
        (loop $more (br_if $more (i64.lt_u (call $now) (local.get $end)))))"#;

/// A worker with this plugin on `/slow`, and a bystander.
fn beside(module: &[u8]) -> (Proxy, Bystander, Origin) {
    let origin = origin().start();
    let proxy = proxy()
        .file("p.wasm", module)
        .config("workers: 1\nplugins: { p: { file: p.wasm, on_failure: closed, budget: { deadline: 1s } } }")
        .config("routes: [{ name: slow, match: { path: /slow }, upstream: app, plugins: [p] }, { name: good, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    let bystander = Bystander::start(proxy.address());
    bystander.goes_on();
    (proxy, bystander, origin)
}

#[tokio::test]
async fn two_hundred_answers_at_once_are_no_single_hold() {
    let module = wasm(&format!(
        r#"(import "tidegate_v1" "sleep" (func $sleep (param i64) (result i32))) {SPIN}
           (memory (export "memory") 1) (global $left (mut i32) (i32.const 200))
           (func (export "tidegate_request_head") (param i32) (result i32) (local $n i32)
              (loop $more
                 (drop (call $sleep (i64.const 50)))
                 (local.set $n (i32.add (local.get $n) (i32.const 1)))
                 (br_if $more (i32.lt_u (local.get $n) (i32.const 200))))
              (i32.const 1))
           (func (export "tidegate_resume") (param i32 i32) (result i32)
              (call $spin (i64.const 3))
              (global.set $left (i32.sub (global.get $left) (i32.const 1)))
              (i32.ne (global.get $left) (i32.const 0)))"#
    ));
    let (proxy, bystander, _origin) = beside(&module);
    let before = bystander.answered();
    assert_eq!(get(proxy.address(), "/slow").await.status, 200);
    // They take 600 ms together; in one go, hardly anybody else would be answered.
    let meanwhile = bystander.answered() - before;
    assert!(meanwhile > 10, "{meanwhile} answers for the bystander meanwhile");
    bystander.end();
}

#[tokio::test]
async fn a_body_in_many_pieces_is_no_single_hold() {
    for change in ["", "(drop (call $body_replace (i32.const 0) (i32.const 0)))"] {
        let module = wasm(&format!(
            r#"(import "tidegate_v1" "body_mode" (func $body_mode (param i32 i32 i64 i32) (result i32)))
               (import "tidegate_v1" "body_replace" (func $body_replace (param i32 i32) (result i32))) {SPIN}
               (memory (export "memory") 1)
               (func (export "tidegate_configure") (result i32)
                  (call $body_mode (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 0)))
               (func (export "tidegate_request_body") (param i32) (result i32) (call $spin (i64.const 3)) {change} (i32.const 0))"#
        ));
        let (proxy, bystander, _origin) = beside(&module);
        let mut client = Connection::http2(proxy.address()).await;
        let (feed, body) = Body::fed(200);
        for _ in 0..200 {
            feed.send("x").await;
        }
        drop(feed);
        let before = bystander.answered();
        assert_eq!(client.send(request("POST", "/slow").body(body).unwrap()).await.status, 200);
        let meanwhile = bystander.answered() - before;
        assert!(meanwhile > 10, "{meanwhile} answers for the bystander meanwhile ({change})");
        bystander.end();
    }
}
