//! Hooks that wait: timers and call-outs, in whatever order they are answered, and what becomes of those nobody waits for.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;

use super::super::contract::{Answer, Fault, Operation, Ticket, Work};
use super::*;
use crate::error::Reason;

/// An encoded call-out, as the text of a guest.
fn call_out(upstream: &str, method: &str, path: &str, milliseconds: u32, headers: &[u8], body: &[u8]) -> String {
    let mut all = Vec::new();
    let mut add = |bytes: &[u8]| {
        all.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        all.extend_from_slice(bytes);
    };
    add(upstream.as_bytes());
    add(method.as_bytes());
    add(path.as_bytes());
    all.extend_from_slice(&milliseconds.to_le_bytes());
    let mut add = |bytes: &[u8]| {
        all.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        all.extend_from_slice(bytes);
    };
    add(headers);
    add(body);
    escaped(&all)
}

fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = "@\"".to_owned();
    bytes.iter().for_each(|byte| write!(text, "\\{byte:02x}").unwrap());
    text + "\""
}

fn get(path: &str) -> String {
    call_out("auth", "GET", path, 0, b"", b"")
}

/// A request hook that runs `body` and waits, and a resume that runs `resume` and returns what that leaves.
fn waiting(body: &str, resume: &str) -> String {
    format!(
        r#"(func (export "tidegate_request_head") (param $slot i32) (result i32) {body} (i32.const 1))
           (func (export "tidegate_resume") (param $slot i32) (param $ticket i32) (result i32) {resume})"#
    )
}

fn tickets(operations: &[Operation]) -> Vec<u32> {
    operations.iter().map(|operation| operation.ticket.0).collect()
}

