//! What each capability allows: alone it is enough for all that it covers, and without it all of that is denied and counted.

use bytes::Bytes;
use tidegate_abi::status;

use super::*;
use crate::plugin::config::Capability;
use crate::plugin::contract::{Directory, Fault, Link, Piece};

/// Does something, and tells the status by failing with it: that needs no capability.
const TELL: &str = r#"
    (func (export "tidegate_configure") (result i32)
        (drop (call $define_metric @"\00\00\00\00\04\00\00\00hits\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00"))
        (drop (call $tick_every (i64.const 100)))
        (i32.const 0))
    (func $tell (param $status i32) (result i32)
        (i32.store8 (i32.const 512) (i32.add (i32.const 48)
            (select (i32.sub (i32.const 0) (local.get $status)) (i32.const 0) (i32.lt_s (local.get $status) (i32.const 0)))))
        (call $refuse (i32.const 512) (i32.const 1))
        (i32.const 3))
    (func $tell_number (param $number i64) (result i32)
        (call $tell (select (i32.const -5) (i32.const 0) (i64.eq (local.get $number) (i64.const 0x8000000000000000)))))"#;

/// What is done, in which hook, and the effect that is counted where it is denied.
const ALL: [(Capability, Hook, &str, &str); 26] = {
    use Capability::*;
    use Hook::{RequestBody, RequestHead, ResponseHead};
    [
        (Metrics, RequestHead, "metric", "(call $tell (call $metric_add (i32.const 0) (i32.const 0) (f64.const 1)))"),
        (Metrics, Hook::Tick, "metric", "(call $tell (call $metric_add (i32.const 0) (i32.const 0) (f64.const 1)))"),
        (LogFields, RequestHead, "log_field", r#"(call $tell (call $log_field_text @"k" @"v"))"#),
        (LogFields, Hook::UpstreamChosen, "log_field", r#"(call $tell (call $log_field_bool @"k" (i32.const 1)))"#),
        (LogLines, RequestHead, "log_line", r#"(call $tell (call $log_line (i32.const 3) @"hello"))"#),
        (Spans, RequestHead, "span", r#"(call $tell (call $span_start (i32.const 0) @"s"))"#),
        (
            Spans,
            RequestHead,
            "attribute",
            r#"(call $tell (call $span_attribute_int (i32.const 0) @"k" (i64.const 1)))"#,
        ),
        (Spans, RequestHead, "event", r#"(call $tell (call $span_event (i32.const 0) @"e"))"#),
        (Spans, RequestHead, "span", r#"(call $tell (call $span_status (i32.const 0) (i32.const 2) @"bad"))"#),
        (Headers, RequestHead, "header", r#"(call $tell (call $header_set (i32.const 0) @"x-a" @"b"))"#),
        (Headers, ResponseHead, "header", r#"(call $tell (call $header_add (i32.const 1) @"x-a" @"b"))"#),
        (Headers, RequestHead, "header", r#"(call $tell (call $header_remove (i32.const 0) @"accept"))"#),
        (Headers, RequestHead, "correlation", r#"(call $tell (call $correlation_set @"id" @"x-request-id"))"#),
        (Reply, RequestHead, "reply", r#"(call $tell (call $reply (i32.const 403) @"" @"no"))"#),
        (ReadBodies, RequestBody, "body", "(call $tell (call $body_read (i32.const 0) (i32.const 600) (i32.const 8)))"),
        (ChangeBodies, RequestBody, "body", r#"(call $tell (call $body_replace @"new"))"#),
        (ChangeBodies, RequestBody, "body", r#"(call $tell (call $body_append @"more"))"#),
        (
            ChangeBodies,
            RequestHead,
            "body",
            "(call $tell (call $body_mode (i32.const 1) (i32.const 1) (i64.const 0) (i32.const 0)))",
        ),
        (Routing, RequestHead, "route", r#"(call $tell (call $route_set @"canary"))"#),
        (Routing, RequestHead, "upstream", r#"(call $tell (call $upstream_set @"auth"))"#),
        (Routing, RequestBody, "timeout", "(call $tell (call $timeout_set (i64.const 100)))"),
        (Routing, RequestHead, "limit_key", r#"(call $tell (call $limit_key_set @"tenant" @"acme"))"#),
        (KeyValue, RequestHead, "store", r#"(call $tell (call $store_set @"k" @"v" (i64.const 0)))"#),
        (
            KeyValue,
            Hook::Tick,
            "store",
            r#"(call $tell_number (call $store_increment @"n" (i64.const 1) (i64.const 0)))"#,
        ),
        (
            KeyValue,
            RequestHead,
            "store",
            "(call $tell (call $store_get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))",
        ),
        (
            CallOuts,
            RequestHead,
            "call_out",
            r#"(call $tell (call $call_out @"\04\00\00\00auth\03\00\00\00GET\01\00\00\00/\00\00\00\00\00\00\00\00\00\00\00\00"))"#,
        ),
    ]
};

/// The status that the guest told, and how often the effect was denied.
fn told(allow: Allow, hook: Hook, effect: &str, act: &str) -> (i32, f64) {
    let body = format!("{TELL} (func (export \"{}\") (param i32) (result i32) {act})", hook.export());
    let guest = with_directory(&body, |plugin| plugin.allow = allow);
    let piece = Piece { bytes: Bytes::from_static(b"piece"), holds_head: true, may_change: true, ..Piece::default() };
    let slot = guest.instance.open();
    let outcome = match hook {
        Hook::Tick => guest.instance.call_with(hook, slot, None, Matter::Exchange).2,
        Hook::RequestBody => guest.instance.call_with(hook, slot, Some(scope()), Matter::Piece(piece)).2,
        _ => guest.instance.call(hook, slot, answered(200)).1,
    };
    let denied = guest.dropped(effect, "denied");
    match outcome {
        Outcome::Refuse(Fault::Failed(status)) => (-status.parse::<i32>().unwrap(), denied),
        // A tick has nothing to refuse, so what it told is only in what it did.
        Outcome::Continue if hook == Hook::Tick => (if denied > 0.0 { status::DENIED } else { status::OK }, denied),
        other => panic!("{other:?}"),
    }
}

fn with_directory(body: &str, change: impl FnOnce(&mut Plugin)) -> Guest {
    let registry = Registry::new();
    let loaded = load_bytes(&registry, &wat::parse_str(module(body)).unwrap(), change).unwrap();
    let shard = registry.shard();
    let directory = Directory {
        routes: [("users".into(), 0), ("canary".into(), 1)].into(),
        upstreams: [("app".into(), 0), ("auth".into(), 1)].into(),
    };
    Guest { instance: Instance::new(&loaded, &shard, Rc::new(directory), None), registry, shard, loaded }
}

#[test]
fn each_capability_is_enough_for_what_it_covers_and_needed_for_it() {
    for (capability, hook, effect, act) in ALL {
        let (told_alone, denied) = told(Allow::only([capability]), hook, effect, act);
        assert!(matches!(told_alone, status::OK | status::ABSENT), "{act}: {told_alone}");
        assert_eq!(denied, 0.0, "{act}");
        let others = Capability::ALL.into_iter().filter(|other| *other != capability);
        assert_eq!(told(Allow::only(others), hook, effect, act), (status::DENIED, 1.0), "{act}");
    }
    let covered = |capability: &Capability| ALL.iter().any(|(of, ..)| of == capability);
    let rest: Vec<_> = Capability::ALL.into_iter().filter(|capability| !covered(capability)).collect();
    assert_eq!(rest, [Capability::Connections], "which has a test of its own");
}

#[test]
fn a_connection_is_only_closed_by_who_is_allowed_to() {
    let closes = |allow: Allow| {
        let body = "(func (export \"tidegate_connection_open\") (param i32) (result i32) (i32.const 4))";
        let guest = guest_with(body, |plugin| plugin.allow = allow);
        let link = Link {
            listener: "web".into(),
            peer: "10.0.0.1:4711".parse().unwrap(),
            https: false,
            opened: std::time::Instant::now(),
            opened_at: SystemTime::now(),
            exchanges: 0,
        };
        let slot = guest.instance.open();
        let matter = Matter::Connection(Arc::new(link));
        let (.., outcome) = guest.instance.call_with(Hook::ConnectionOpen, slot, None, matter);
        match outcome {
            Outcome::Close => (true, guest.dropped("connection", "denied")),
            Outcome::Continue => (false, guest.dropped("connection", "denied")),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closes(Allow::only([Capability::Connections])), (true, 0.0));
    let others = Capability::ALL.into_iter().filter(|other| *other != Capability::Connections);
    assert_eq!(closes(Allow::only(others)), (false, 1.0));
}

#[test]
fn standard_output_is_a_log_line_and_needs_the_same() {
    let body = format!(
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
           (data (i32.const 520) "\00\02\00\00\02\00\00\00") (data (i32.const 512) "hi")
           {}"#,
        on_request("(drop (call $fd_write (i32.const 1) (i32.const 520) (i32.const 1) (i32.const 528)))")
    );
    let guest = guest_with(&body, |plugin| plugin.allow = Allow::only([]));
    assert!(matches!(guest.request().1, Outcome::Continue));
    assert_eq!(guest.dropped("log_line", "denied"), 1.0);
}

#[test]
fn facts_and_headers_can_be_read_without_any_capability() {
    let body = format!(
        "{TELL} (func (export \"tidegate_request_head\") (param i32) (result i32)
            (if (i32.lt_s (call $header_read (i32.const 0) @\"x-tenant\" (i32.const 0) (i32.const 600) (i32.const 8)) (i32.const 0)) (then unreachable))
            (if (i32.lt_s (call $headers_read (i32.const 0) (i32.const 600) (i32.const 0)) (i32.const 0)) (then unreachable))
            (if (i32.lt_s (call $text_read (i32.const 0) (i32.const 600) (i32.const 8)) (i32.const 0)) (then unreachable))
            (if (i64.ne (call $number_read (i32.const 1)) (i64.const 7)) (then unreachable))
            (call $tell (call $config_read (i32.const 600) (i32.const 0))))"
    );
    let guest = guest_with(&body, |plugin| plugin.allow = Allow::only([]));
    match guest.request().1 {
        Outcome::Refuse(Fault::Failed(status)) => assert_eq!(status, "0"),
        other => panic!("{other:?}"),
    }
}
