//! Bodies and trailers: how they are wished, read and changed, and what waits for them.

use bytes::Bytes;
use tidegate_abi::{Body, Mode, Overflow};

use super::super::config::Capability;
use super::super::contract::{BodyWish, Piece};
use super::*;

const HOOKS: &str = r#"
    (func (export "tidegate_request_body") (param i32) (result i32) (i32.const 0))
    (func (export "tidegate_response_body") (param i32) (result i32) (i32.const 0))"#;

fn hook(export: &str, body: &str) -> String {
    format!("(func (export \"{export}\") (param $slot i32) (result i32) {body} (i32.const 0))")
}

fn piece(bytes: &'static [u8]) -> Piece {
    Piece { bytes: Bytes::from_static(bytes), ..Piece::default() }
}

// === impl Guest ===

impl Guest {
    fn wishes(&self, slot: Slot) -> [Option<BodyWish>; 2] {
        [Body::Request, Body::Response].map(|body| self.instance.body_wish(slot, body))
    }

    fn piece(&self, hook: Hook, piece: Piece) -> (Scope, Piece, Outcome) {
        let slot = self.instance.open();
        let (scope, matter, outcome) = self.instance.call_with(hook, slot, Some(answered(200)), Matter::Piece(piece));
        self.instance.release(slot);
        let Matter::Piece(piece) = matter else { panic!("{matter:?}") };
        (scope.unwrap(), piece, outcome)
    }
}

#[test]
fn bodies_are_wished_by_configuration_and_by_exchange() {
    let stream = BodyWish::default();
    let plain = guest(HOOKS);
    let slot = plain.instance.open();
    assert_eq!(plain.wishes(slot), [Some(stream), Some(stream)], "who has the hook sees the body pass");
    let none = guest(&on_request(""));
    assert_eq!(none.wishes(none.instance.open()), [None, None]);

    let guest = guest(&format!(
        r#"{HOOKS}
           (func (export "tidegate_configure") (result i32)
              (drop (call $body_mode (i32.const 0) (i32.const 3) (i64.const 1024) (i32.const 1)))
              (call $body_mode (i32.const 1) (i32.const 4) (i64.const 0) (i32.const 0)))
           {}
           {}"#,
        hook(
            "tidegate_request_head",
            r#"(call $say (i32.const 0) (call $body_mode (i32.const 0) (i32.const 2) (i64.const 16) (i32.const 2)))
               (call $say (i32.const 1) (call $body_mode (i32.const 1) (i32.const 1) (i64.const 0) (i32.const 0)))"#
        ),
        hook(
            "tidegate_response_head",
            r#"(call $say (i32.const 0) (call $body_mode (i32.const 0) (i32.const 4) (i64.const 0) (i32.const 0)))
               (call $say (i32.const 1) (call $body_mode (i32.const 1) (i32.const 3) (i64.const 67108864) (i32.const 0)))"#
        ),
    ));
    let slot = guest.instance.open();
    let configured = [Some(BodyWish { mode: Mode::Buffer, limit: 1024, overflow: Overflow::Reject }), None];
    assert_eq!(guest.wishes(slot), configured);
    let (scope, _) = guest.instance.call(Hook::RequestHead, slot, scope());
    assert_eq!(said(&scope), [0, 0]);
    let peek = BodyWish { mode: Mode::Peek, limit: 16, overflow: Overflow::Fail };
    assert_eq!(guest.wishes(slot), [Some(peek), Some(BodyWish { mode: Mode::Rewrite, ..BodyWish::default() })]);
    let (scope, _) = guest.instance.call(Hook::ResponseHead, slot, answered(200));
    assert_eq!(said(&scope), [-4, 0], "the request has gone");
    let buffer = BodyWish { mode: Mode::Buffer, limit: 64 << 20, overflow: Overflow::Pass };
    assert_eq!(guest.wishes(slot), [Some(peek), Some(buffer)]);
    guest.instance.release(slot);
    assert_eq!(guest.instance.open(), slot);
    assert_eq!(guest.wishes(slot), configured, "the next exchange begins anew");
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    for (arguments, expected) in [
        ("(i32.const 2) (i32.const 0) (i64.const 1) (i32.const 0)", -3),
        ("(i32.const 0) (i32.const 5) (i64.const 1) (i32.const 0)", -3),
        ("(i32.const 0) (i32.const 3) (i64.const 0) (i32.const 0)", -3),
        ("(i32.const 0) (i32.const 3) (i64.const -1) (i32.const 0)", -3),
        ("(i32.const 0) (i32.const 2) (i64.const 67108865) (i32.const 0)", -3),
        ("(i32.const 0) (i32.const 3) (i64.const 1) (i32.const 3)", -3),
        ("(i32.const 0) (i32.const 0) (i64.const -1) (i32.const 0)", 0),
    ] {
        let guest = guest(&format!(
            "{HOOKS} {}",
            on_request(&format!("(call $say (i32.const 0) (call $body_mode {arguments}))"))
        ));
        assert_eq!(guest.said(), [expected], "{arguments}");
        assert_eq!(guest.dropped("body", "invalid"), f64::from(expected == -3));
    }
}

