//! What a plugin defines: its configuration, label sets, metrics and its tick, and what the metrics then say in a scrape.
//! It knows no other hook than those in which that shows.

use serde_json::json;
use tidegate_abi::Hook;

use super::{ABSENT, BUDGET, CONFLICT, INVALID, STAGE};
use crate::contract::case::{Case, Expect, Traffic, case, get};
use crate::contract::script::{End, Metric, Value, act};

fn labels(values: &[&str]) -> Value {
    Value::LabelSet("kind", values.iter().map(|value| (*value).to_owned()).collect())
}

pub(in crate::contract) fn cases() -> Vec<Case> {
    vec![
        case("the plugin reads its configuration as JSON, in every hook")
            .config(json!({ "tenant": "acme" }))
            .at(Hook::Configure, [act!(config_read).text("early")])
            .at(Hook::RequestHead, [act!(config_read).text("late"), act!(config_read).note("length")])
            .send(get("/"))
            .reads("early", r#"{"tenant":"acme"}"#)
            .reads("late", r#"{"tenant":"acme"}"#)
            .notes("length", 17),
        case("a plugin that refuses its configuration is not loaded, and says why")
            .at(Hook::Configure, [act!(refuse: "the moon is full")])
            .ends(Hook::Configure, [End::Fail])
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Scrape("tidegate_plugin_state", vec![("plugin", "{self}")], 0.0)]),
        case("what a hook refuses with is the reason of its fault")
            .plugin("on_failure: closed")
            .at(Hook::RequestHead, [act!(refuse: "not on my watch")])
            .ends(Hook::RequestHead, [End::Fail])
            .send(get("/"))
            .expect([
                Expect::Status(500),
                Expect::Reason("plugin_failed"),
                Expect::Calls(Hook::RequestHead, "failed", 1),
            ]),
        case("label sets and metrics are numbered from 0, and the same again is the same")
            .at(
                Hook::Configure,
                [
                    act!(define_label_set: labels(&["a", "b"])).note("set"),
                    act!(define_label_set: labels(&["a", "b"])).note("again"),
                    act!(define_label_set: labels(&["a"])).note("otherwise"),
                    act!(define_metric: Metric::new(0, "{self}.requests").unit("{request}").labels([0]))
                        .note("counter"),
                    act!(define_metric: Metric::new(1, "{self}.level")).note("gauge"),
                    act!(define_metric: Metric::new(0, "{self}.level")).note("other kind"),
                    act!(define_metric: Metric::new(2, "{self}.size").unit("By").buckets([10.0, 100.0]))
                        .note("histogram"),
                ],
            )
            .at(
                Hook::Log,
                [
                    act!(metric_add: 0, 0, 2.0).note("add"),
                    act!(metric_add: 0, 2, 1.0).note("add other"),
                    act!(metric_set: 1, 0, 7.5).note("set level"),
                    act!(metric_add: 1, 0, -2.0).note("lower level"),
                    act!(metric_record: 2, 0, 50.0).note("record"),
                    act!(metric_add: 0, 0, -1.0).note("down"),
                    act!(metric_set: 0, 0, 1.0).note("set a counter"),
                    act!(metric_record: 0, 0, 1.0).note("record a counter"),
                    act!(metric_add: 9, 0, 1.0).note("no metric"),
                    act!(metric_add: 0, 0, f64::NAN).note("no number"),
                ],
            )
            .send(get("/"))
            .notes("set", 0)
            .notes("again", 0)
            .notes("otherwise", CONFLICT)
            .notes("counter", 0)
            .notes("gauge", 1)
            .notes("other kind", CONFLICT)
            .notes("histogram", 2)
            .notes("add", 0)
            .notes("add other", 0)
            .notes("set level", 0)
            .notes("lower level", 0)
            .notes("record", 0)
            .notes("down", INVALID)
            .notes("set a counter", INVALID)
            .notes("record a counter", INVALID)
            .notes("no metric", INVALID)
            .notes("no number", INVALID)
            .expect([
                Expect::Scrape("{self}_requests_total", vec![("plugin", "{self}"), ("kind", "a")], 2.0),
                Expect::Scrape("{self}_requests_total", vec![("plugin", "{self}"), ("kind", "other")], 1.0),
                Expect::Scrape("{self}_level", vec![("plugin", "{self}")], 5.5),
                Expect::Scrape("{self}_size_bytes_bucket", vec![("plugin", "{self}"), ("le", "100")], 1.0),
                Expect::Scrape("{self}_size_bytes_sum", vec![("plugin", "{self}")], 50.0),
                Expect::Dropped("metric", "invalid", 5),
            ]),
        case("what cannot be a label set or a metric is invalid, and nothing is defined by it")
            .at(
                Hook::Configure,
                [
                    act!(define_label_set: Value::LabelSet("plugin", vec![])).note("plugin's label"),
                    act!(define_label_set: Value::LabelSet("no word", vec![])).note("no word"),
                    act!(define_label_set_bytes: "cut").note("cut set"),
                    act!(define_metric: Metric::new(0, "http.mine")).note("the proxy's name"),
                    act!(define_metric: Metric::new(7, "mine")).note("no kind"),
                    act!(define_metric: Metric::new(0, "mine").labels([5])).note("no such set"),
                    act!(define_metric: Metric::new(2, "mine").buckets([2.0, 1.0])).note("falling buckets"),
                    act!(define_metric_bytes: "cut").note("cut metric"),
                    act!(tick_every: 5).note("too often"),
                    act!(tick_every: 3_600_001).note("too seldom"),
                ],
            )
            .at(Hook::Log, [])
            .send(get("/"))
            .expect(
                [
                    "plugin's label",
                    "no word",
                    "cut set",
                    "the proxy's name",
                    "no kind",
                    "no such set",
                    "falling buckets",
                    "cut metric",
                    "too often",
                    "too seldom",
                ]
                .map(|note| Expect::Note(note.to_owned(), INVALID)),
            ),
        many_definitions(),
        case("series beyond the budget count in one more, and nothing is lost")
            .plugin("budget: { series: 2 }")
            .at(
                Hook::Configure,
                [
                    act!(define_label_set: Value::LabelSet("kind", (0..5).map(|n| format!("v{n}")).collect())),
                    act!(define_metric: Metric::new(0, "{self}.many").labels([0])),
                ],
            )
            .at(Hook::Log, (0..5).map(|series| act!(metric_add: 0, series, 1.0).note("add")).collect::<Vec<_>>())
            .send(get("/"))
            .notes("add", 0)
            .expect([
                Expect::Scrape("{self}_many_total", vec![("kind", "other")], 3.0),
                Expect::Dropped("series", "budget", 3),
            ]),
        case("tick is called at its interval, without traffic")
            .at(Hook::Configure, [act!(tick_every: 100).note("every")])
            .at(Hook::Tick, [act!(text_read: 19).text("who"), act!(text_read: 0).note("no exchange")])
            .notes("every", 0)
            .reads("who", "{self}")
            .notes("no exchange", STAGE)
            .expect([Expect::Calls(Hook::Tick, "ok", 0)]),
        case("the first instance was handed nothing over")
            .at(Hook::Configure, [act!(state_read).note("state")])
            .notes("state", ABSENT),
        case("what one generation hands over is what the next one reads")
            .config(json!({ "generation": 1 }))
            .at(Hook::Configure, [act!(state_read).text("read")])
            .at(
                Hook::HandOver,
                [
                    act!(state_write: "not this").note("first"),
                    act!(state_write: "the sum is 7").note("write"),
                    act!(state_write: Value::Long(1024 * 1024 + 1)).note("too long"),
                    act!(state_read).note("read elsewhere"),
                ],
            )
            .at(Hook::Log, [])
            .send(get("/"))
            .then(Traffic::Reconfigure(json!({ "generation": 2 })))
            .send(get("/"))
            .notes("first", 0)
            .notes("write", 0)
            .notes("too long", BUDGET)
            .notes("read elsewhere", STAGE)
            .expect([
                Expect::Status(200),
                Expect::Last("read", "the sum is 7"),
                Expect::Calls(Hook::HandOver, "ok", 1),
            ]),
    ]
}

/// Sets and metrics are limited: at most 256 of each.
fn many_definitions() -> Case {
    let mut steps = Vec::new();
    for number in 0..257 {
        let name: &'static str = Box::leak(format!("set{number}").into_boxed_str());
        let set = act!(define_label_set: Value::LabelSet(name, Vec::new()));
        steps.push(if number == 256 { set.note("set 257") } else { set });
    }
    for number in 0..257 {
        let name: &'static str = Box::leak(format!("{{self}}.metric{number}").into_boxed_str());
        let metric = act!(define_metric: Metric::new(0, name));
        steps.push(if number == 256 { metric.note("metric 257") } else { metric });
    }
    case("at most 256 label sets and 256 metrics are defined")
        .at(Hook::Configure, steps)
        .notes("set 257", BUDGET)
        .notes("metric 257", BUDGET)
}
