//! What one generation of a plugin tells the next.

use super::*;

/// Reads in `configure` what was handed over, tells its length and first byte, and hands over `handed` in turn.
fn generations(hand_over: &str) -> String {
    format!(
        r#"(global $length (mut i32) (i32.const 0))
           (global $first (mut i32) (i32.const 0))
           (func (export "tidegate_configure") (result i32)
              (global.set $length (call $state_read (i32.const 8192) (i32.const 16)))
              (global.set $first (i32.load8_u (i32.const 8192)))
              (i32.const 0))
           (func (export "tidegate_hand_over") (result i32) {hand_over})
           (func (export "tidegate_response_head") (param i32) (result i32) unreachable)
           {}"#,
        on_request(
            r#"(call $say (i32.const 0) (global.get $length))
               (call $say (i32.const 1) (global.get $first))
               (call $say (i32.const 2) (call $state_read (i32.const 8192) (i32.const 16)))
               (call $say (i32.const 3) (call $state_write @"late"))
               (global.set $first (i32.const 120))"#
        )
    )
}

// === impl Guest ===

impl Guest {
    /// The next generation of the same plugin on the same worker.
    fn next(&self) -> Self {
        let instance = Instance::new(&self.loaded, &self.shard, directory(), Some(&self.instance));
        let (registry, shard) = (Registry::new(), self.shard.clone());
        Self { registry, shard, loaded: self.loaded.clone(), instance }
    }
}

#[test]
fn the_next_generation_reads_what_this_one_wrote() {
    let first = guest(&generations(
        r#"(drop (call $state_write @"dropped"))
           (i32.store8 (i32.const 9000) (i32.add (i32.const 1) (global.get $first)))
           (drop (call $state_write (i32.const 9000) (i32.const 3)))
           (i32.const 0)"#,
    ));
    assert_eq!(first.said(), [-1, 0, -4, -4], "there was none before the first, and no other hook hands over");
    let second = first.next();
    assert_eq!(second.said(), [3, i64::from(b'y'), -4, -4], "what it knew when it was asked");
    assert_eq!(first.said()[1], i64::from(b'x'), "the old one goes on with what it has");
    let third = second.next();
    assert_eq!(third.said()[..2], [3, i64::from(b'y')]);
    // A fresh instance after a fault starts from the same.
    third.call(Hook::ResponseHead, answered(200));
    assert_eq!(third.said()[..2], [3, i64::from(b'y')]);
    assert_eq!(first.calls("hand_over", "ok"), 2.0);
}

#[test]
fn one_that_cannot_hand_over_leaves_nothing() {
    for (hand_over, outcome) in [
        ("(drop (call $state_write @\"half\")) unreachable", "trap"),
        ("(drop (call $state_write @\"half\")) (i32.const 3)", "failed"),
        ("(drop (call $sleep (i64.const 1))) (i32.const 1)", "trap"),
        ("(i32.const 0)", "ok"),
    ] {
        let first = guest(&generations(hand_over));
        assert_eq!(first.next().said()[0], -1, "{hand_over}");
        assert_eq!(first.calls("hand_over", outcome), 1.0, "{hand_over}");
    }
    let lost = guest(&generations("(drop (call $state_write @\"state\")) (i32.const 0)"));
    lost.call(Hook::ResponseHead, answered(200));
    assert_eq!(lost.next().said()[0], -1, "an instance that is gone knows nothing");
    assert_eq!(guest(&on_request("")).next().said(), [] as [i64; 0], "without the hook there is nothing to ask");
}

#[test]
fn what_is_handed_over_is_bounded() {
    let first = guest_with(
        &generations(
            "(drop (memory.grow (i32.const 30)))
             (i32.store8 (i32.const 8000) (i32.const 65))
             (if (i32.ne (call $state_write (i32.const 8000) (i32.const 1048577)) (i32.const -2)) (then unreachable))
             (call $state_write (i32.const 8000) (i32.const 1048576))",
        ),
        |plugin| plugin.budget.memory = 4 << 20,
    );
    assert_eq!(first.next().said()[..2], [1_048_576, 65]);
    assert_eq!(first.dropped("state", "budget"), 1.0);
}

#[test]
fn isolated_instances_read_and_hand_over_nothing() {
    let body = generations("(drop (call $state_write @\"state\")) (i32.const 0)");
    let shared = guest(&body);
    let isolated = guest_with(&body, |plugin| plugin.isolation = Isolation::Exchange);
    let instance = Instance::new(&isolated.loaded, &isolated.shard, directory(), Some(&shared.instance));
    let isolated = Guest { instance, ..isolated };
    assert_eq!([isolated.said()[0], isolated.said()[0]], [5, 5], "each of them reads");
    assert_eq!(isolated.next().said()[0], -1);
}