#[test]
fn without_leave_to_read_bodies_their_hooks_are_not_called() {
    let guest = guest_with(HOOKS, |plugin| plugin.allow = Allow::only([Capability::Headers]));
    assert_eq!(guest.wishes(guest.instance.open()), [None, None]);
}

#[test]
fn a_piece_is_read_from_any_offset() {
    let guest = guest(&hook(
        "tidegate_request_body",
        r#"(call $say (i32.const 0) (call $body_read (i32.const 0) (i32.const 8192) (i32.const 3)))
           (call $say (i32.const 1) (i32.load8_u (i32.const 8194)))
           (call $say (i32.const 2) (call $body_read (i32.const 4) (i32.const 8192) (i32.const 16)))
           (call $say (i32.const 3) (i32.load8_u (i32.const 8192)))
           (call $say (i32.const 4) (call $body_read (i32.const 6) (i32.const 8192) (i32.const 16)))
           (call $say (i32.const 5) (call $body_read (i32.const -1) (i32.const 8192) (i32.const 16)))
           (call $say (i32.const 6) (i32.wrap_i64 (call $number_read (i32.const 10))))
           (call $say (i32.const 7) (i32.wrap_i64 (call $number_read (i32.const 11))))"#,
    ));
    let (scope, piece, _) = guest.piece(Hook::RequestBody, Piece { is_last: true, ..piece(b"pieces") });
    assert_eq!(said(&scope), [6, i64::from(b'e'), 2, i64::from(b'e'), 0, 0, 6, 1]);
    assert!(!piece.changed);
    assert_eq!(piece.bytes, "pieces");
}

#[test]
fn a_piece_is_changed_where_it_may_be() {
    let guest = guest(&hook(
        "tidegate_response_body",
        r#"(call $say (i32.const 0) (call $body_append @"!"))
           (call $say (i32.const 1) (call $body_replace @"other"))
           (call $say (i32.const 2) (call $body_append @" bytes"))
           (call $say (i32.const 3) (call $body_read (i32.const 0) (i32.const 8192) (i32.const 64)))
           (call $say (i32.const 4) (i32.load8_u (i32.const 8197)))"#,
    ));
    let (scope, changed, _) = guest.piece(Hook::ResponseBody, Piece { may_change: true, ..piece(b"a body") });
    assert_eq!(said(&scope), [0, 0, 0, 11, i64::from(b' ')], "what it wrote is what it reads");
    assert!(changed.changed);
    assert_eq!(changed.bytes, "other bytes");
    let (scope, kept, _) = guest.piece(Hook::ResponseBody, piece(b"a body"));
    assert_eq!(said(&scope), [-4, -4, -4, 6, i64::from(b'y')]);
    assert!(!kept.changed);
    assert_eq!(kept.bytes, "a body");
}

