//! Faults: each is told apart, costs the instance and never the record, and too many shut the plugin out.

use super::super::contract::Fault;
use super::*;

fn fault(guest: &Guest) -> Fault {
    match guest.request() {
        (scope, Outcome::Refuse(fault)) => {
            assert_eq!(&*scope.correlation.id, "0198", "the record comes back");
            fault
        }
        (_, outcome) => panic!("{outcome:?}"),
    }
}

fn trap(body: &str) -> String {
    match fault(&guest(&on_request(body))) {
        Fault::Trap(what) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn traps_say_what_happened() {
    assert!(trap("unreachable").contains("unreachable"));
    assert!(trap("(drop (i32.load (i32.const -4)))").contains("out of bounds memory access"));
    let deep = format!("(func $deep (call $deep)) {}", on_request("(call $deep)"));
    let Fault::Trap(what) = fault(&guest(&deep)) else { panic!("no trap") };
    assert!(what.contains("call stack exhausted in deep"), "{what}");
}

#[test]
fn a_bad_pointer_traps_whatever_it_is_for() {
    for call in [
        "(drop (call $text_read (i32.const 0) (i32.const -1) (i32.const 10)))",
        "(drop (call $header_read (i32.const 0) (i32.const 131070) (i32.const 10) (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(drop (call $log_field_text (i32.const 0) (i32.const 1) (i32.const 5) (i32.const -1)))",
        "(drop (call $headers_read (i32.const 0) (i32.const 0) (i32.const 131073)))",
        "(drop (call $reply (i32.const 200) (i32.const -8) (i32.const 4) (i32.const 0) (i32.const 0)))",
        "(call $refuse (i32.const 2147483647) (i32.const 2147483647))",
    ] {
        let what = trap(call);
        assert!(what.contains("bad pointer"), "{what}");
    }
}

#[test]
fn an_endless_loop_runs_into_its_deadline() {
    let short = |plugin: &mut Plugin| plugin.budget.deadline = Duration::from_millis(5);
    let endless = guest_with(&on_request("(loop $again (br $again))"), short);
    assert_eq!(fault(&endless), Fault::Deadline(Duration::from_millis(5)));
    assert_eq!(endless.calls("request_head", "deadline"), 1.0);
    // A loop of host calls is no way around it.
    let calling = "(loop $again (drop (call $number_read (i32.const 0))) (br $again))";
    assert!(matches!(fault(&guest_with(&on_request(calling), short)), Fault::Deadline(_)));
}

#[test]
fn the_deadline_holds_when_the_clock_had_gone_to_sleep() {
    let engine = Engine::new().unwrap();
    while !engine.is_asleep() {
        std::thread::yield_now();
    }
    let path = std::env::temp_dir().join(format!("tidegate-plugin-asleep-{}.wasm", std::process::id()));
    std::fs::write(&path, wat::parse_str(module(&on_request("(loop $again (br $again))"))).unwrap()).unwrap();
    let mut plugin = plugin(Source::File(path.clone()));
    plugin.budget.deadline = Duration::from_millis(2);
    let registry = Registry::new();
    let loaded = Loaded::load(&engine, &plugin, &registry, no_builtin).unwrap();
    std::fs::remove_file(path).unwrap();
    let instance = Instance::new(&loaded, &registry.shard(), Rc::default(), None);
    while !engine.is_asleep() {
        std::thread::yield_now();
    }
    let (_, outcome) = instance.call(Hook::RequestHead, instance.open(), scope());
    assert!(matches!(outcome, Outcome::Refuse(Fault::Deadline(_))), "{outcome:?}");
}

#[test]
fn memory_beyond_the_budget_fails_inside_the_guest_only() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (memory.grow (i32.const 2)))
           (call $say (i32.const 1) (memory.grow (i32.const 1)))
           (call $say (i32.const 2) (memory.grow (i32.const 60000)))"#,
    ));
    assert_eq!(guest.value("tidegate.plugin.memory", &[]), 2.0 * 65536.0);
    assert_eq!(guest.said(), [2, -1, -1]);
    assert_eq!(guest.value("tidegate.plugin.memory", &[]), 4.0 * 65536.0);
    let Guest { registry, instance, .. } = guest;
    drop(instance);
    let memory = registry.gather().value("tidegate.plugin.memory", &[("plugin", "guest")]).unwrap().as_f64();
    assert_eq!(memory, 0.0);
}

#[test]
fn verdicts_that_are_none_trap() {
    let verdict = |number: i32| {
        let hook = format!("(func (export \"tidegate_request_head\") (param i32) (result i32) (i32.const {number}))");
        fault(&guest(&hook)).to_string()
    };
    assert_eq!(verdict(7), "trap: returned 7, which is no verdict");
    assert_eq!(verdict(2), "trap: returned reply without an answer");
    assert_eq!(verdict(1), "trap: returned pending, but does not export `tidegate_resume`");
}

