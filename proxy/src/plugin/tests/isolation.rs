//! An instance for each exchange: what they share, and that a fault in one costs no other.

use super::super::contract::{Answer, Ticket};
use super::*;

/// Counts in its own memory; traps in `response_head`; waits in `upstream_chosen`.
const COUNTING: &str = r#"
    (global $calls (mut i32) (i32.const 0))
    (func $count (call $say (i32.const 0) (global.get $calls)) (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
    (func (export "tidegate_request_head") (param i32) (result i32) (call $count) (i32.const 0))
    (func (export "tidegate_response_head") (param i32) (result i32) unreachable)
    (func (export "tidegate_upstream_chosen") (param i32) (result i32) (drop (call $sleep (i64.const 1))) (i32.const 1))
    (func (export "tidegate_resume") (param i32 i32) (result i32) (call $count) (i32.const 0))"#;

fn isolated(body: &str, change: impl FnOnce(&mut Plugin)) -> Guest {
    guest_with(body, |plugin| {
        plugin.isolation = Isolation::Exchange;
        change(plugin);
    })
}

#[test]
fn exchanges_share_no_memory_and_one_keeps_its_own() {
    let guest = isolated(COUNTING, |_| {});
    let (first, second) = (guest.instance.open(), guest.instance.open());
    let count = |slot| said(&guest.instance.call(Hook::RequestHead, slot, scope()).0)[0];
    assert_eq!([count(first), count(first), count(second), count(first), count(second)], [0, 1, 0, 2, 1]);
    guest.instance.release(first);
    assert_eq!(guest.instance.open(), first);
    assert_eq!(count(first), 0, "the slot is used again, its instance is not");
    assert_eq!(count(second), 2);
    let shared = super::guest(COUNTING);
    assert_eq!([shared.said(), shared.said()], [[0], [1]], "which is what the other isolation does");
}

#[test]
fn a_fault_in_one_touches_no_other() {
    let guest = isolated(COUNTING, |_| {});
    let (first, second) = (guest.instance.open(), guest.instance.open());
    guest.instance.call(Hook::RequestHead, second, scope());
    let (waiting, outcome) = guest.instance.call(Hook::UpstreamChosen, second, scope());
    assert!(matches!(outcome, Outcome::Pending), "{outcome:?}");
    let (_, outcome) = guest.instance.call(Hook::ResponseHead, first, answered(200));
    assert!(matches!(outcome, Outcome::Refuse(_)), "{outcome:?}");
    let (scope, _, outcome) = guest.instance.resume(second, Ticket(1), Answer::Woke, Some(waiting), Matter::Exchange);
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert_eq!(said(&scope.unwrap()), [1], "it goes on where it was");
    assert_eq!(
        said(&guest.instance.call(Hook::RequestHead, first, super::scope()).0),
        [0],
        "a fresh one for the first"
    );
    assert_eq!(guest.value("tidegate.plugin.restarts", &[]), 1.0);
}

#[test]
fn memory_is_counted_for_as_many_as_run() {
    let guest = isolated(COUNTING, |_| {});
    let memory = || guest.value("tidegate.plugin.memory", &[]);
    assert_eq!(memory(), 0.0);
    let (first, second) = (guest.instance.open(), guest.instance.open());
    assert_eq!(memory(), 0.0, "an instance starts with the first hook");
    guest.instance.call(Hook::RequestHead, first, scope());
    guest.instance.call(Hook::RequestHead, second, scope());
    assert_eq!(memory(), 4.0 * 65536.0);
    guest.instance.release(first);
    assert_eq!(memory(), 2.0 * 65536.0);
    guest.instance.call(Hook::ResponseHead, second, answered(200));
    assert_eq!(memory(), 0.0, "the fault took it");
    guest.instance.release(second);
    assert_eq!(memory(), 0.0);
}

#[test]
fn what_counts_for_the_worker_is_one_for_all() {
    let guest = isolated(
        &format!(
            r#"(func (export "tidegate_configure") (result i32)
                  (drop (call $define_metric @"\00\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00"))
                  (i32.const 0))
               {}"#,
            on_request(
                r#"(drop (call $metric_add (i32.const 0) (i32.const 0) (f64.const 1)))
                   (call $say (i32.const 0) (call $log_line (i32.const 3) @"a line"))"#
            )
        ),
        |plugin| plugin.budget.log_lines = 3,
    );
    let lines: Vec<_> = (0..20).map(|_| guest.said()[0]).collect();
    assert_eq!(guest.value("m", &[]), 20.0);
    assert!(guest.dropped("log_line", "budget") > 0.0, "{lines:?}");
    assert_eq!(guest.value("tidegate.plugin.series", &[]), 1.0);
}

#[test]
fn call_outs_of_all_exchanges_share_one_budget() {
    let encoded = r#"@"\04\00\00\00auth\03\00\00\00GET\01\00\00\00/\00\00\00\00\00\00\00\00\00\00\00\00""#;
    let guest = isolated(
        &format!(
            r#"(func (export "tidegate_request_head") (param i32) (result i32)
                  (call $say (i32.const 0) (call $call_out {encoded}))
                  (drop (call $sleep (i64.const 1)))
                  (i32.const 1))
               (func (export "tidegate_resume") (param i32 i32) (result i32) (i32.const 0))"#
        ),
        |plugin| plugin.budget.call_outs = 1,
    );
    let (first, second) = (guest.instance.open(), guest.instance.open());
    let start = |slot| said(&guest.instance.call(Hook::RequestHead, slot, scope()).0)[0];
    assert_eq!([start(first), start(second)], [1, -2]);
    guest.instance.release(first);
    assert!(start(second) > 0);
}

#[test]
fn every_instance_is_configured_ticked_apart_and_released() {
    let guest = isolated(
        &format!(
            "{TELLING}
             (func (export \"tidegate_tick\") (param i32) (result i32)
                (call $tell (i32.const 0) (global.get $configured)) (global.set $configured (i32.const 9)) (i32.const 0))
             (func (export \"tidegate_release\") (param i32) (call $add (i32.const 1) (i32.const 1)))"
        ),
        |plugin| plugin.budget.series = 10,
    );
    for _ in 0..3 {
        let slot = guest.instance.open();
        guest.instance.call_with(Hook::Tick, slot, None, Matter::default());
        guest.instance.release(slot);
    }
    assert_eq!(guest.told(0), 1.0, "each tick has an instance of its own");
    assert_eq!(guest.told(1), 3.0);
}

#[test]
fn what_keeps_trapping_is_shut_out_whichever_instance_it_was() {
    let guest = isolated(COUNTING, |_| {});
    for _ in 0..5 {
        guest.call(Hook::ResponseHead, answered(200));
    }
    assert!(guest.instance.is_resting());
    let (_, outcome) = guest.request();
    assert!(format!("{outcome:?}").contains("Unavailable"), "{outcome:?}");
}
