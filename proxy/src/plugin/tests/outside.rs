//! Hooks that are about no exchange: connections, events, ticks. What they can know, and what a fault in them costs.

use std::time::Instant;

use super::super::config::Capability;
use super::super::contract::{Answer, Event, Fault, Happened, Link, Operation, Ticket};
use super::*;

fn telling(body: &str) -> Guest {
    guest_with(&format!("{TELLING} {body}"), |plugin| plugin.budget.series = 10)
}

fn link() -> Matter {
    Matter::Connection(Arc::new(Link {
        listener: "web".into(),
        peer: "10.0.0.1:4711".parse().unwrap(),
        https: true,
        opened: Instant::now(),
        opened_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1234),
        exchanges: 7,
    }))
}

fn decision() -> Matter {
    let what = Happened::LimitDecision {
        limit: "per-tenant".into(),
        allowed: false,
        route: "users".into(),
        client: "203.0.113.9".parse().unwrap(),
    };
    Matter::Event(Event { at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1234), lost: 3, what })
}

fn transition() -> Matter {
    let what = Happened::BreakerTransition { upstream: "app".into(), state: "half_open" };
    Matter::Event(Event { at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1234), lost: 0, what })
}

/// Tells the length of the text with each number, and -4 for one that is not there.
fn texts(numbers: &[i32]) -> String {
    let tell = |(n, number): (usize, &i32)| {
        format!("(call $tell (i32.const {n}) (call $text_read (i32.const {number}) (i32.const 8192) (i32.const 64)))")
    };
    numbers.iter().enumerate().map(tell).collect()
}

// === impl Guest ===

impl Guest {
    fn outside(&self, hook: Hook, matter: Matter) -> Outcome {
        let slot = self.instance.open();
        let (scope, _, outcome) = self.instance.call_with(hook, slot, None, matter);
        assert!(scope.is_none());
        self.instance.release(slot);
        outcome
    }

    fn told_all(&self, count: u32) -> Vec<f64> {
        (0..count).map(|n| self.told(n)).collect()
    }
}

fn on(hook: Hook, body: &str) -> String {
    format!("(func (export \"{}\") (param i32) (result i32) {body} (i32.const 0))", hook.export())
}

#[test]
fn connections_are_known_by_where_they_come_from() {
    let body = texts(&[6, 12, 11, 1, 0])
        + r#"(call $tell (i32.const 5) (i32.wrap_i64 (call $number_read (i32.const 15))))
             (call $tell (i32.const 6) (i32.wrap_i64 (call $number_read (i32.const 6))))
             (call $tell (i32.const 7) (i64.ge_s (call $number_read (i32.const 3)) (i64.const 0)))"#;
    let guest = telling(&on(Hook::ConnectionClose, &body));
    assert!(matches!(guest.outside(Hook::ConnectionClose, link()), Outcome::Continue));
    let lengths = ["web", "10.0.0.1:4711", "10.0.0.1", "https"].map(|text| text.len() as f64);
    assert_eq!(guest.told_all(8), [&lengths[..], &[-4.0, 7.0, 1234.0, 1.0]].concat());
    assert_eq!(guest.calls("connection_close", "ok"), 1.0);
}

#[test]
fn events_tell_what_was_decided_and_how_many_were_lost() {
    let lost = r#"(call $tell (i32.const 5) (i32.wrap_i64 (call $number_read (i32.const 16))))
                  (call $tell (i32.const 6) (i32.wrap_i64 (call $number_read (i32.const 6))))"#;
    let guest = telling(&on(Hook::LimitDecision, &(texts(&[21, 22, 7, 11, 23]) + lost)));
    guest.outside(Hook::LimitDecision, decision());
    let lengths = ["per-tenant", "limited", "users", "203.0.113.9"].map(|text| text.len() as f64);
    assert_eq!(guest.told_all(7), [&lengths[..], &[-4.0, 3.0, 1234.0]].concat());
    let guest = telling(&on(Hook::BreakerTransition, &(texts(&[9, 23, 21]) + lost)));
    guest.outside(Hook::BreakerTransition, transition());
    assert_eq!(guest.told_all(7), [3.0, 9.0, -4.0, 0.0, 0.0, 0.0, 1234.0]);
}

#[test]
fn there_is_no_exchange_to_touch() {
    let guest = telling(&on(
        Hook::Tick,
        r#"(call $tell (i32.const 0) (call $header_read (i32.const 0) @"a" (i32.const 0) (i32.const 0) (i32.const 0)))
           (call $tell (i32.const 1) (call $log_field_int @"a" (i64.const 1)))
           (call $tell (i32.const 2) (call $span_start (i32.const 0) @"a"))
           (call $tell (i32.const 3) (call $reply (i32.const 200) @"" @""))
           (call $tell (i32.const 4) (call $header_read (i32.const 2) @"a" (i32.const 0) (i32.const 0) (i32.const 0)))
           (call $tell (i32.const 5) (call $text_read (i32.const 19) (i32.const 0) (i32.const 0)))
           (call $tell (i32.const 6) (i64.eq (call $number_read (i32.const 3)) (i64.const 0x8000000000000000)))"#,
    ));
    guest.outside(Hook::Tick, Matter::default());
    assert_eq!(guest.told_all(7), [-4.0, -4.0, -4.0, -4.0, -4.0, 5.0, 1.0]);
}