#[test]
fn a_piece_stays_as_the_guest_left_it_also_when_it_traps() {
    let guest =
        guest_with(&hook("tidegate_request_body", r#"(drop (call $body_replace @"half")) unreachable"#), |plugin| {
            plugin.on_failure = OnFailure::Open
        });
    let (_, piece, outcome) = guest.piece(Hook::RequestBody, Piece { may_change: true, ..piece(b"whole") });
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    assert_eq!(piece.bytes, "half");
}

#[test]
fn bodies_are_out_of_reach_elsewhere() {
    let body = r#"(call $say (i32.const 0) (call $body_read (i32.const 0) (i32.const 8192) (i32.const 3)))
                  (call $say (i32.const 1) (call $body_replace @"x"))
                  (call $say (i32.const 2) (call $body_append @"x"))
                  (call $say (i32.const 3) (i64.eq (call $number_read (i32.const 10)) (i64.const 0x8000000000000000)))"#;
    assert_eq!(guest(&on_request(body)).said(), [-4, -4, -4, 1]);
}

#[test]
fn heads_that_wait_can_be_changed_and_answered() {
    let body = r#"(call $say (i32.const 0) (call $header_set (i32.const 0) @"x-late" @"1"))
                  (call $say (i32.const 1) (call $header_set (i32.const 1) @"x-late" @"1"))
                  (call $say (i32.const 2) (call $reply (i32.const 403) @"" @""))"#;
    let request = guest(&hook("tidegate_request_body", body));
    let response = guest(&hook("tidegate_response_body", body));
    for (holds_head, expected) in [(false, [[-4, -4, 0], [-4, -4, -4]]), (true, [[0, -4, 0], [-4, 0, 0]])] {
        let (scope, ..) = request.piece(Hook::RequestBody, Piece { holds_head, ..piece(b"x") });
        assert_eq!(said(&scope), expected[0], "request, {holds_head}");
        assert_eq!(scope.request.headers.contains_key("x-late"), holds_head);
        let (scope, ..) = response.piece(Hook::ResponseBody, Piece { holds_head, ..piece(b"x") });
        assert_eq!(said(&scope), expected[1], "response, {holds_head}");
        assert_eq!(scope.response.as_ref().unwrap().headers.contains_key("x-late"), holds_head);
    }
}

#[test]
fn trailers_are_headers_of_their_hooks() {
    let body = |map: i32| {
        format!(
            r#"(call $say (i32.const 0) (call $header_read (i32.const {map}) @"x-sum" (i32.const 0) (i32.const 8192) (i32.const 8)))
               (call $say (i32.const 1) (call $header_set (i32.const {map}) @"x-new" @"1"))
               (call $say (i32.const 2) (call $header_remove (i32.const {map}) @"x-sum"))
               (call $say (i32.const 3) (call $header_set (i32.const {map}) @"content-length" @"1"))
               (call $say (i32.const 4) (call $header_set (i32.const {map}) @"host" @"1"))
               (call $say (i32.const 5) (call $headers_read (i32.const {}) (i32.const 8192) (i32.const 8)))"#,
            5 - map
        )
    };
    let guest = guest(&format!(
        "{} {} {}",
        hook("tidegate_request_trailers", &body(2)),
        hook("tidegate_response_trailers", &body(3)),
        hook("tidegate_response_head", &body(2)),
    ));
    for trailers in [Hook::RequestTrailers, Hook::ResponseTrailers] {
        let slot = guest.instance.open();
        let matter = Matter::Trailers(headers(&[("x-sum", b"abc")]));
        let (scope, matter, _) = guest.instance.call_with(trailers, slot, Some(answered(200)), matter);
        assert_eq!(said(&scope.unwrap()), [3, 0, 1, -3, -3, -4], "{trailers:?}");
        let Matter::Trailers(changed) = matter else { panic!("{matter:?}") };
        assert_eq!(changed, headers(&[("x-new", b"1")]));
    }
    let (scope, _) = guest.call(Hook::ResponseHead, answered(200));
    assert_eq!(said(&scope), [-4, -4, -4, -3, -3, -4]);
}
