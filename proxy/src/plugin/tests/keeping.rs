//! The key-value store and the overrides of the walk, as a guest uses them.

use super::*;
use crate::plugin::contract::{Directory, Piece};

/// A guest with a store of its own, so that tests which run at the same time do not share one.
fn keeper(name: &str, body: &str, change: impl FnOnce(&mut Plugin)) -> Guest {
    guest_with(body, |plugin| {
        plugin.name = name.into();
        change(plugin);
    })
}

fn value(guest: &Guest, metric: &str) -> f64 {
    let name = &**guest.loaded.name();
    guest.metrics().value(metric, &[("plugin", name)]).map_or(-1.0, |value| value.as_f64())
}

/// `$number` tells the low half of a number.
const NUMBER: &str =
    "(func $number (param $n i32) (param $value i64) (call $say (local.get $n) (i32.wrap_i64 (local.get $value))))";

#[test]
fn values_are_kept_compared_counted_and_removed() {
    let guest = keeper(
        "keeps",
        &format!(
            "{NUMBER} {}",
            on_request(
                r#"(call $say (i32.const 0) (call $store_get @"k" (i32.const 600) (i32.const 8)))
                   (call $say (i32.const 1) (call $store_swap @"k" (i32.const 0) (i32.const -1) @"one" (i64.const 60000)))
                   (call $say (i32.const 2) (call $store_swap @"k" @"two" @"three" (i64.const 0)))
                   (call $say (i32.const 3) (call $store_get @"k" (i32.const 600) (i32.const 2)))
                   (call $number (i32.const 4) (call $store_increment @"n" (i64.const 5) (i64.const 0)))
                   (call $number (i32.const 5) (call $store_increment @"n" (i64.const -7) (i64.const 0)))
                   (call $say (i32.const 6) (call $store_remove @"k"))
                   (call $say (i32.const 7) (call $store_remove @"k"))"#
            )
        ),
        |_| {},
    );
    assert_eq!(guest.said(), [-1, 0, -6, 3, 5, -2, 0, -1]);
    assert_eq!(guest.said()[4..6], [3, -4], "the number is still there");
    assert_eq!(value(&guest, "tidegate.plugin.store.entries"), 1.0);
    assert_eq!(value(&guest, "tidegate.plugin.store.bytes"), 1.0 + 8.0 + 64.0);
}

#[test]
fn what_the_store_does_not_take_is_refused_and_counted() {
    let guest = keeper(
        "refused",
        &format!(
            "{NUMBER} {}",
            on_request(
                r#"(call $say (i32.const 0) (call $store_set @"" @"v" (i64.const 0)))
                   (call $say (i32.const 1) (call $store_set (i32.const 0) (i32.const 1025) @"v" (i64.const 0)))
                   (call $say (i32.const 2) (call $store_set @"k" @"v" (i64.const -1)))
                   (call $say (i32.const 3) (call $store_set (i32.const 0) (i32.const 1024) (i32.const 0) (i32.const 1024) (i64.const 0)))
                   (call $say (i32.const 4) (call $store_set @"k" @"v" (i64.const 0)))
                   (call $number (i32.const 5) (call $store_increment @"k" (i64.const 1) (i64.const 0)))
                   (call $number (i32.const 6) (call $store_increment @"" (i64.const 1) (i64.const 0)))
                   (call $say (i32.const 7) (call $store_get @"" (i32.const 0) (i32.const 0)))"#
            )
        ),
        |plugin| plugin.budget.key_value = 1024,
    );
    assert_eq!(guest.said(), [-3, -3, -3, -2, 0, 0, 0, -3]);
    let dropped = |reason: &str| {
        let labels = [("plugin", "refused"), ("effect", "store"), ("reason", reason)];
        guest.metrics().value("tidegate.plugin.dropped", &labels).map_or(0.0, |value| value.as_f64())
    };
    assert_eq!((dropped("invalid"), dropped("budget")), (6.0, 1.0));
}

