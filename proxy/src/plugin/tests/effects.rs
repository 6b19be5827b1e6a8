//! Metrics, log fields and spans, with their budgets.

use tidegate_abi::SpanStatus;

use super::*;

/// A counter `hits` by `tenant` (acme, globex), a gauge `level`, and a histogram `took` with one bucket.
const DEFINE: &str = r#"
    (func (export "tidegate_configure") (result i32)
        (if (call $define_label_set @"\06\00\00\00tenant\02\00\00\00\04\00\00\00acme\06\00\00\00globex") (then unreachable))
        (if (call $define_metric
            @"\00\00\00\00\04\00\00\00hits\00\00\00\00\04\00\00\00Hits\01\00\00\00\00\00\00\00\00\00\00\00") (then unreachable))
        (if (i32.ne (i32.const 1) (call $define_metric
            @"\01\00\00\00\05\00\00\00level\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")) (then unreachable))
        (if (i32.ne (i32.const 2) (call $define_metric
            @"\02\00\00\00\04\00\00\00took\01\00\00\00s\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\f0\3f")) (then unreachable))
        ;; The same again has the same number, another shape is a conflict, an unknown set is invalid.
        (if (call $define_label_set @"\06\00\00\00tenant\02\00\00\00\04\00\00\00acme\06\00\00\00globex") (then unreachable))
        (if (i32.ne (i32.const -6) (call $define_label_set @"\06\00\00\00tenant\00\00\00\00")) (then unreachable))
        (if (i32.ne (i32.const -3) (call $define_label_set @"\06\00\00\00plugin\00\00\00\00")) (then unreachable))
        (if (i32.ne (i32.const -3) (call $define_label_set @"\06\00\00\00tena")) (then unreachable))
        (if (i32.ne (i32.const -4) (call $metric_add (i32.const 0) (i32.const 0) (f64.const 1))) (then unreachable))
        (if (i32.ne (i32.const -3) (call $tick_every (i64.const 5))) (then unreachable))
        (call $tick_every (i64.const 500)))
    (func (export "tidegate_tick") (param i32) (result i32)
        (drop (call $metric_add (i32.const 1) (i32.const 0) (f64.const 10))) (i32.const 0))"#;

#[test]
fn metrics_arrive_under_their_names_and_labels() {
    let guest = guest(&format!(
        "{DEFINE} {}",
        on_request(
            r#"(call $say (i32.const 0) (call $metric_add (i32.const 0) (i32.const 1) (f64.const 2)))
               (call $say (i32.const 1) (call $metric_add (i32.const 0) (i32.const 2) (f64.const 1)))
               (call $say (i32.const 2) (call $metric_set (i32.const 1) (i32.const 0) (f64.const 0.5)))
               (call $say (i32.const 3) (call $metric_record (i32.const 2) (i32.const 0) (f64.const 0.25)))
               (call $say (i32.const 4) (call $metric_add (i32.const 0) (i32.const 3) (f64.const 1)))
               (call $say (i32.const 5) (call $metric_add (i32.const 0) (i32.const 0) (f64.const -1)))
               (call $say (i32.const 6) (call $metric_set (i32.const 0) (i32.const 0) (f64.const 1)))
               (call $say (i32.const 7) (call $define_label_set @""))"#
        )
    ));
    assert_eq!(guest.said(), [0, 0, 0, 0, -3, -3, -3, -4]);
    assert_eq!(guest.value("hits", &[("tenant", "globex")]), 2.0);
    assert_eq!(guest.value("hits", &[("tenant", "other")]), 1.0);
    assert_eq!(guest.value("level", &[]), 0.5);
    assert_eq!(guest.value("took", &[]), 1.0);
    assert_eq!(guest.dropped("metric", "invalid"), 3.0);
    assert_eq!(guest.loaded.tick_interval(), Some(Duration::from_millis(500)));
    let slot = guest.instance.open();
    guest.instance.call_with(Hook::Tick, slot, None, Matter::default());
    assert_eq!(guest.value("level", &[]), 10.5);
    assert_eq!(guest.calls("tick", "ok"), 1.0);
}

