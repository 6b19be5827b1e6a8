//! Reading the exchange: config, texts, numbers, and WASI's clocks and random numbers.

use super::*;

/// Reads a text property into 4096 and hands it back as a log field of the same number.
fn echo(property: i32) -> String {
    format!(
        "(local.set $length (call $text_read (i32.const {property}) (i32.const 4096) (i32.const 256)))
         (if (i32.ge_s (local.get $length) (i32.const 0)) (then
            (drop (call $log_field_text @\"p{property}\" (i32.const 4096) (local.get $length)))))"
    )
}

#[test]
fn every_text_of_the_exchange_can_be_read() {
    let body: String = (0..20).map(echo).collect();
    let guest = guest_with(&on_request(&format!("(local $length i32) {body}")), |plugin| plugin.budget.log_fields = 32);
    let (scope, _) = guest.request();
    let expected = [
        "GET",
        "http",
        "api.example.com",
        "/users/42",
        "a=b",
        "HTTP/1.1",
        "web",
        "users",
        "/users/{id}",
        "app",
        "",
        "203.0.113.9",
        "10.0.0.1:4711",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        "0198",
        "x-request-id",
        "",
        "",
        "guest",
    ];
    for (property, expected) in expected.into_iter().enumerate() {
        let key = format!("p{property}");
        match expected {
            "" => assert_eq!(field(&scope, &key), None, "{property} is absent"),
            expected => assert_eq!(text(&scope, &key), expected),
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_gets_the_start_and_the_whole_length() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $text_read (i32.const 2) (i32.const 4096) (i32.const 3)))
           (call $say (i32.const 1) (i32.load (i32.const 4096)))
           (call $say (i32.const 2) (call $text_read (i32.const 2) (i32.const 4096) (i32.const 0)))
           (call $say (i32.const 3) (call $text_read (i32.const 99) (i32.const 4096) (i32.const 0)))"#,
    ));
    assert_eq!(guest.said(), [15, i64::from(u32::from_le_bytes(*b"api\0")), 15, -3]);
}

#[test]
fn numbers_can_be_read_and_absent_ones_are_told_apart() {
    let number = |say: i32, property: i32| {
        format!(
            "(drop (call $log_field_int (i32.const {}) (i32.const 2) (call $number_read (i32.const {property}))))",
            1000 + 2 * say
        )
    };
    let body: String = (0..).zip([0, 1, 5, 6, 7, 8, 9, 99]).map(|(n, property)| number(n, property)).collect();
    let guest = guest(&format!("(func (export \"tidegate_log\") (param i32) {body})"));
    let (scope, _) = guest.call(Hook::Log, answered(404));
    assert_eq!(said(&scope), [404, 7, 0, 1_700_000_000_000_000_000, 1, 1, 0, i64::MIN]);
    let (scope, _) = guest.call(Hook::Log, super::scope());
    assert_eq!(said(&scope).first(), Some(&i64::MIN));
}

#[test]
fn the_config_arrives_as_json() {
    let guest = guest(&on_request(
        r#"(local $length i32)
           (local.set $length (call $config_read (i32.const 4096) (i32.const 256)))
           (drop (call $log_field_text @"config" (i32.const 4096) (local.get $length)))"#,
    ));
    assert_eq!(text(&guest.request().0, "config"), r#"{"tenants":["acme"]}"#);
}

#[test]
fn the_correlation_id_can_be_set_before_the_request_goes() {
    let body = r#"(call $say (i32.const 0) (call $correlation_set @"abc-1" @"x-id"))
                  (call $say (i32.const 1) (call $correlation_set @"two words" @"x-id"))
                  (call $say (i32.const 2) (call $correlation_set @"abc-2" @"content-length"))
                  (call $say (i32.const 3) (call $correlation_set @"abc-3" @""))"#;
    let requests = guest(&on_request(body));
    let (scope, _) = requests.request();
    assert_eq!(said(&scope), [0, -3, -3, 0]);
    assert_eq!((&*scope.correlation.id, scope.correlation.header.as_str()), ("abc-3", "x-id"));
    let logs = guest(&format!("(func (export \"tidegate_log\") (param i32) {body})"));
    assert_eq!(said(&logs.call(Hook::Log, super::scope()).0), [-4, -4, -4, -4]);
}

#[test]
fn wasi_has_clocks_and_random_numbers_and_no_files() {
    let guest = guest(&format!(
        r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
           (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
           (data (i32.const 8192) "\10\20\00\00\03\00\00\00")
           (data (i32.const 8208) "hi\0a")
           {}"#,
        on_request(
            r#"(call $say (i32.const 0) (call $clock (i32.const 0) (i64.const 0) (i32.const 4096)))
               (call $say (i32.const 1) (i64.gt_u (i64.load (i32.const 4096)) (i64.const 1000000000000000000)))
               (call $say (i32.const 2) (call $random (i32.const 4096) (i32.const 16)))
               (call $say (i32.const 3) (i64.ne (i64.load (i32.const 4096)) (i64.load (i32.const 4104))))
               (call $say (i32.const 4) (call $write (i32.const 1) (i32.const 8192) (i32.const 1) (i32.const 4096)))
               (call $say (i32.const 5) (i32.load (i32.const 4096)))
               (call $say (i32.const 6) (call $environ (i32.const 4096) (i32.const 4100)))
               (call $say (i32.const 7) (call $prestat (i32.const 3) (i32.const 4096)))"#
        )
    ));
    assert_eq!(guest.said(), [0, 1, 0, 1, 0, 3, 0, 8]);
}

#[test]
fn random_numbers_come_in_portions_since_no_deadline_ends_the_operating_system() {
    let guest = guest(&format!(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
           {}"#,
        on_request(
            "(call $say (i32.const 0) (call $random (i32.const 65536) (i32.const 65536)))
             (call $say (i32.const 1) (call $random (i32.const 0) (i32.const 65537)))"
        )
    ));
    assert_eq!(guest.said(), [0, 28]);
}