fn answer(status: u16, headers: &[(&str, &[u8])], body: &'static [u8]) -> Answer {
    let mut response = Response::new(Bytes::from_static(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = super::headers(headers);
    Answer::Response(response)
}

// === impl Guest ===

impl Guest {
    /// Begins an exchange whose request hook must wait.
    fn wait(&self) -> (Slot, Scope) {
        let slot = self.instance.open();
        let (scope, outcome) = self.instance.call(Hook::RequestHead, slot, scope());
        assert!(matches!(outcome, Outcome::Pending), "{outcome:?}");
        assert!(self.instance.is_waiting(slot));
        (slot, scope)
    }

    fn resume(&self, slot: Slot, ticket: u32, answer: Answer, scope: Scope) -> (Scope, Outcome) {
        let (scope, _, outcome) = self.instance.resume(slot, Ticket(ticket), answer, Some(scope), Matter::Exchange);
        (scope.unwrap(), outcome)
    }
}

#[test]
fn two_at_once_are_answered_in_any_order_and_the_hook_ends_when_it_says_so() {
    let guest = guest(&waiting(
        &format!(
            r#"(call $say (i32.const 0) (call $sleep (i64.const 20)))
               (call $say (i32.const 1) (call $call_out {}))"#,
            get("/check?user=42")
        ),
        r#"(call $say (i32.add (local.get $ticket) (i32.const 1)) (call $answer_status (local.get $ticket)))
           (if (i32.eq (local.get $ticket) (i32.const 2)) (then (return (i32.const 1))))
           (call $say (i32.const 4) (call $header_set (i32.const 0) @"x-answered" @"yes"))
           (i32.const 0)"#,
    ));
    let (slot, scope) = guest.wait();
    assert_eq!(said(&scope), [1, 2]);
    let operations = guest.instance.operations(slot);
    assert_eq!(tickets(&operations), [1, 2]);
    assert!(matches!(operations[0].work, Work::Sleep(time) if time == Duration::from_millis(20)));
    let Work::CallOut(call_out) = &operations[1].work else { panic!("{operations:?}") };
    assert_eq!((call_out.upstream, &*call_out.plugin), (1, "guest"));
    assert_eq!(
        (call_out.request.method().as_str(), call_out.request.uri().to_string()),
        ("GET", "/check?user=42".into())
    );
    assert_eq!(call_out.timeout, Duration::from_secs(5));
    assert!(guest.instance.operations(slot).is_empty(), "they are given out once");

    // The later one first; the hook waits for the other.
    let (scope, outcome) = guest.resume(slot, 2, answer(204, &[], b""), scope);
    assert!(matches!(outcome, Outcome::Pending), "{outcome:?}");
    assert!(guest.instance.is_waiting(slot));
    let (scope, outcome) = guest.resume(slot, 1, Answer::Woke, scope);
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert!(!guest.instance.is_waiting(slot));
    assert_eq!(said(&scope), [1, 2, 0, 204, 0], "a resumed hook may do what the hook may do");
    assert_eq!(scope.request.headers["x-answered"], "yes");

    let (_, outcome) = guest.resume(slot, 1, Answer::Woke, scope);
    assert!(format!("{outcome:?}").contains("nothing waits"), "a ticket is answered once: {outcome:?}");
    assert_eq!((guest.calls("request_head", "pending"), guest.calls("request_head", "ok")), (2.0, 1.0));
}

#[test]
fn a_ticket_that_nobody_waits_for_disturbs_no_other() {
    let guest = guest(&waiting("(drop (call $sleep (i64.const 1)))", "(i32.const 0)"));
    let (slot, scope) = guest.wait();
    let (scope, outcome) = guest.resume(slot, 9, Answer::Woke, scope);
    assert!(matches!(outcome, Outcome::Refuse(Fault::Trap(_))), "{outcome:?}");
    let (_, outcome) = guest.resume(slot, 1, Answer::Woke, scope);
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
}

#[test]
fn a_resumed_hook_can_start_more_and_send_what_it_staged_before() {
    let guest = guest(&waiting(
        r#"(drop (call $reply (i32.const 403) @"\01\00\00\00a\01\00\00\00b" @"no"))
           (drop (call $sleep (i64.const 1)))"#,
        r#"(if (i32.eq (local.get $ticket) (i32.const 3)) (then (return (i32.const 2))))
           (drop (call $sleep (i64.const 2)))
           (i32.const 1)"#,
    ));
    let (slot, mut scope) = guest.wait();
    for ticket in 1..=2 {
        assert_eq!(tickets(&guest.instance.operations(slot)), [ticket]);
        let (back, outcome) = guest.resume(slot, ticket, Answer::Woke, scope);
        assert!(matches!(outcome, Outcome::Pending), "{outcome:?}");
        scope = back;
    }
    let (_, outcome) = guest.resume(slot, 3, Answer::Woke, scope);
    let Outcome::Reply(reply) = outcome else { panic!("{outcome:?}") };
    assert_eq!((reply.status.as_u16(), &reply.headers["a"], &*reply.body), (403, &"b".parse().unwrap(), &b"no"[..]));
}

#[test]
fn answers_are_read_by_part_and_only_while_they_are_answered() {
    let parts = |ticket: &str| {
        format!(
            r#"(call $say (i32.const 0) (call $answer_status {ticket}))
               (call $say (i32.const 1) (call $answer_read {ticket} (i32.const 0) (i32.const 8192) (i32.const 256)))
               (call $say (i32.const 2) (i32.load (i32.const 8192)))
               (call $say (i32.const 3) (call $answer_read {ticket} (i32.const 1) (i32.const 8192) (i32.const 2)))
               (call $say (i32.const 4) (i32.load8_u (i32.const 8193)))
               (call $say (i32.const 5) (call $answer_read {ticket} (i32.const 2) (i32.const 8192) (i32.const 256)))
               (call $say (i32.const 6) (call $answer_read {ticket} (i32.const 3) (i32.const 8192) (i32.const 256)))"#
        )
    };
    let body = format!("{} (drop (call $call_out {}))", parts("(i32.const 1)"), get("/"));
    let guest = guest(&waiting(&body, &format!("{} (i32.const 0)", parts("(local.get $ticket)"))));
    let (slot, scope) = guest.wait();
    assert_eq!(said(&scope), [-1, -1, 0, -1, 0, -1, -3], "before there is an answer");
    let (scope, _) = guest.resume(slot, 1, answer(200, &[("x-user", b"ada")], b"hello"), scope);
    assert_eq!(said(&scope), [200, 4 + 6 + 4 + 3, 6, 5, i64::from(b'e'), -1, -3]);

    let (slot, scope) = guest.wait();
    let (scope, _) = guest.resume(slot, 2, Answer::Failed(Reason::ConnectTimeout), scope);
    assert_eq!(said(&scope)[0], -7);
    assert_eq!((said(&scope)[1], said(&scope)[3]), (-1, -1), "there is no answer to read");
    assert_eq!(said(&scope)[5], "connect_timeout".len() as i64);
}

#[test]
fn what_a_hook_leaves_behind_is_cancelled_and_costs_no_budget() {
    let guest =
        guest_with(&on_request(&format!("(call $say (i32.const 0) (call $call_out {}))", get("/"))), |plugin| {
            plugin.budget.call_outs = 1
        });
    for expected in 1..5 {
        let slot = guest.instance.open();
        let (scope, outcome) = guest.instance.call(Hook::RequestHead, slot, scope());
        assert!(matches!(outcome, Outcome::Continue));
        assert_eq!(said(&scope), [expected], "a ticket each time, since the one before is given up");
        assert!(guest.instance.operations(slot).is_empty(), "nothing is left to carry out");
        let (_, outcome) = guest.resume(slot, 1, Answer::Woke, scope);
        assert!(matches!(outcome, Outcome::Refuse(Fault::Trap(_))), "nobody waits");
        guest.instance.release(slot);
    }
    assert_eq!(guest.dropped("call_out", "budget"), 0.0);
}

#[test]
fn call_outs_at_a_time_are_bounded_over_the_worker() {
    let body = format!("(call $say (i32.const 0) (call $call_out {})) (drop (call $sleep (i64.const 1)))", get("/"));
    let guest = guest_with(&waiting(&body, "(i32.const 0)"), |plugin| plugin.budget.call_outs = 2);
    let ((first, one), (second, two), (third, three)) = (guest.wait(), guest.wait(), guest.wait());
    assert_eq!([said(&one)[0], said(&two)[0], said(&three)[0]], [1, 3, -2]);
    assert_eq!(guest.dropped("call_out", "budget"), 1.0);
    // One is answered, one is released: there is room for two again.
    guest.resume(first, 1, answer(200, &[], b""), one);
    guest.instance.release(second);
    guest.instance.release(third);
    for expected in [true, true, false] {
        let (_, scope) = guest.wait();
        assert_eq!(said(&scope)[0] > 0, expected);
    }
}

#[test]
fn timers_at_a_time_are_bounded() {
    let guest = guest(&waiting(
        r#"(local $n i32)
           (loop $again
              (if (i32.gt_s (call $sleep (i64.const 3600000)) (i32.const 0))
                  (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $again))))
           (call $say (i32.const 0) (local.get $n))
           (call $say (i32.const 1) (call $sleep (i64.const 1)))"#,
        "(i32.const 0)",
    ));
    let (slot, scope) = guest.wait();
    assert_eq!(said(&scope), [10_000, -2]);
    assert_eq!(guest.instance.operations(slot).len(), 10_000);
    guest.instance.release(slot);
    assert_eq!(said(&guest.wait().1)[0], 10_000, "a release gives them back");
}

#[test]
fn nothing_is_started_where_nothing_can_wait() {
    let start = format!("(i32.add (i32.mul (i32.const 10) (call $sleep (i64.const 1))) (call $call_out {}))", get("/"));
    let guest = guest(&format!(
        r#"(global $configured (mut i32) (i32.const 0))
           (global $released (mut i32) (i32.const 0))
           (func (export "tidegate_configure") (result i32) (global.set $configured {start}) (i32.const 0))
           (func (export "tidegate_release") (param i32) (global.set $released {start}))
           (func (export "tidegate_log") (param i32)
              (call $say (i32.const 0) {start})
              (call $say (i32.const 1) (global.get $configured))
              (call $say (i32.const 2) (global.get $released)))"#
    ));
    guest.call(Hook::Log, answered(200));
    let (scope, _) = guest.call(Hook::Log, answered(200));
    assert_eq!(said(&scope), [-44, -44, -44]);
    assert_eq!(guest.calls("log", "ok"), 2.0);
}

#[test]
fn waiting_without_a_ticket_or_a_way_to_resume_is_a_fault() {
    let without = guest(&waiting("", "(i32.const 0)"));
    assert!(format!("{:?}", without.request().1).contains("pending without a ticket"));
    let sleeping = r#"(func (export "tidegate_request_head") (param i32) (result i32)
        (drop (call $sleep (i64.const 1))) (i32.const 1))"#;
    assert!(format!("{:?}", guest(sleeping).request().1).contains("does not export `tidegate_resume`"));
    // Its only ticket is answered: it cannot go on waiting.
    let again = guest(&waiting("(drop (call $sleep (i64.const 1)))", "(i32.const 1)"));
    let (slot, scope) = again.wait();
    let (_, outcome) = again.resume(slot, 1, Answer::Woke, scope);
    assert!(format!("{outcome:?}").contains("pending without a ticket"), "{outcome:?}");
    assert!(!again.instance.is_waiting(slot));
}

