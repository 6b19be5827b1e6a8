//! Guests that lie to the host: pointers beyond their memory, lengths beyond their data, bytes that are no text.
//! It knows every host function by the contract suite's list.

use std::fmt::Write as _;

use tidegate_tests::{get, origin, proxy, wasm};

use super::bystander::Bystander;
use super::fixture;
use super::scene::{Scene, TRAP};
use crate::contract::EFFECTS;

/// Pointers and lengths that no memory of one page has.
const RANGES: [(i32, i32); 5] = [(-1, 1), (0, -1), (65_536, 1), (65_530, 7), (i32::MAX, i32::MAX)];

/// A module whose request head hook calls a host function with a range that is not there.
fn lying(name: &str, shape: &str, (pointer, length): (i32, i32)) -> Vec<u8> {
    let (mut parameters, mut arguments) = (String::new(), String::new());
    for letter in shape.chars() {
        let (parameter, argument) = match letter {
            'i' => ("i32 ", "(i32.const 0) ".to_owned()),
            'l' => ("i64 ", "(i64.const 1) ".to_owned()),
            'd' => ("f64 ", "(f64.const 1) ".to_owned()),
            'b' | 'o' => ("i32 i32 ", format!("(i32.const {pointer}) (i32.const {length}) ")),
            _ => continue,
        };
        parameters += parameter;
        arguments += &argument;
    }
    let (result, call) = match shape.chars().last() {
        Some('-') => ("", format!("(call $f {arguments})")),
        Some('L') => ("(result i64)", format!("(drop (call $f {arguments}))")),
        _ => ("(result i32)", format!("(drop (call $f {arguments}))")),
    };
    wasm(&format!(
        "(import \"tidegate_v1\" \"{name}\" (func $f (param {parameters}) {result})) (memory (export \"memory\") 1)
         (func (export \"tidegate_request_head\") (param i32) (result i32) {call} (i32.const 0))"
    ))
}

#[tokio::test]
async fn a_pointer_beyond_the_memory_traps_in_the_guest_alone_whatever_is_called() {
    let origin = origin().start();
    let functions: Vec<_> = EFFECTS
        .iter()
        .filter(|(name, shape)| !name.ends_with("_bytes") && shape.contains(['b', 'o']))
        .flat_map(|function| RANGES.map(|range| (*function, range)))
        .collect();
    let (mut builder, mut routes, mut plugins) = (proxy(), String::new(), String::new());
    for (number, ((name, shape), range)) in functions.iter().enumerate() {
        builder = builder.file(&format!("p{number}.wasm"), lying(name, shape, *range));
        let _ = write!(
            routes,
            "\n  - {{ match: {{ path: /p{number} }}, name: r{number}, upstream: app, plugins: [p{number}] }}"
        );
        let _ = write!(plugins, "\n  p{number}: {{ file: p{number}.wasm, on_failure: closed }}");
    }
    let proxy = builder
        .config(format!("workers: 1\nroutes:{routes}\n  - {{ name: good, upstream: app }}\nplugins:{plugins}"))
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    let bystander = Bystander::start(proxy.address());
    let mut wrong = Vec::new();
    for (number, ((name, _), range)) in functions.iter().enumerate() {
        let answer = get(proxy.address(), &format!("/p{number}")).await;
        // A length of -1 says in `store_swap` that there is nothing.
        if answer.reason() != "plugin_trap" && !(*name == "store_swap" && *range == (0, -1)) {
            wrong.push(format!("{name}{range:?}: {} {}", answer.status, answer.reason()));
        }
    }
    bystander.end();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn bad_pointers_are_a_fault_like_others() {
    let scene = Scene::new(lying("log_field_text", "bb", (65_530, 100)), "");
    scene.falls("bad pointers", TRAP).await;
    scene.end();
}

#[tokio::test]
async fn lengths_that_lie_are_invalid_and_cost_no_memory() {
    let scene = Scene::new(fixture("lying_lengths"), "");
    let before = tidegate_tests::resident_bytes(scene.proxy.id());
    scene.state(1.0);
    for _ in 0..10 {
        let answer = scene.closed().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(scene.dropped("closed", "reply", "invalid") >= 10.0);
    assert!(scene.dropped("closed", "call_out", "invalid") >= 10.0);
    assert!(tidegate_tests::resident_bytes(scene.proxy.id()) < before + (16 << 20));
    scene.end();
}

#[tokio::test]
async fn bytes_that_are_no_text_break_no_output() {
    let scene = Scene::new(fixture("bad_utf8"), "");
    let answer = scene.closed().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A header's value is bytes, and passes as it is.
    let seen = scene.origin.seen();
    assert!(
        seen.iter()
            .any(|seen| seen.headers.get("x-bytes").is_some_and(|value| value.as_bytes() == b"\xff\xfe\xc0\xaf"))
    );
    // The log is UTF-8 and JSON whatever stood in a text. (Reading it is what shows that.)
    let line = scene.line("closed");
    assert!(line["x-bytes"].as_str().unwrap().contains('\u{fffd}'), "{line:#}");
    assert!(
        scene.lines("closed").iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains('\u{fffd}')))
    );
    for effect in ["log_field", "span", "attribute", "header", "correlation"] {
        assert!(scene.dropped("closed", effect, "invalid") >= 1.0);
    }
    scene.end();
}
