//! Every effect in every hook: where it can be used, where it cannot (*stage*), and what an operator who allows nothing denies.
//! It knows what the ABI promises of stages, and nothing of what an effect then does.

use serde_json::json;
use tidegate_abi::{Hook, status};

use super::case::{Case, Expect, Traffic, case, get, post};
use super::script::{CallOut, Metric, Step, Value, act};

/// Hooks of an exchange.
fn of_exchange(hook: Hook) -> bool {
    hook.has_exchange()
}

fn everywhere(_: Hook) -> bool {
    true
}

fn may_wait(hook: Hook) -> bool {
    !matches!(hook, Hook::Configure | Hook::HandOver | Hook::Log)
}

/// Before the request was sent. The matrix holds the request's body, so its hook is before that.
fn before_sending(hook: Hook) -> bool {
    matches!(hook, Hook::RequestHead | Hook::RequestBody)
}

/// Also for an attempt whose endpoint is known: whoever signs a request needs that.
fn head_is_open(hook: Hook) -> bool {
    before_sending(hook) || hook == Hook::UpstreamChosen
}

fn takes_answer(hook: Hook) -> bool {
    use Hook::{RequestBody, RequestHead, RequestTrailers, ResponseHead, Retry, UpstreamChosen, UpstreamError};
    matches!(hook, RequestHead | RequestBody | RequestTrailers | UpstreamChosen | UpstreamError | Retry | ResponseHead)
}

/// An effect with valid arguments, where it can be used, and whether an operator can deny it.
struct Effect {
    step: Step,
    possible: fn(Hook) -> bool,
    denied: bool,
}

fn acts(step: Step, possible: fn(Hook) -> bool) -> Effect {
    Effect { step, possible, denied: true }
}

fn reads(step: Step, possible: fn(Hook) -> bool) -> Effect {
    Effect { step, possible, denied: false }
}

/// Every effect but `refuse`, which returns nothing, and `log_line`, which writes the notes. The ones whose answer says nothing of the
/// stage (`answer_status`, `answer_read`, `number_read`, `span_end`: absent, or no such span) are in the cases.
fn effects() -> Vec<Effect> {
    fn configuring(hook: Hook) -> bool {
        hook == Hook::Configure
    }
    vec![
        reads(act!(config_read), everywhere),
        reads(act!(define_label_set: Value::LabelSet("matrix", Vec::new())), configuring),
        reads(act!(define_metric: Metric::new(1, "{self}.matrix.gauge")), configuring),
        reads(act!(tick_every: 300), configuring),
        reads(act!(state_read), configuring),
        reads(act!(state_write: "handed"), |hook| hook == Hook::HandOver),
        acts(act!(metric_add: 0, 0, 1.0), |hook| hook != Hook::Configure),
        acts(act!(metric_set: 0, 0, 1.0), |hook| hook != Hook::Configure),
        acts(act!(metric_record: 1, 0, 1.0), |hook| hook != Hook::Configure),
        acts(act!(log_field_text: "a", "b"), of_exchange),
        acts(act!(log_field_int: "a", 1), of_exchange),
        acts(act!(log_field_float: "a", 1.0), of_exchange),
        acts(act!(log_field_bool: "a", 1), of_exchange),
        acts(act!(span_start: 0, "matrix"), of_exchange),
        acts(act!(span_attribute_text: 0, "app.a", "b"), of_exchange),
        acts(act!(span_attribute_int: 0, "app.a", 1), of_exchange),
        acts(act!(span_attribute_float: 0, "app.a", 1.0), of_exchange),
        acts(act!(span_attribute_bool: 0, "app.a", 1), of_exchange),
        acts(act!(span_event: 0, "matrix"), of_exchange),
        acts(act!(span_status: 0, 1, ""), of_exchange),
        reads(act!(header_read: 0, "x-matrix", 0), of_exchange),
        reads(act!(headers_read: 0), of_exchange),
        acts(act!(header_set: 0, "x-matrix", "1"), head_is_open),
        acts(act!(header_add: 0, "x-matrix", "1"), head_is_open),
        acts(act!(header_remove: 0, "x-matrix"), head_is_open),
        reads(act!(text_read: 19), everywhere),
        acts(act!(correlation_set: "matrix", ""), |hook| hook == Hook::RequestHead),
        acts(act!(reply: 418, "", ""), takes_answer),
        acts(act!(body_mode: 1, 1, 0, 0), |hook| {
            matches!(hook, Hook::Configure | Hook::RequestHead | Hook::ResponseHead)
        }),
        reads(act!(body_read: 0), |hook| matches!(hook, Hook::RequestBody | Hook::ResponseBody)),
        acts(act!(body_append: ""), |hook| matches!(hook, Hook::RequestBody | Hook::ResponseBody)),
        acts(act!(body_replace: "matrix"), |hook| matches!(hook, Hook::RequestBody | Hook::ResponseBody)),
        acts(act!(route_set: "{self}"), |hook| hook == Hook::RequestHead),
        acts(act!(upstream_set: "{self}"), before_sending),
        acts(act!(timeout_set: 60_000), before_sending),
        acts(act!(limit_key_set: "matrix", "a"), |hook| hook == Hook::RequestHead),
        acts(act!(store_get: "a"), |hook| hook != Hook::Configure),
        acts(act!(store_set: "a", "b", 0), |hook| hook != Hook::Configure),
        acts(act!(store_swap: "a", "b", "c", 0), |hook| hook != Hook::Configure),
        acts(act!(store_remove: "a"), |hook| hook != Hook::Configure),
        reads(act!(sleep: 1), may_wait),
        acts(act!(call_out: CallOut::get("app", "/")), may_wait),
    ]
}