#[test]
fn workers_and_generations_share_the_store_until_the_last_is_gone() {
    let body = format!(
        "{NUMBER} {}",
        on_request(r#"(call $number (i32.const 0) (call $store_increment @"n" (i64.const 1) (i64.const 0)))"#)
    );
    let first = keeper("shared", &body, |_| {});
    let other = Instance::new(&first.loaded, &first.shard, Rc::default(), None);
    assert_eq!(first.said(), [1]);
    let (scope, _) = other.call(Hook::RequestHead, other.open(), scope());
    assert_eq!(said(&scope), [2]);
    let second = keeper("shared", &body, |plugin| plugin.on_failure = OnFailure::Open);
    assert_eq!((second.said(), first.said()), (vec![3], vec![4]));
    assert_eq!(keeper("stranger", &body, |_| {}).said(), [1], "another plugin has another store");
    drop((first, other));
    assert_eq!(second.said(), [5]);
    drop(second);
    assert_eq!(keeper("shared", &body, |_| {}).said(), [1]);
}

#[test]
fn the_store_has_the_budget_of_the_generation_in_force() {
    let body = on_request(
        r#"(call $say (i32.const 0) (call $store_set @"k" (i32.const 0) (i32.const 2000) (i64.const 0)))
        (drop (call $store_remove @"k"))"#,
    );
    let small = keeper("resized", &body, |plugin| plugin.budget.key_value = 1024);
    small.loaded.enter();
    assert_eq!(small.said(), [-2]);
    let large = keeper("resized", &body, |plugin| plugin.budget.key_value = 4096);
    assert_eq!(large.said(), [-2], "loaded, but not yet taken over");
    large.loaded.enter();
    assert_eq!((large.said(), small.said()), (vec![0], vec![0]));
    small.loaded.enter();
    assert_eq!(large.said(), [0], "an older one has no say any more");
}

#[test]
fn a_plugin_that_is_only_tried_out_leaves_nothing_in_the_store() {
    let body = format!(
        r#"(func (export "tidegate_configure") (result i32)
               (if (i32.ne (i32.const -4) (call $store_set @"k" @"v" (i64.const 0))) (then unreachable)) (i32.const 0))
           {}"#,
        on_request(r#"(call $say (i32.const 0) (call $store_get @"k" (i32.const 0) (i32.const 0)))"#)
    );
    assert_eq!(keeper("tried", &body, |_| {}).said(), [-1]);
}

fn directory() -> Rc<Directory> {
    Rc::new(Directory {
        routes: [("users".into(), 0), ("canary".into(), 4)].into(),
        upstreams: [("app".into(), 0), ("auth".into(), 7)].into(),
    })
}

#[test]
fn overrides_are_handed_to_the_walk_once() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $route_set @"canary"))
           (call $say (i32.const 1) (call $upstream_set @"auth"))
           (call $say (i32.const 2) (call $timeout_set (i64.const 1500)))
           (call $say (i32.const 3) (call $limit_key_set @"tenant" @"acme"))
           (call $say (i32.const 4) (call $limit_key_set @"plan" @"free"))
           (call $say (i32.const 5) (call $limit_key_set @"tenant" @"\00\ff"))"#,
    ));
    let instance = Instance::new(&guest.loaded, &guest.shard, directory(), None);
    let slot = instance.open();
    assert!(instance.take_orders(slot).is_none());
    let (scope, outcome) = instance.call(Hook::RequestHead, slot, scope());
    assert!(matches!(outcome, Outcome::Continue));
    assert_eq!(said(&scope), [0; 6]);
    let orders = instance.take_orders(slot).unwrap();
    assert_eq!((orders.route, orders.upstream), (Some(4), Some(7)));
    assert_eq!(orders.timeout, Some(Some(Duration::from_millis(1500))));
    let keys: Vec<(&str, &[u8])> = orders.limit_keys.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(keys, [("tenant", &b"\x00\xff"[..]), ("plan", b"free")], "the last value of each name");
    assert!(instance.take_orders(slot).is_none());
}

#[test]
fn overrides_that_cannot_be_are_refused() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $route_set @"nowhere"))
           (call $say (i32.const 1) (call $upstream_set @"\ff"))
           (call $say (i32.const 2) (call $timeout_set (i64.const -1)))
           (call $say (i32.const 3) (call $timeout_set (i64.const 0x7fffffffffffffff)))
           (call $say (i32.const 4) (call $limit_key_set @"Tenant" @"acme"))
           (call $say (i32.const 5) (call $limit_key_set @"" @"acme"))
           (call $say (i32.const 6) (call $limit_key_set @"tenant" (i32.const 0) (i32.const 1025)))
           (call $say (i32.const 7) (call $timeout_set (i64.const 0)))"#,
    ));
    let instance = Instance::new(&guest.loaded, &guest.shard, directory(), None);
    let slot = instance.open();
    let (scope, _) = instance.call(Hook::RequestHead, slot, scope());
    assert_eq!(said(&scope), [-1, -1, -3, -3, -3, -3, -3, 0]);
    let orders = instance.take_orders(slot).unwrap();
    assert_eq!((orders.route, orders.upstream, orders.timeout), (None, None, Some(None)), "0 is no timeout");
    assert!(orders.limit_keys.is_empty());
    let dropped = ["route", "upstream", "timeout", "limit_key"].map(|effect| guest.dropped(effect, "invalid"));
    assert_eq!(dropped, [1.0, 1.0, 2.0, 3.0]);
}

#[test]
fn keys_of_limits_are_bounded() {
    let set: String =
        (0..20).map(|n| format!(r#"(call $say (i32.const {}) (call $limit_key_set @"k{n}" @"v"))"#, n / 16)).collect();
    let guest = guest(&on_request(&set));
    assert_eq!(guest.said(), [0, -2]);
    assert_eq!(guest.dropped("limit_key", "budget"), 4.0);
}

#[test]
fn where_a_request_goes_is_settled_once_it_was_sent() {
    let act = r#"(call $say (i32.const 0) (call $route_set @"canary"))
           (call $say (i32.const 1) (call $upstream_set @"auth"))
           (call $say (i32.const 2) (call $timeout_set (i64.const 100)))
           (call $say (i32.const 3) (call $limit_key_set @"tenant" @"acme"))"#;
    let said_in = |hook: Hook, matter: Matter| {
        let guest =
            guest(&format!("(func (export \"{}\") (param i32) (result i32) {act} (i32.const 0))", hook.export()));
        let instance = Instance::new(&guest.loaded, &guest.shard, directory(), None);
        let (scope, ..) = instance.call_with(hook, instance.open(), Some(answered(200)), matter);
        said(&scope.unwrap())
    };
    let piece = |holds_head: bool| Matter::Piece(Piece { holds_head, ..Piece::default() });
    assert_eq!(said_in(Hook::RequestHead, Matter::Exchange), [0, 0, 0, 0]);
    assert_eq!(said_in(Hook::RequestBody, piece(true)), [-4, 0, 0, -4]);
    assert_eq!(said_in(Hook::RequestBody, piece(false)), [-4; 4]);
    assert_eq!(said_in(Hook::UpstreamChosen, Matter::Exchange), [-4; 4]);
    assert_eq!(said_in(Hook::ResponseHead, Matter::Exchange), [-4; 4]);
}