#[test]
fn series_beyond_the_budget_count_as_other_over_all_workers() {
    let values: String = (0..20).map(|n| format!(r"\02\00\00\00{n:02}")).collect();
    let body = format!(
        r#"(func (export "tidegate_configure") (result i32)
              (drop (call $define_label_set @"\01\00\00\00n\14\00\00\00{values}"))
              (drop (call $define_metric @"\00\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00"))
              (i32.const 0))
           (global $next (mut i32) (i32.const 0))
           {}"#,
        on_request(
            "(call $say (i32.const 0) (call $metric_add (i32.const 0) (global.get $next) (f64.const 1)))
             (global.set $next (i32.add (global.get $next) (i32.const 1)))"
        )
    );
    let guest = guest(&body);
    let other = Instance::new(&guest.loaded, &guest.shard, Rc::default(), None);
    for _ in 0..10 {
        assert_eq!(guest.said(), [0]);
        other.call(Hook::RequestHead, other.open(), scope());
    }
    let series = guest.metrics();
    let points = &series.families.iter().find(|family| family.family.definition().name == "m").unwrap().points;
    assert_eq!(points.len(), 4 + 1, "the budget, and the overflow");
    assert_eq!(points.iter().map(|point| point.value.as_f64()).sum::<f64>(), 20.0, "nothing is lost");
    assert_eq!(guest.value("m", &[("n", "other")]), 12.0);
    assert_eq!(guest.dropped("series", "budget"), 12.0);
    assert_eq!(guest.value("tidegate.plugin.series", &[]), 4.0);
}

#[test]
fn log_fields_are_typed_bounded_and_cannot_take_the_proxys_names() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $log_field_text @"kind" @"a\ffi"))
           (call $say (i32.const 1) (call $log_field_float @"score" (f64.const 0.5)))
           (call $say (i32.const 2) (call $log_field_bool @"known" (i32.const 1)))
           (call $say (i32.const 3) (call $log_field_text @"status" @"fake"))
           (call $say (i32.const 4) (call $log_field_text @"two words" @"x"))
           (drop (call $log_field_int @"beyond" (i64.const 1)))
           (drop (call $log_field_text @"kind" @"api"))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(said(&scope), [0, 0, 0, -3, -3]);
    assert_eq!(text(&scope, "kind"), "api");
    assert_eq!(field(&scope, "score"), Some(&Value::Float(0.5)));
    assert_eq!(field(&scope, "known"), Some(&Value::Bool(true)));
    assert_eq!(field(&scope, "beyond"), None, "eight fields are the budget");
    assert_eq!(guest.dropped("log_field", "budget"), 1.0);
    assert_eq!(guest.dropped("log_field", "reserved"), 1.0);
}

#[test]
fn spans_have_parents_attributes_events_and_a_budget() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $span_start (i32.const 0) @"look up"))
           (call $say (i32.const 1) (call $span_start (i32.const 1) @"cache"))
           (call $say (i32.const 2) (call $span_start (i32.const 9) @"orphan"))
           (call $say (i32.const 3) (call $span_end (i32.const 2)))
           (drop (call $span_attribute_int (i32.const 2) @"app.hits" (i64.const 3)))
           (drop (call $span_attribute_text (i32.const 0) @"app.tenant" @"acme"))
           (drop (call $span_event (i32.const 1) @"miss"))
           (drop (call $span_status (i32.const 1) (i32.const 2) @"gone"))
           (call $say (i32.const 4) (call $span_end (i32.const 0)))
           (drop (call $span_start (i32.const 0) @"third"))
           (call $say (i32.const 5) (call $span_start (i32.const 0) @"fourth"))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(said(&scope), [1, 2, -3, 0, -3, -2]);
    let [outer, inner, _] = &scope.spans[..] else { panic!("{:?}", scope.spans) };
    assert_eq!((&*outer.name, outer.parent, outer.ended), ("look up", None, None));
    assert_eq!((&*inner.name, inner.parent, inner.ended.is_some()), ("cache", Some(0), true));
    assert_ne!(outer.id, inner.id);
    assert_eq!(inner.detail.attributes, [("app.hits".into(), Value::Int(3))]);
    assert_eq!(&*outer.detail.events[0].1, "miss");
    assert_eq!(outer.detail.status, Some((SpanStatus::Error, "gone".into())));
    assert_eq!(scope.span.attributes, [("app.tenant".into(), Value::Text("acme".into()))]);
    assert_eq!(guest.dropped("span", "budget"), 1.0);
}

