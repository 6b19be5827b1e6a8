//! What a plugin adds to the log and to the trace: fields, lines, spans, attributes, events, status.
//! It knows no metrics; those are in `definitions`.

use tidegate_abi::Hook;

use super::{BUDGET, DENIED, INVALID, STAGE};
use crate::contract::case::{Case, Expect, case, get};
use crate::contract::script::{Value, act};

pub(in crate::contract) fn cases() -> Vec<Case> {
    vec![
        case("fields of every type stand in the exchange's line, a later one in the place of an earlier")
            .at(
                Hook::RequestHead,
                [
                    act!(log_field_text: "tenant", "early").note("text"),
                    act!(log_field_int: "rows", -42).note("int"),
                    act!(log_field_float: "share", 0.5).note("float"),
                    act!(log_field_bool: "cached", 1).note("bool"),
                ],
            )
            .at(Hook::Log, [act!(log_field_text: "tenant", "acme").note("again")])
            .send(get("/"))
            .expect(["text", "int", "float", "bool", "again"].map(|note| Expect::Note(note.to_owned(), 0)))
            .expect([
                Expect::Field("tenant", "acme".into()),
                Expect::Field("rows", (-42).into()),
                Expect::Field("share", 0.5.into()),
                Expect::Field("cached", true.into()),
            ]),
        case("fields under the proxy's own names, or under none, are invalid")
            .at(
                Hook::RequestHead,
                [
                    act!(log_field_text: "status", "500").note("text"),
                    act!(log_field_int: "trace_id", 1).note("int"),
                    act!(log_field_float: "no word", 1.0).note("float"),
                    act!(log_field_bool: "", 1).note("bool"),
                    act!(log_field_text: "long", Value::Long(8 * 1024 + 1)).note("long"),
                    act!(log_field_text: "bytes", &[0xff, b'a'][..]).note("bytes"),
                ],
            )
            .send(get("/"))
            .expect(["text", "int", "float", "bool", "long"].map(|note| Expect::Note(note.to_owned(), INVALID)))
            .notes("bytes", 0)
            .expect([
                Expect::Field("status", 200.into()),
                Expect::Field("bytes", "\u{fffd}a".into()),
                Expect::Dropped("log_field", "reserved", 2),
                Expect::Dropped("log_field", "invalid", 3),
            ]),
        case("fields beyond the budget are dropped and counted")
            .plugin("budget: { log_fields: 1 }")
            .at(
                Hook::RequestHead,
                [
                    act!(log_field_int: "first", 1).note("first"),
                    act!(log_field_text: "second", "2").note("text"),
                    act!(log_field_int: "second", 2).note("int"),
                    act!(log_field_float: "second", 2.0).note("float"),
                    act!(log_field_bool: "second", 1).note("bool"),
                    act!(log_field_int: "first", 3).note("once more"),
                ],
            )
            .send(get("/"))
            .notes("first", 0)
            .notes("once more", 0)
            .expect(["text", "int", "float", "bool"].map(|note| Expect::Note(note.to_owned(), BUDGET)))
            .expect([
                Expect::Field("first", 3.into()),
                Expect::Field("second", serde_json::Value::Null),
                Expect::Dropped("log_field", "budget", 4),
            ]),
        case("a plugin's lines have its name, and its level")
            .at(
                Hook::RequestHead,
                [
                    act!(log_line: 1, "careful").note("warn"),
                    act!(log_line: 0, "ouch").note("error"),
                    act!(log_line: 9, "no level").note("level 9"),
                ],
            )
            .send(get("/"))
            .notes("warn", 0)
            .notes("error", 0)
            .notes("level 9", INVALID)
            .expect([Expect::Line("warn", "careful"), Expect::Line("error", "ouch")]),
        case("lines beyond the budget are dropped and counted")
            .plugin("budget: { log_lines: 5 }")
            .at(Hook::RequestHead, [act!(log_line: 2, "spam").times(200).note("spam")])
            .send(get("/"))
            .notes("spam", BUDGET)
            .expect([Expect::Dropped("log_line", "budget", 100)]),
        case("lines that the operator does not allow are denied and counted")
            .plugin("allow: [log_fields]")
            .at(Hook::RequestHead, [act!(log_line: 2, "hello").note("line")])
            .send(get("/"))
            .notes("line", DENIED)
            .expect([Expect::Dropped("log_line", "denied", 1)]),
        case("spans are children of the exchange's, or of each other, with what was said of them")
            .at(
                Hook::RequestHead,
                [
                    act!(span_start: 0, "look up").note("outer"),
                    act!(span_start: Value::Of("outer"), "row").note("inner"),
                    act!(span_attribute_text: Value::Of("inner"), "app.table", "users").note("text"),
                    act!(span_attribute_int: Value::Of("inner"), "app.rows", 3).note("int"),
                    act!(span_attribute_float: Value::Of("inner"), "app.share", 0.25).note("float"),
                    act!(span_attribute_bool: 0, "app.cached", 1).note("bool"),
                    act!(span_event: Value::Of("inner"), "found").note("event"),
                    act!(span_status: Value::Of("inner"), 2, "was too slow").note("status"),
                    act!(span_end: Value::Of("inner")).note("end"),
                ],
            )
            .send(get("/"))
            .notes("outer", 1)
            .notes("inner", 2)
            .expect(
                ["text", "int", "float", "bool", "event", "status", "end"].map(|note| Expect::Note(note.to_owned(), 0)),
            )
            .expect([
                Expect::Span("look up", None),
                Expect::Span("row", Some(("app.table", "users"))),
                Expect::Span("row", Some(("app.rows", "3"))),
                Expect::Span("row", Some(("app.share", "0.25"))),
                Expect::Span("server", Some(("app.cached", "true"))),
                Expect::SpanEvent("row", "found"),
                Expect::SpanStatus("row", 2),
            ]),
        case("what names no span of the plugin's, or cannot be said of one, is invalid")
            .at(
                Hook::RequestHead,
                [
                    act!(span_start: 0, "").note("start"),
                    act!(span_start: 7, "child of none").note("start below none"),
                    act!(span_end: 7).note("end"),
                    act!(span_attribute_text: 0, "no word", "a").note("text"),
                    act!(span_attribute_int: 7, "app.a", 1).note("int"),
                    act!(span_attribute_float: 7, "app.a", 1.0).note("float"),
                    act!(span_attribute_bool: 0, "", 1).note("bool"),
                    act!(span_event: 0, "").note("event"),
                    act!(span_status: 0, 9, "").note("status"),
                ],
            )
            .send(get("/"))
            .expect(
                ["start", "start below none", "end", "text", "int", "float", "bool", "event", "status"]
                    .map(|note| Expect::Note(note.to_owned(), INVALID)),
            ),
        many_attributes(),
        case("a span that is not ended ends with the exchange")
            .at(Hook::RequestHead, [act!(span_start: 0, "open end").note("open")])
            .at(Hook::Log, [act!(span_end: 1).note("late end")])
            .send(get("/"))
            .notes("late end", 0)
            .expect([Expect::Span("open end", Some(("tidegate.plugin", "{self}")))]),
        case("without an exchange there is no span and no field")
            .at(Hook::Configure, [act!(tick_every: 100), act!(span_start: 0, "none").note("in configure")])
            .at(Hook::Tick, [act!(log_field_int: "a", 1).note("field"), act!(span_event: 0, "none").note("event")])
            .notes("in configure", STAGE)
            .notes("field", STAGE)
            .notes("event", STAGE),
    ]
}