#[test]
fn failing_is_not_trapping() {
    let guest = guest(
        r#"(global $calls (mut i32) (i32.const 0))
           (func (export "tidegate_request_head") (param i32) (result i32)
              (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
              (call $say (i32.const 0) (global.get $calls))
              (call $refuse @"no tenant")
              (i32.const 3))"#,
    );
    for call in 1..10 {
        let (scope, outcome) = guest.request();
        assert!(matches!(outcome, Outcome::Refuse(Fault::Failed(why)) if why == "no tenant"));
        assert_eq!(said(&scope), [call], "the instance goes on");
    }
    assert!(!guest.instance.is_resting());
}

#[test]
fn what_fails_open_is_as_if_it_were_not_there() {
    let open =
        guest_with(&on_request(r#"(drop (call $log_field_bool @"seen" (i32.const 1))) unreachable"#), |plugin| {
            plugin.on_failure = OnFailure::Open;
        });
    let (scope, outcome) = open.request();
    assert!(matches!(outcome, Outcome::Continue));
    assert_eq!(field(&scope, "seen"), Some(&Value::Bool(true)), "what was done stays done");
    let logging = guest("(func (export \"tidegate_log\") (param i32) unreachable)");
    assert!(matches!(logging.call(Hook::Log, answered(200)).1, Outcome::Continue));
    assert_eq!(logging.calls("log", "trap"), 1.0);
}

/// Counts calls in its own memory, and traps for the path `/trap`.
const COUNTING: &str = r#"
    (global $calls (mut i32) (i32.const 0))
    (func (export "tidegate_request_head") (param $slot i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $say (i32.const 0) (global.get $calls))
        (call $say (i32.const 1) (local.get $slot))
        (if (i32.eq (i32.const 5) (call $text_read (i32.const 3) (i32.const 4096) (i32.const 0))) (then unreachable))
        (i32.const 0))"#;

fn trapping() -> Scope {
    let mut scope = scope();
    scope.request.uri = "/trap".parse().unwrap();
    scope
}

#[test]
fn a_trap_costs_one_exchange_and_the_guests_state() {
    let guest = guest(COUNTING);
    assert_eq!(guest.said()[0], 1);
    assert_eq!(guest.said()[0], 2);
    let (scope, outcome) = guest.call(Hook::RequestHead, trapping());
    assert!(matches!(outcome, Outcome::Refuse(Fault::Trap(_))));
    assert_eq!(said(&scope)[0], 3, "the record is as the guest left it");
    assert_eq!(guest.said()[0], 1, "a fresh instance");
    assert_eq!(guest.value("tidegate.plugin.restarts", &[]), 1.0);
    assert_eq!(guest.calls("request_head", "ok"), 3.0);
    assert_eq!(guest.calls("request_head", "trap"), 1.0);
}

#[test]
fn what_keeps_trapping_is_shut_out() {
    // Its state shows while no test beside this one loads a plugin of the same name.
    let guest = guest_with(COUNTING, |plugin| plugin.name = "shut-out".into());
    for _ in 0..5 {
        assert!(!guest.instance.is_resting());
        guest.call(Hook::RequestHead, trapping());
    }
    assert!(guest.instance.is_resting());
    assert_eq!(guest.loaded.resting(), 1);
    assert!(guest.loaded.rests_for().unwrap().starts_with("trap: "));
    assert_eq!(guest.value("tidegate.plugin.state", &[]), 0.5);
    assert_eq!(fault(&guest), Fault::Unavailable);
    assert_eq!(guest.calls("request_head", "unavailable"), 1.0);
    let Guest { instance, loaded, .. } = guest;
    drop(instance);
    assert_eq!((loaded.resting(), loaded.rests_for()), (0, None), "a worker that is gone is not in quarantine");
}

#[test]
fn slots_are_small_and_used_again_and_released_once() {
    let guest = guest(&format!(
        r#"{COUNTING}
           (global $released (mut i32) (i32.const 0))
           (func (export "tidegate_release") (param i32)
              (global.set $released (i32.add (global.get $released) (i32.const 1))))
           (func (export "tidegate_log") (param i32) (call $say (i32.const 2) (global.get $released)))"#
    ));
    let (first, second) = (guest.instance.open(), guest.instance.open());
    assert_eq!((first, second), (Slot(0), Slot(1)));
    let (scope, _) = guest.instance.call(Hook::RequestHead, second, scope());
    assert_eq!(said(&scope)[1], 1, "the guest sees the slot");
    guest.instance.release(second);
    guest.instance.release(first);
    assert_eq!(guest.instance.open(), first);
    let (scope, _) = guest.call(Hook::Log, answered(200));
    assert_eq!(field(&scope, "r2"), Some(&Value::Int(1)), "only the exchange that the guest had seen");
}

#[test]
fn hooks_that_take_turns_are_all_timed() {
    let guest = guest(&format!("{COUNTING} (func (export \"tidegate_log\") (param i32))"));
    for _ in 0..16 {
        guest.request();
        guest.call(Hook::Log, answered(200));
    }
    let timed = |hook: &str| guest.value("tidegate.plugin.hook.duration", &[("hook", hook)]);
    assert_eq!((timed("request_head"), timed("log")), (1.0, 1.0));
}

#[test]
fn an_instance_that_defines_something_else_does_not_run() {
    // The only value of its label set is random.
    let guest = guest(&format!(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
           (func (export "tidegate_configure") (result i32)
              (drop (call $random (i32.const 4112) (i32.const 8)))
              (i64.store (i32.const 4112) (i64.or (i64.const 0x4040404040404040)
                  (i64.and (i64.const 0x3f3f3f3f3f3f3f3f) (i64.load (i32.const 4112)))))
              (drop (call $define_label_set (i32.const 4099) (i32.const 21)))
              (i32.const 0))
           (data (i32.const 4099) "\01\00\00\00n\01\00\00\00\08\00\00\00")
           {}"#,
        on_request("")
    ));
    assert!(fault(&guest).to_string().contains("defined something else"));
    assert_eq!(guest.calls("configure", "trap"), 1.0);
}