#[test]
fn a_plugin_cannot_touch_the_spans_of_another() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $span_start (i32.const 0) @"mine"))
           (call $say (i32.const 1) (call $span_end (i32.const 1)))"#,
    ));
    let other = guest_with(&on_request(r#"(call $say (i32.const 0) (call $span_end (i32.const 1)))"#), |plugin| {
        plugin.name = "other".into();
    });
    let (scope, _) = guest.request();
    let (scope, _) = other.call(Hook::RequestHead, scope);
    assert_eq!(field(&scope, "r0"), Some(&Value::Int(-3)));
}

#[test]
fn budgets_are_of_one_exchange() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $span_start (i32.const 0) @"a"))
           (call $say (i32.const 1) (call $span_start (i32.const 0) @"b"))"#,
    ));
    // The same slot again and again, but each time another exchange.
    for _ in 0..5 {
        assert_eq!(guest.said(), [1, 2]);
    }
}

#[test]
fn log_lines_are_bounded_per_second() {
    let guest = guest(&on_request(
        r#"(local $n i32)
           (call $say (i32.const 0) (call $log_line (i32.const 2) @"hello"))
           (call $say (i32.const 1) (call $log_line (i32.const 9) @"hello"))
           (loop $again
              (call $say (i32.const 2) (call $log_line (i32.const 3) @"spam"))
              (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(&said(&scope)[..2], [0, -3]);
    assert!(guest.dropped("log_line", "budget") > 0.0);
}

#[test]
fn the_bytes_of_log_fields_are_bounded_for_each_plugin() {
    let guest = guest(&on_request(
        r#"(call $say (i32.const 0) (call $log_field_text @"a" (i32.const 2048) (i32.const 8192)))
           (call $say (i32.const 1) (call $log_field_text @"b" (i32.const 2048) (i32.const 8192)))
           (call $say (i32.const 2) (call $log_field_text @"a" @"short"))
           (call $say (i32.const 3) (call $log_field_text @"b" (i32.const 2048) (i32.const 8192)))
           (call $say (i32.const 4) (call $log_field_text @"a" (i32.const 2048) (i32.const 8192)))"#,
    ));
    let (scope, _) = guest.request();
    assert_eq!(said(&scope), [0, -2, 0, 0, -2], "what is replaced makes room");
    assert_eq!(text(&scope, "a"), "short");
    assert_eq!(text(&scope, "b").len(), 8192);
    assert_eq!(guest.dropped("log_field", "budget"), 2.0);
    let (again, _) = guest.request();
    assert_eq!(said(&again), [0, -2, 0, 0, -2], "each exchange has its own");
    let other = Instance::new(
        &load_bytes(
            &guest.registry,
            &wat::parse_str(module(&on_request(
                r#"(drop (call $log_field_text @"c" (i32.const 2048) (i32.const 8192)))"#,
            )))
            .unwrap(),
            |plugin| plugin.name = "other".into(),
        )
        .unwrap(),
        &guest.shard,
        Rc::default(),
        None,
    );
    let (both, _) = other.call(Hook::RequestHead, other.open(), again);
    assert_eq!(text(&both, "c").len(), 8192, "and so has each plugin");
}
