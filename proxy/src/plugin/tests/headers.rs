//! Headers and replies: what a plugin may read and change, and what it may not.

use super::*;

#[test]
fn header_values_are_bytes_and_found_by_any_case_and_index() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $header_read (i32.const 0) @"X-Tenant" (i32.const 0) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 1) (call $header_read (i32.const 0) @"x-tenant" (i32.const 1) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 2) (i32.load8_u (i32.const 4099)))
           (call $say (i32.const 3) (call $header_read (i32.const 0) @"x-tenant" (i32.const 2) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 4) (call $header_read (i32.const 0) @"\ff\fe" (i32.const 0) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 5) (call $header_read (i32.const 1) @"accept" (i32.const 0) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 6) (call $header_read (i32.const 7) @"accept" (i32.const 0) (i32.const 4096) (i32.const 16)))
           (call $say (i32.const 7) (call $headers_read (i32.const 0) (i32.const 8192) (i32.const 5)))"#,
    ));
    // Three headers: their names and values, and two lengths each.
    let all = (8 + 4) + (8 + 7) + (6 + 3) + 6 * 4;
    assert_eq!(guest.said(), [4, 7, 0xff, -1, -1, -1, -3, all]);
}

#[test]
fn request_headers_change_before_the_request_goes_and_not_later() {
    let body = r#"(call $say (i32.const 0) (call $header_set (i32.const 0) @"x-tenant" @"globex"))
                  (call $say (i32.const 1) (call $header_add (i32.const 0) @"x-new" @"1"))
                  (call $say (i32.const 2) (call $header_add (i32.const 0) @"x-new" @"2"))
                  (call $say (i32.const 3) (call $header_remove (i32.const 0) @"accept"))
                  (call $say (i32.const 4) (call $header_remove (i32.const 0) @"x-none"))
                  (call $say (i32.const 5) (call $header_set (i32.const 1) @"x-late" @"1"))"#;
    let (scope, _) = guest(&on_request(body)).request();
    assert_eq!(said(&scope), [0, 0, 0, 1, 0, -4]);
    let expected = headers(&[("x-tenant", b"globex"), ("x-new", b"1"), ("x-new", b"2")]);
    assert_eq!(scope.request.headers, expected);

    let late =
        guest(&format!("(func (export \"tidegate_response_head\") (param i32) (result i32) {body} (i32.const 0))"));
    let (scope, _) = late.call(Hook::ResponseHead, answered(200));
    assert_eq!(said(&scope), [-4, -4, -4, -4, -4, 0]);
    assert_eq!(scope.response.as_ref().unwrap().headers["x-late"], "1");
}

#[test]
fn what_frames_a_message_cannot_be_touched() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $header_set (i32.const 0) @"Content-Length" @"1"))
           (call $say (i32.const 1) (call $header_add (i32.const 0) @"transfer-encoding" @"chunked"))
           (call $say (i32.const 2) (call $header_remove (i32.const 0) @"connection"))
           (call $say (i32.const 3) (call $header_set (i32.const 0) @"x-split" @"a\0d\0aevil: 1"))
           (call $say (i32.const 4) (call $header_set (i32.const 0) @"bad name" @"1"))
           (call $say (i32.const 5) (call $header_remove (i32.const 0) @"host"))
           (call $say (i32.const 6) (call $header_set (i32.const 0) @"host" @"users.internal"))"#,
    ));
    assert_eq!(guest.said(), [-3, -3, -3, -3, -3, -3, 0]);
    assert_eq!(guest.dropped("header", "invalid"), 6.0);
}

#[test]
fn headers_are_bounded_in_number_and_size() {
    let guest = guest(&on_request(
        r#"(local $n i32)
           (call $say (i32.const 0) (call $header_set (i32.const 0) @"x-long" (i32.const 0) (i32.const 65537)))
           (loop $again
              (call $say (i32.const 1) (call $header_add (i32.const 0) @"x-many" @"1"))
              (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 300))))
           (call $say (i32.const 2) (call $header_set (i32.const 0) @"x-many" @"1"))"#,
    ));
    assert_eq!(guest.said(), [-3, -2, 0]);
    assert_eq!(guest.dropped("header", "budget"), 300.0 - (256.0 - 3.0));
}