/// A plugin that does everything everywhere, and traffic that brings it to every hook.
fn everything(promise: &str, allow: &str) -> Case {
    let mut all = case(promise)
        .listens()
        .gathers()
        .plugin("budget: { log_lines: 100000, deadline: 1s, call_outs: 1000, spans: 1000, log_fields: 1000 }")
        .plugin(allow)
        .route("upstream: {self}, limits: [{self}]")
        // One attempt in two fails and is made again; an answer that is a failure opens the breaker.
        .upstreams(
            "{self}: { endpoints: [\"{nowhere}\", \"{origin}\"], breaker: { consecutive_failures: 1, open_for: 1h } }",
        )
        .limits("{self}: { key: global, rate: 1000/s, burst: 1000 }")
        .at(
            Hook::Configure,
            [
                act!(define_metric: Metric::new(1, "{self}.matrix.gauge")),
                act!(define_metric: Metric::new(2, "{self}.matrix.histogram")),
                act!(body_mode: 0, 3, 1024, 0),
                act!(body_mode: 1, 1, 0, 0),
            ],
        );
    for hook in Hook::ALL {
        let noted = |effect: Effect| {
            let name = note(hook, effect.step.effect);
            effect.step.note(name)
        };
        all = all.at(hook, effects().into_iter().map(noted).collect::<Vec<_>>());
    }
    all.send(post("/echo", ["hello"]).trailer("x-sum", "5").http2())
        .send(get("/trailers").header("te", "trailers").http2())
        .then(Traffic::Reconfigure(json!({ "generation": 2 })))
        .send(post("/echo", ["hello"]).trailer("x-sum", "5").http2())
        .send(get("/trailers").header("te", "trailers").http2())
        .send(get("/status/503"))
}

fn note(hook: Hook, effect: &str) -> String {
    format!("{}.{effect}", hook.name())
}

/// What must be noted, for each hook and effect.
fn promised(mut case: Case, allowed: bool) -> Case {
    let (stage, denied, invalid) = (status::STAGE.into(), status::DENIED.into(), status::INVALID.into());
    for hook in Hook::ALL {
        for effect in effects().into_iter().filter(|effect| !is_open(hook, effect.step.effect)) {
            let name = note(hook, effect.step.effect);
            case.expected.push(match ((effect.possible)(hook), allowed || !effect.denied) {
                (true, true) => Expect::NoneOf(name, vec![stage, denied, invalid]),
                (true, false) => Expect::Note(name, denied),
                (false, true) => Expect::Note(name, stage),
                // Either is true.
                (false, false) => Expect::OneOf(name, vec![stage, denied]),
            });
        }
    }
    case
}

/// Where this traffic decides it: trailers may come before or after a held body was sent.
fn is_open(hook: Hook, effect: &str) -> bool {
    hook == Hook::RequestTrailers
        && matches!(effect, "upstream_set" | "timeout_set" | "header_set" | "header_add" | "header_remove")
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        promised(everything("every effect can be used where the ABI says, and nowhere else", ""), true),
        promised(
            everything("what the operator does not allow is denied, in every hook", "allow: [log_lines, read_bodies]"),
            false,
        )
        .expect(
            [
                "metric",
                "log_field",
                "span",
                "attribute",
                "event",
                "header",
                "correlation",
                "reply",
                "body",
                "route",
                "upstream",
                "timeout",
                "limit_key",
                "store",
                "call_out",
            ]
            .map(|effect| Expect::Dropped(effect, "denied", 1)),
        ),
    ]
}