#[test]
fn a_connection_can_be_closed_where_that_is_allowed() {
    let closing = "(func (export \"tidegate_connection_open\") (param i32) (result i32) (i32.const 4))";
    assert!(matches!(guest(closing).outside(Hook::ConnectionOpen, link()), Outcome::Close));
    let denied = guest_with(closing, |plugin| plugin.allow = Allow::only([Capability::Metrics]));
    assert!(matches!(denied.outside(Hook::ConnectionOpen, link()), Outcome::Continue));
    assert_eq!(denied.dropped("connection", "denied"), 1.0);
    assert_eq!(guest(closing).dropped("connection", "denied"), 0.0);
    let elsewhere = guest("(func (export \"tidegate_request_head\") (param i32) (result i32) (i32.const 4))");
    assert!(format!("{:?}", elsewhere.request().1).contains("nothing to close"));
}

#[test]
fn background_hooks_wait_as_others_do() {
    let guest = telling(
        r#"(func (export "tidegate_tick") (param i32) (result i32) (drop (call $sleep (i64.const 30))) (i32.const 1))
           (func (export "tidegate_connection_open") (param i32) (result i32) (drop (call $sleep (i64.const 30))) (i32.const 1))
           (func (export "tidegate_resume") (param $slot i32) (param $ticket i32) (result i32)
              (call $tell (i32.const 0) (local.get $ticket))
              (call $tell (i32.const 1) (call $text_read (i32.const 12) (i32.const 8192) (i32.const 64)))
              (i32.const 0))"#,
    );
    for (hook, matter, told) in
        [(Hook::Tick, Matter::default(), [1.0, -4.0]), (Hook::ConnectionOpen, link(), [2.0, 13.0])]
    {
        let slot = guest.instance.open();
        let (_, matter, outcome) = guest.instance.call_with(hook, slot, None, matter);
        assert!(matches!(outcome, Outcome::Pending), "{outcome:?}");
        let operations = guest.instance.operations(slot);
        let [Operation { ticket, .. }] = operations[..] else { panic!("{operations:?}") };
        assert_eq!(f64::from(ticket.0), told[0]);
        let (_, _, outcome) = guest.instance.resume(slot, ticket, Answer::Woke, None, matter);
        assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
        assert_eq!(guest.told_all(2), told, "{hook:?}");
        guest.instance.release(slot);
        assert!(!guest.instance.is_waiting(slot));
        let (_, _, outcome) = guest.instance.resume(slot, Ticket(1), Answer::Woke, None, Matter::default());
        assert!(matches!(outcome, Outcome::Refuse(Fault::Trap(_))), "{outcome:?}");
    }
}

/// What a hook is about.
fn matter(hook: Hook) -> Matter {
    match hook {
        Hook::ConnectionOpen | Hook::ConnectionClose => link(),
        Hook::LimitDecision => decision(),
        Hook::BreakerTransition => transition(),
        _ => Matter::default(),
    }
}

#[test]
fn a_trap_in_any_hook_costs_the_instance_and_refuses_only_what_can_be_refused() {
    for hook in Hook::ALL {
        if matches!(hook, Hook::Configure | Hook::HandOver) {
            continue;
        }
        let result = if hook == Hook::Log { "" } else { "(result i32)" };
        let trapping = format!(
            r#"(func (export "{}") (param i32) {result} unreachable)
               (func (export "tidegate_release") (param i32))"#,
            hook.export()
        );
        let noting = [Hook::Tick, Hook::Log, Hook::ConnectionClose, Hook::LimitDecision, Hook::BreakerTransition];
        for on_failure in [OnFailure::Closed, OnFailure::Open] {
            let guest = guest_with(&trapping, |plugin| plugin.on_failure = on_failure);
            let slot = guest.instance.open();
            let given = hook.has_exchange().then(scope);
            let (back, _, outcome) = guest.instance.call_with(hook, slot, given, matter(hook));
            guest.instance.release(slot);
            assert_eq!(back.is_some(), hook.has_exchange(), "{hook:?}: the record comes back");
            let refuses = on_failure == OnFailure::Closed && !noting.contains(&hook);
            assert_eq!(matches!(outcome, Outcome::Refuse(Fault::Trap(_))), refuses, "{hook:?}: {outcome:?}");
            assert!(refuses || matches!(outcome, Outcome::Continue), "{hook:?}: {outcome:?}");
            assert_eq!(guest.calls(hook.name(), "trap"), 1.0, "{hook:?}");
            assert_eq!(guest.value("tidegate.plugin.restarts", &[]), 1.0, "{hook:?}");
        }
    }
}
