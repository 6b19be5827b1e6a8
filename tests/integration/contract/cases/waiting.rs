//! Waiting: timers, call-outs and their answers, and what becomes of them when the client leaves.
//! It knows nothing of how the host carries them out.

use tidegate_abi::{Hook, answer};

use super::{ABSENT, BUDGET, FAILED, INVALID, STAGE};
use crate::contract::case::{Case, Expect, case, get, post};
use crate::contract::script::{CallOut, End, Value, act};

fn ask(path: &'static str) -> CallOut {
    CallOut::get("app", path)
}

pub(in crate::contract) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("a hook sleeps, and the exchange goes on when it is resumed")
            .at(
                Hook::RequestHead,
                [act!(sleep: 30).note("ticket"), act!(answer_status: Value::Of("ticket")).note("early")],
            )
            .resumed(
                Hook::RequestHead,
                [
                    act!(answer_status: Value::Ticket).note("woke"),
                    act!(answer_read: Value::Ticket, answer::BODY).note("no answer"),
                    act!(header_set: 0, "x-awake", "1").note("header"),
                ],
            )
            .send(get("/"))
            .expect([Expect::Positive("ticket"), Expect::UpstreamHeader("x-awake", "1".to_owned())])
            .notes("early", ABSENT)
            .notes("woke", 0)
            .notes("no answer", ABSENT)
            .notes("header", 0)
            .expect([
                Expect::Status(200),
                Expect::Calls(Hook::RequestHead, "pending", 1),
                Expect::Calls(Hook::RequestHead, "ok", 1),
            ]),
        case("times that are none are invalid")
            .at(Hook::RequestHead, [act!(sleep: -1).note("back"), act!(sleep: 3_600_001).note("too long")])
            .send(get("/"))
            .notes("back", INVALID)
            .notes("too long", INVALID),
        case("a call-out asks an upstream; its answer is read when the hook is resumed")
            .at(
                Hook::RequestHead,
                [act!(call_out: ask("/status/418").header("x-key", "{self}").post("who?")).note("ticket")],
            )
            .resumed(
                Hook::RequestHead,
                [
                    act!(answer_status: Value::Ticket).note("status"),
                    act!(answer_read: Value::Ticket, answer::BODY).text("body"),
                    act!(answer_read: Value::Ticket, answer::HEADERS).text("headers"),
                    act!(answer_read: Value::Ticket, answer::ERROR).note("no error"),
                    act!(answer_read: Value::Ticket, 9).note("no part"),
                    act!(answer_status: 99).note("no ticket"),
                ],
            )
            .send(get("/"))
            .notes("status", 418)
            .reads("body", "as asked")
            .expect([Expect::TextHas("headers".to_owned(), "content-length")])
            .notes("no error", ABSENT)
            .notes("no part", INVALID)
            .notes("no ticket", ABSENT)
            .expect([
                Expect::Status(200),
                Expect::Upstream(2),
                Expect::Scrape(
                    "tidegate_plugin_call_outs_total",
                    vec![("plugin", "{self}"), ("upstream", "app"), ("outcome", "ok")],
                    1.0,
                ),
                Expect::Span("POST", Some(("tidegate.plugin", "{self}"))),
                Expect::Span("POST", Some(("http.response.status_code", "418"))),
            ]),
        case("a call-out that fails says why")
            .at(Hook::RequestHead, [act!(call_out: CallOut::get("{self}", "/")).note("ticket")])
            .resumed(
                Hook::RequestHead,
                [
                    act!(answer_status: Value::Ticket).note("status"),
                    act!(answer_read: Value::Ticket, answer::ERROR).text("error"),
                    act!(answer_read: Value::Ticket, answer::BODY).note("body"),
                ],
            )
            .upstreams("{self}: { endpoints: [\"{nowhere}\"] }")
            .send(get("/"))
            .notes("status", FAILED)
            .reads("error", "connect_failed")
            .notes("body", ABSENT)
            .expect([
                Expect::Status(200),
                Expect::Scrape(
                    "tidegate_plugin_call_outs_total",
                    vec![("plugin", "{self}"), ("outcome", "failed")],
                    1.0,
                ),
            ]),
        case("a call-out is given up after its time")
            .at(Hook::RequestHead, [act!(call_out: ask("/hang").milliseconds(50)).note("ticket")])
            .resumed(
                Hook::RequestHead,
                [
                    act!(answer_status: Value::Ticket).note("status"),
                    act!(answer_read: Value::Ticket, answer::ERROR).text("error"),
                ],
            )
            .send(get("/"))
            .notes("status", FAILED)
            .reads("error", "timeout")
            .expect([Expect::Status(200)]),
        case("an answer that is too large is none")
            .at(Hook::RequestHead, [act!(call_out: ask("/bytes/1048577")).note("ticket")])
            .resumed(Hook::RequestHead, [act!(answer_read: Value::Ticket, answer::ERROR).text("error")])
            .send(get("/"))
            .reads("error", "upstream_body_too_large")
            .expect([Expect::Status(200)]),
        case("what is no request to an upstream is invalid")
            .at(
                Hook::RequestHead,
                [
                    act!(call_out: CallOut::get("no such", "/")).note("no upstream"),
                    act!(call_out: CallOut { method: "G T", ..ask("/") }).note("no method"),
                    act!(call_out: ask("no path")).note("no path"),
                    act!(call_out: ask("/").header("x y", "1")).note("no header"),
                    act!(call_out: ask("/").milliseconds(3_600_001)).note("too long"),
                    act!(call_out_bytes: "cut").note("cut"),
                    act!(call_out: ask("/").post(vec![b'x'; 1024 * 1024 + 1])).note("large"),
                ],
            )
            .send(get("/"))
            .expect(
                ["no method", "no path", "no header", "too long", "cut"]
                    .map(|note| Expect::Note(note.to_owned(), INVALID)),
            )
            .notes("no upstream", ABSENT)
            .notes("large", BUDGET)
            .expect([Expect::Status(200), Expect::Upstream(1)]),
        case("call-outs beyond the budget are not made, and counted")
            .plugin("budget: { call_outs: 2 }")
            .at(
                Hook::RequestHead,
                [
                    act!(call_out: ask("/slow/50")).note("one"),
                    act!(call_out: ask("/slow/50")).note("two"),
                    act!(call_out: ask("/slow/50")).note("three"),
                ],
            )
            .resumed(Hook::RequestHead, [])
            .resume_ends(Hook::RequestHead, [End::Pending, End::Continue])
            .send(get("/"))
            .notes("three", BUDGET)
            .expect([Expect::Status(200), Expect::Upstream(3), Expect::Dropped("call_out", "budget", 1)]),
        case("sleepers beyond what an instance may have are refused")
            .at(Hook::RequestHead, [act!(sleep: 10_000).times(10_001).note("sleep")])
            .plugin("budget: { deadline: 1s }")
            .send(get("/"))
            .notes("sleep", BUDGET)
            .expect([Expect::Status(200)]),
        case("a hook that waits for two answers is resumed with each")
            .at(Hook::RequestHead, [act!(sleep: 20).note("a"), act!(call_out: ask("/slow/80")).note("b")])
            .resumed(Hook::RequestHead, [act!(answer_status: Value::Ticket).note("each")])
            .resume_ends(Hook::RequestHead, [End::Pending, End::Continue])
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Texts("each".to_owned(), vec!["0", "200"])]),
        case("waiting for nothing is a fault")
            .plugin("on_failure: closed")
            .at(Hook::RequestHead, [])
            .ends(Hook::RequestHead, [End::Pending])
            .send(get("/"))
            .expect([Expect::Status(500), Expect::Reason("plugin_trap"), Expect::Calls(Hook::RequestHead, "trap", 1)]),
        case("what a hook started and did not wait for is given up")
            .at(Hook::RequestHead, [act!(sleep: 3_000_000).note("ticket"), act!(call_out: ask("/hang")).note("call")])
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Positive("ticket")]),
        case("in log there is nothing left to wait for")
            .at(Hook::Log, [act!(sleep: 10).note("sleep"), act!(call_out: ask("/")).note("call")])
            .at(
                Hook::RequestHead,
                [act!(answer_read: 1, answer::BODY).note("no answer"), act!(answer_status: 1).note("no ticket")],
            )
            .send(get("/"))
            .notes("sleep", STAGE)
            .notes("call", STAGE)
            .notes("no ticket", ABSENT)
            .expect([Expect::Upstream(1)]),
        case("a client that leaves is not waited for: the exchange is released, and the call-out ends")
            .at(Hook::RequestHead, [act!(call_out: ask("/hang")).note("ticket")])
            .resumed(Hook::RequestHead, [act!(log_field_int: "resumed", 1).note("resumed")])
            .at(Hook::Log, [act!(text_read: 17).text("reason")])
            .send(get("/").leaves())
            .reads("reason", "client_closed")
            .expect([Expect::Texts("resumed".to_owned(), Vec::new()), Expect::Upstream(1)]),
    ];
    cases.extend([Hook::RequestHead, Hook::UpstreamChosen, Hook::ResponseHead].map(waits));
    cases.push(waits(Hook::RequestBody));
    cases.push(waits(Hook::ResponseBody));
    cases.push(waits(Hook::RequestTrailers));
    cases.push(waits(Hook::ResponseTrailers));
    cases.push(
        waits(Hook::UpstreamError)
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\"] }")
            .without(&Expect::Status(200)),
    );
    cases.push(
        waits(Hook::Retry)
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\", \"127.0.0.1:1\"] }")
            .without(&Expect::Status(200)),
    );
    cases.extend([Hook::RequestHead, Hook::RequestBody, Hook::RequestTrailers].map(answers));
    cases.extend([Hook::UpstreamChosen, Hook::ResponseHead].map(answers));
    cases.push(
        answers(Hook::UpstreamError).route("upstream: {self}").upstreams("{self}: { endpoints: [\"{nowhere}\"] }"),
    );
    cases.push(
        answers(Hook::Retry)
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\", \"127.0.0.1:1\"] }"),
    );
    cases
}