#[test]
fn a_reply_is_sent_only_when_the_verdict_says_so() {
    let hook = |verdict: i32| {
        guest(&format!(
            r#"(func (export "tidegate_request_head") (param i32) (result i32)
                 (call $say (i32.const 0) (call $reply (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                 (call $say (i32.const 1) (call $reply (i32.const 200) @"\0e\00\00\00content-length\01\00\00\001" @""))
                 (call $say (i32.const 2) (call $reply (i32.const 403) @"\05\00\00\00x-why\05\00\00\00nokey" @"go away"))
                 (i32.const {verdict}))"#
        ))
    };
    let replying = hook(2);
    let (scope, outcome) = replying.request();
    assert_eq!(said(&scope), [-3, -3, 0]);
    let Outcome::Reply(reply) = outcome else { panic!("{outcome:?}") };
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (403, &b"go away"[..]));
    assert_eq!(reply.headers, headers(&[("x-why", b"nokey")]));
    assert_eq!(replying.calls("request_head", "reply"), 1.0);
    assert!(matches!(hook(0).request().1, Outcome::Continue));
}

#[test]
fn headers_that_have_gone_are_read_from_their_copy() {
    let guest = guest(
        r#"(func (export "tidegate_log") (param i32)
              (call $say (i32.const 0) (call $header_read (i32.const 0) @"X-Tenant" (i32.const 1) (i32.const 4096) (i32.const 16)))
              (call $say (i32.const 1) (i32.load8_u (i32.const 4099)))
              (call $say (i32.const 2) (call $headers_read (i32.const 0) (i32.const 8192) (i32.const 5)))
              (call $say (i32.const 3) (i32.load8_u (i32.const 8196)))
              (call $say (i32.const 4) (call $header_read (i32.const 0) @"x-none" (i32.const 0) (i32.const 4096) (i32.const 16)))
              (call $say (i32.const 5) (call $header_read (i32.const 1) @"content-type" (i32.const 0) (i32.const 4096) (i32.const 16)))
              (call $say (i32.const 6) (call $header_set (i32.const 0) @"x-late" @"1")))"#,
    );
    let mut scope = answered(200);
    scope.sent.request = Some(CopiedHeaders::of(&scope.request.headers));
    scope.request.headers.clear();
    let (scope, _) = guest.call(Hook::Log, scope);
    let all = (8 + 4) + (8 + 7) + (6 + 3) + 6 * 4;
    assert_eq!(said(&scope), [7, 0xff, all, i64::from(b'x'), -1, 10, -4]);
}

#[test]
fn a_name_is_checked_each_time_whatever_was_set_before() {
    let guest = guest(&on_request(
        r#"(local $n i32)
           (loop $again
              (call $say (i32.const 0) (call $header_set (i32.const 0) @"x-new" @"1"))
              (call $say (i32.const 1) (call $header_set (i32.const 0) @"X-New" @"2"))
              (call $say (i32.const 2) (call $header_set (i32.const 0) @"host" @"users.internal"))
              (call $say (i32.const 3) (call $header_set (i32.const 0) @"te" @"trailers"))
              (call $say (i32.const 4) (call $header_add (i32.const 0) @"x-new" @"\0a"))
              (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20))))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(said(&scope), [0, 0, 0, -3, -3]);
    assert_eq!(scope.request.headers["x-new"], "2");
    assert_eq!(scope.request.headers["host"], "users.internal");
}

#[test]
fn a_request_never_has_two_hosts() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $header_add (i32.const 0) @"host" @"a.test"))
           (call $say (i32.const 1) (call $header_add (i32.const 0) @"Host" @"b.test"))
           (call $say (i32.const 2) (call $header_set (i32.const 0) @"host" @"c.test"))
           (call $say (i32.const 3) (call $header_add (i32.const 0) @"host" @"d.test"))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(said(&scope), [0, -3, 0, -3]);
    assert_eq!(scope.request.headers.get_all("host").iter().collect::<Vec<_>>(), ["c.test"]);
}
