//! Plugins to measure with, as WebAssembly text, so that the figures are the host's.
//! They know the ABI's names, and nothing of the proxy.

use tidegate_tests::wasm;

/// Three hooks, and in them what plugins do: a header is read and one is added on each way, a counter and a histogram are updated.
pub fn three_hooks() -> Vec<u8> {
    wasm(
        r#"(import "tidegate_v1" "define_metric" (func $metric (param i32 i32) (result i32)))
        (import "tidegate_v1" "metric_add" (func $add (param i32 i32 f64) (result i32)))
        (import "tidegate_v1" "metric_record" (func $record (param i32 i32 f64) (result i32)))
        (import "tidegate_v1" "header_read" (func $read (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "tidegate_v1" "header_set" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "tidegate_configure") (result i32)
            (drop (call $metric (i32.const 64) (i32.const 28)))
            (drop (call $metric (i32.const 128) (i32.const 37)))
            (i32.const 0))
        (func (export "tidegate_request_head") (param i32) (result i32)
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 1024) (i32.const 256)))
            (drop (call $set (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 24) (i32.const 3)))
            (drop (call $add (i32.const 0) (i32.const 0) (f64.const 1)))
            (i32.const 0))
        (func (export "tidegate_response_head") (param i32) (result i32)
            (drop (call $set (i32.const 1) (i32.const 16) (i32.const 7) (i32.const 24) (i32.const 3)))
            (drop (call $record (i32.const 1) (i32.const 0) (f64.const 0.5)))
            (i32.const 0))
        (func (export "tidegate_log") (param i32)
            (drop (call $add (i32.const 0) (i32.const 0) (f64.const 1))))
        (data (i32.const 0) "host")
        (data (i32.const 16) "x-bench")
        (data (i32.const 24) "yes")
        (data (i32.const 64) "\00\00\00\00\04\00\00\00hits\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
        (data (i32.const 128) "\02\00\00\00\04\00\00\00took\01\00\00\00s\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\f0\3f")"#,
    )
}

/// No hook that an exchange has; it is called by the clock, if at all.
pub fn no_hook() -> Vec<u8> {
    wasm(r#"(memory (export "memory") 1) (func (export "tidegate_tick") (param i32) (result i32) (i32.const 0))"#)
}