/// Spans by the budget, attributes and events by the ABI's own limit.
fn many_attributes() -> Case {
    let mut steps = vec![
        act!(span_start: 0, "first").note("first"),
        act!(span_start: 0, "second").note("second"),
        act!(span_event: 0, "tick").times(200).note("event"),
    ];
    for number in 0..128 {
        steps.push(act!(span_attribute_int: 0, &*format!("app.a{number}"), 1));
    }
    steps.extend([
        act!(span_attribute_int: 0, "app.more", 1).note("int"),
        act!(span_attribute_text: 0, "app.more", "1").note("text"),
        act!(span_attribute_float: 0, "app.more", 1.0).note("float"),
        act!(span_attribute_bool: 0, "app.more", 1).note("bool"),
    ]);
    case("spans, attributes and events beyond the budget are dropped and counted")
        .plugin("budget: { spans: 1 }")
        .at(Hook::RequestHead, steps)
        .send(get("/"))
        .notes("first", 1)
        .expect(["second", "event", "int", "text", "float", "bool"].map(|note| Expect::Note(note.to_owned(), BUDGET)))
        .expect([
            Expect::Dropped("span", "budget", 1),
            Expect::Dropped("event", "budget", 72),
            Expect::Dropped("attribute", "budget", 4),
        ])
}