#[test]
fn another_hook_of_the_slot_gives_the_wait_up() {
    let body =
        waiting("(drop (call $sleep (i64.const 1))) (drop (call $reply (i32.const 403) @\"\" @\"\"))", "(i32.const 0)");
    let guest = guest(&format!(
        r#"{body}
           (func (export "tidegate_response_head") (param i32) (result i32) (i32.const 2))
           (func (export "tidegate_log") (param i32) (call $say (i32.const 0) (i32.const 7)))"#
    ));
    let (slot, _) = guest.wait();
    let (scope, outcome) = guest.instance.call(Hook::Log, slot, answered(504));
    assert!(matches!(outcome, Outcome::Continue));
    assert_eq!(said(&scope), [7], "the client left, or the time was over");
    assert!(!guest.instance.is_waiting(slot) && guest.instance.operations(slot).is_empty());
    let (slot, _) = guest.wait();
    let (_, outcome) = guest.instance.call(Hook::ResponseHead, slot, answered(504));
    assert!(format!("{outcome:?}").contains("reply without an answer"), "what was staged is gone: {outcome:?}");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_in_a_lost_instance_is_told() {
    let body = waiting("(drop (call $sleep (i64.const 1)))", "(i32.const 0)");
    let trapping = format!(r#"{body} (func (export "tidegate_response_head") (param i32) (result i32) unreachable)"#);
    for (on_failure, refused) in [(OnFailure::Closed, true), (OnFailure::Open, false)] {
        let guest = guest_with(&trapping, |plugin| plugin.on_failure = on_failure);
        let (slot, scope) = guest.wait();
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        assert!(!guest.instance.is_lost(slot, &waker));
        guest.call(Hook::ResponseHead, answered(200));
        assert!(woken.0.load(Ordering::Relaxed), "nobody waits for what cannot come");
        assert!(guest.instance.is_lost(slot, &waker));
        let (scope, outcome) = guest.resume(slot, 1, Answer::Woke, scope);
        assert_eq!(format!("{outcome:?}").contains("was replaced"), refused, "{outcome:?}");
        assert!(refused || matches!(outcome, Outcome::Continue));
        assert!(!guest.instance.is_waiting(slot));
        assert_eq!(guest.calls("request_head", "trap"), 1.0, "and the operator is told as well");
        assert_eq!(&*scope.correlation.id, "0198");
        // A fresh instance numbers from the start; a ticket of the old one must not reach it.
        let (other, scope) = guest.wait();
        guest.instance.release(slot);
        assert!(matches!(guest.resume(other, 1, Answer::Woke, scope).1, Outcome::Continue));
    }
}

#[test]
fn a_call_out_is_checked_before_it_is_started() {
    let long = "x".repeat(3);
    let mut truncated = b"\x04\0\0\0auth\x03\0\0\0GET\x01\0\0\0/\0\0\0\0\0\0\0\0".to_vec();
    let complete = [&truncated[..], b"\0\0\0\0"].concat();
    let trailing = [&complete[..], b"x"].concat();
    truncated.extend(b"\xff\xff\xff\xff");
    let header = b"\x04\0\0\0host\x0b\0\0\0auth.local:";
    for (encoded, expected) in [
        (escaped(&complete), 1),
        (call_out("auth", "POST", "/a", 3_600_000, header, long.as_bytes()), 1),
        (call_out("nobody", "GET", "/", 0, b"", b""), -1),
        (call_out("auth", "CONNECT", "/", 0, b"", b""), -3),
        (call_out("auth", "G T", "/", 0, b"", b""), -3),
        (call_out("auth", "GET", "", 0, b"", b""), -3),
        (call_out("auth", "GET", "http://elsewhere/", 0, b"", b""), -3),
        (call_out("auth", "GET", "/a b", 0, b"", b""), -3),
        (call_out("auth", "GET", "/", 3_600_001, b"", b""), -3),
        (call_out("auth", "GET", "/", 0, b"\x0e\0\0\0content-length\x01\0\0\x009", b""), -3),
        (call_out("auth", "GET", "/", 0, b"\x04\0\0\0host\xff\0\0\0", b""), -3),
        (call_out("auth", "GET", "/", 0, b"\x04\0\0\0host\x01\0\0\0a\x04\0\0\0Host\x01\0\0\0b", b""), -3),
        (escaped(&truncated), -3),
        (escaped(&trailing), -3),
        (escaped(b"\xff\xff\xff\xffauth"), -3),
        (escaped(b""), -3),
    ] {
        let guest = guest(&on_request(&format!("(call $say (i32.const 0) (call $call_out {encoded}))")));
        assert_eq!(guest.said(), [expected], "{encoded}");
        assert_eq!(guest.dropped("call_out", "invalid"), f64::from(expected < 0), "{encoded}");
    }
    let guest = guest(&waiting(
        &format!(
            "(drop (call $call_out {}))",
            call_out("auth", "POST", "/a", 250, b"\x04\0\0\0host\x01\0\0\0h", b"body")
        ),
        "(i32.const 0)",
    ));
    let (slot, _) = guest.wait();
    let operations = guest.instance.operations(slot);
    let Work::CallOut(call_out) = &operations[0].work else { panic!("{operations:?}") };
    assert_eq!(
        (&call_out.request.headers()["host"], &**call_out.request.body()),
        (&"h".parse().unwrap(), &b"body"[..])
    );
    assert_eq!(call_out.timeout, Duration::from_millis(250));
}

#[test]
fn a_call_outs_body_is_bounded() {
    let head = r"\04\00\00\00auth\04\00\00\00POST\01\00\00\00/\00\00\00\00\00\00\00\00";
    let guest = guest_with(
        &format!(
            // 29 bytes of it stand before the body's length, which is set to `$size`.
            r#"(func $try (param $size i32) (result i32)
                  (i32.store (i32.const 65565) (local.get $size))
                  (call $call_out (i32.const 65536) (i32.add (i32.const 33) (local.get $size))))
               (data (i32.const 65536) "{head}")
               {}"#,
            on_request(
                "(drop (memory.grow (i32.const 30)))
                 (call $say (i32.const 0) (call $try (i32.const 1048576)))
                 (call $say (i32.const 1) (call $try (i32.const 1048577)))"
            )
        ),
        |plugin| plugin.budget.memory = 4 << 20,
    );
    assert_eq!(guest.said(), [1, -2]);
}

#[test]
fn a_timer_takes_what_the_page_says() {
    for (milliseconds, expected) in [(0, 1), (3_600_000, 1), (3_600_001, -3), (-1, -3), (i64::MIN, -3)] {
        let guest = guest(&on_request(&format!("(call $say (i32.const 0) (call $sleep (i64.const {milliseconds})))")));
        assert_eq!(guest.said(), [expected], "{milliseconds}");
    }
}

#[test]
fn what_one_exchange_wants_never_becomes_of_another() {
    let body = waiting("(drop (call $timeout_set (i64.const 7))) (drop (call $sleep (i64.const 1)))", "(i32.const 0)");
    let trapping = format!(r#"{body} (func (export "tidegate_response_head") (param i32) (result i32) unreachable)"#);
    let guest = guest_with(&trapping, |plugin| plugin.on_failure = OnFailure::Open);
    let (lost, scope) = guest.wait();
    guest.call(Hook::ResponseHead, answered(200));
    // Called last, by a fresh instance.
    let (other, _) = guest.wait();
    let (_, outcome) = guest.resume(lost, 1, Answer::Woke, scope);
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert!(guest.instance.take_orders(lost).is_none(), "as if the plugin were not there");
    assert_eq!(guest.instance.take_orders(other).unwrap().timeout, Some(Some(Duration::from_millis(7))));
}