/// Every hook that may answer may wait before it does.
fn answers(hook: Hook) -> Case {
    case(format!("{} answers once it has waited", hook.name()))
        .at(hook, [act!(call_out: ask("/status/204")).note("ticket")])
        .resumed(hook, [act!(reply: 403, "", "no entry").note("reply")])
        .resume_ends(hook, [End::Reply])
        .send(match hook {
            Hook::RequestBody => post("/", ["hello"]),
            Hook::RequestTrailers => post("/", ["hello"]).header("trailer", "x-sum").trailer("x-sum", "5").http2(),
            _ => get("/bytes/3"),
        })
        .notes("reply", 0)
        .expect([
            Expect::Status(403),
            Expect::Body("no entry".to_owned()),
            Expect::Field("status", 403.into()),
            Expect::Calls(hook, "pending", 0),
        ])
}

/// Every hook of an exchange but `log` may wait for an answer.
fn waits(hook: Hook) -> Case {
    case(format!("{} waits for an answer", hook.name()))
        .at(hook, [act!(call_out: ask("/status/204")).note("ticket")])
        .resumed(hook, [act!(answer_status: Value::Ticket).note("status")])
        .send(match hook {
            Hook::RequestBody => post("/echo", ["hello"]),
            Hook::RequestTrailers => post("/echo", ["hello"]).header("trailer", "x-sum").trailer("x-sum", "5").http2(),
            Hook::ResponseTrailers => get("/trailers").header("te", "trailers").http2(),
            _ => get("/bytes/3"),
        })
        .notes("status", 204)
        .expect([Expect::Status(200), Expect::Calls(hook, "pending", 0)])
}
