//! Guests that lie about lengths: a range that is not theirs traps, an encoding that does not add up is refused, and nothing of the
//! host's is read or written.

use super::super::contract::Fault;
use super::*;

#[test]
fn a_range_beyond_the_memory_traps_in_every_function_that_takes_one() {
    // Beyond the end, around the end of 32 bits, and one byte too long. The memory has 131,072 bytes.
    for (ptr, len) in [(131_073, 0), (-1, 2), (131_071, 2), (0, -1), (-2_147_483_648, 4)] {
        let lie = format!("(i32.const {ptr}) (i32.const {len})");
        for function in page::functions() {
            let pairs = function.ranges();
            for lying in 0..pairs {
                // A value that must be absent has this length.
                if function.name == "store_swap" && lying == 1 && len == -1 {
                    continue;
                }
                let hook = match function.name {
                    "body_read" | "body_replace" | "body_append" => "tidegate_request_body",
                    _ => "tidegate_request_head",
                };
                let call = function.call(lying, &lie);
                let told = match function.result {
                    Some("i64") => {
                        format!("(call $say (i32.const 0) (i32.wrap_i64 (i64.shr_s {call} (i64.const 32))))")
                    }
                    Some(_) => format!("(call $say (i32.const 0) {call})"),
                    None => call.clone(),
                };
                let body = format!("(func (export \"{hook}\") (param i32) (result i32) {told} (i32.const 0))");
                let guest = guest(&body);
                let slot = guest.instance.open();
                let hook = if hook == "tidegate_request_body" { Hook::RequestBody } else { Hook::RequestHead };
                let piece = super::super::contract::Piece { may_change: true, ..Default::default() };
                let (scope, _, outcome) = guest.instance.call_with(hook, slot, Some(scope()), Matter::Piece(piece));
                match outcome {
                    Outcome::Refuse(Fault::Trap(what)) => assert!(what.contains("bad pointer"), "{call}: {what}"),
                    // What is refused before the range is looked at touches no memory either.
                    Outcome::Continue => {
                        assert!(said(&scope.unwrap()).first().is_some_and(|&said| said < 0), "{call}: went on")
                    }
                    other => panic!("{call}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn lengths_inside_of_an_encoding_are_only_claims() {
    for call in [
        r#"(call $define_label_set @"\ff\ff\ff\ffn\00\00\00\00")"#,
        r#"(call $define_label_set @"\01\00\00\00n\ff\ff\ff\ff")"#,
        r#"(call $define_label_set @"\01\00\00\00n\10\27\00\00")"#,
        r#"(call $define_metric @"\00\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\ff\ff\ff\ff")"#,
        r#"(call $define_metric @"\02\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\00\00\00\00\ff\ff\ff\ff")"#,
    ] {
        let guest = guest(&format!(
            r#"(func (export "tidegate_configure") (result i32)
                  (if (i32.ne {call} (i32.const -3)) (then unreachable)) (i32.const 0))
               {}"#,
            on_request("(call $say (i32.const 0) (i32.const 1))")
        ));
        assert_eq!(guest.said(), [1], "{call}");
    }
    for call in [
        r#"(call $reply (i32.const 200) @"\ff\ff\ff\7fa\01\00\00\00b" @"")"#,
        r#"(call $reply (i32.const 200) @"\01\00\00\00a\02\00\00\00b" @"")"#,
        r#"(call $reply (i32.const 200) @"\01\00" @"")"#,
        r#"(call $call_out @"\04\00\00\00auth\ff\ff\ff\ffGET")"#,
    ] {
        let guest = guest(&on_request(&format!("(call $say (i32.const 0) {call})")));
        assert_eq!(guest.said(), [-3], "{call}");
    }
}

#[test]
fn all_tables_of_a_guest_have_one_budget() {
    // 256 KiB are 32,768 entries; each table alone would fit.
    let guest = guest(&format!(
        "(table $a 0 funcref) (table $b 10000 funcref) {}",
        on_request(
            "(call $say (i32.const 0) (table.grow $a (ref.null func) (i32.const 20000)))
             (call $say (i32.const 1) (table.grow $b (ref.null func) (i32.const 10000)))
             (call $say (i32.const 2) (table.grow $b (ref.null func) (i32.const 2000)))
             (call $say (i32.const 3) (table.grow $a (ref.null func) (i32.const 1000)))"
        )
    ));
    assert_eq!(guest.said(), [0, -1, 10_000, -1]);
}
