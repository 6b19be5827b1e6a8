//! What is around exchanges: connections, attempts upstream, and the events that arrive later.
//! It knows nothing of how either is made.

use tidegate_abi::{Hook, answer};

use super::ABSENT;
use crate::contract::case::{Case, Expect, Traffic, case, get};
use crate::contract::script::{CallOut, End, Value, act};

const DEAD: &str = "{self}: { endpoints: [\"{nowhere}\"] }";
const BOTH_DEAD: &str = "{self}: { endpoints: [\"{nowhere}\", \"127.0.0.1:1\"] }";
const OWN: &str = "upstream: {self}";

pub(in crate::contract) fn cases() -> Vec<Case> {
    let mut cases = connections();
    cases.extend(attempts());
    cases.extend(events());
    cases
}

fn connections() -> Vec<Case> {
    vec![
        case("a connection is told of when it opens and when it closes, with what it carried")
            .listens()
            .at(
                Hook::ConnectionOpen,
                [
                    act!(text_read: 6).text("listener"),
                    act!(text_read: 1).text("scheme"),
                    act!(text_read: 11).text("client"),
                    act!(text_read: 12).note("peer"),
                    act!(text_read: 0).note("method"),
                    act!(number_read: 6).note("opened"),
                    act!(log_field_int: "a", 1).note("field"),
                    act!(header_read: 0, "host", 0).note("header"),
                ],
            )
            .at(Hook::ConnectionClose, [act!(number_read: 15).note("exchanges"), act!(number_read: 3).note("duration")])
            .send(get("/"))
            .reads("listener", "{self}")
            .reads("scheme", "http")
            .reads("client", "127.0.0.1")
            .notes("method", super::STAGE)
            .notes("field", super::STAGE)
            .notes("header", super::STAGE)
            .notes("exchanges", 1)
            .expect([
                Expect::Positive("peer"),
                Expect::Positive("opened"),
                Expect::Positive("duration"),
                Expect::Calls(Hook::ConnectionOpen, "ok", 1),
                Expect::Calls(Hook::ConnectionClose, "ok", 1),
            ]),
        case("a connection can be closed as soon as it opens")
            .listens()
            .at(Hook::ConnectionOpen, [])
            .ends(Hook::ConnectionOpen, [End::Close])
            .send(get("/"))
            .expect([Expect::NoAnswer, Expect::Upstream(0), Expect::Calls(Hook::ConnectionOpen, "ok", 1)]),
        case("a connection whose hook fails is closed where the plugin fails closed")
            .listens()
            .plugin("on_failure: closed")
            .at(Hook::ConnectionOpen, [])
            .ends(Hook::ConnectionOpen, [End::Trap])
            .send(get("/"))
            .expect([Expect::NoAnswer, Expect::Calls(Hook::ConnectionOpen, "trap", 1)]),
        case("a connection whose hook fails goes on where the plugin fails open")
            .listens()
            .at(Hook::ConnectionOpen, [])
            .ends(Hook::ConnectionOpen, [End::Trap])
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Calls(Hook::ConnectionOpen, "trap", 1)]),
        case("a connection that nobody may refuse stays open, and the wish is counted")
            .listens()
            .plugin("allow: [log_lines]")
            .at(Hook::ConnectionOpen, [])
            .ends(Hook::ConnectionOpen, [End::Close])
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Dropped("connection", "denied", 1)]),
        case("a connection waits for an answer before anything is read from it")
            .listens()
            .at(Hook::ConnectionOpen, [act!(call_out: CallOut::get("app", "/status/204")).note("ticket")])
            .resumed(Hook::ConnectionOpen, [act!(answer_status: Value::Ticket).note("status")])
            .send(get("/"))
            .notes("status", 204)
            .expect([Expect::Status(200), Expect::Calls(Hook::ConnectionOpen, "pending", 1)]),
        case("a connection without a request is told of too, and its close may wait")
            .listens()
            .at(Hook::ConnectionClose, [act!(number_read: 15).note("exchanges"), act!(sleep: 10).note("ticket")])
            .resumed(Hook::ConnectionClose, [act!(answer_status: Value::Ticket).note("woke")])
            .then(Traffic::Connect)
            .notes("exchanges", 0)
            .notes("woke", 0),
        case("tick waits for an answer")
            .at(Hook::Configure, [act!(tick_every: 100)])
            .at(Hook::Tick, [act!(call_out: CallOut::get("app", "/status/204")).note("ticket")])
            .resumed(
                Hook::Tick,
                [
                    act!(answer_status: Value::Ticket).note("status"),
                    act!(answer_read: Value::Ticket, answer::ERROR).note("error"),
                ],
            )
            .notes("status", 204)
            .notes("error", ABSENT)
            .expect([Expect::Calls(Hook::Tick, "pending", 0)]),
    ]
}

fn attempts() -> Vec<Case> {
    vec![
        case("each attempt is told of before it is made, and its head may still be changed")
            .at(
                Hook::UpstreamChosen,
                [
                    act!(text_read: 9).text("upstream"),
                    act!(text_read: 10).note("endpoint"),
                    act!(number_read: 5).note("attempts"),
                    act!(header_set: 0, "x-signed", "1").note("header"),
                ],
            )
            .send(get("/"))
            .reads("upstream", "app")
            .notes("header", 0)
            .expect([Expect::Positive("endpoint"), Expect::UpstreamHeader("x-signed", "1".to_owned())]),
        case("a failed attempt is told of with its reason")
            .route(OWN)
            .upstreams(DEAD)
            .at(Hook::UpstreamError, [act!(text_read: 20).text("why"), act!(number_read: 13).note("status")])
            .send(get("/"))
            .reads("why", "connect_failed")
            .notes("status", i64::MIN)
            .expect([
                Expect::Status(502),
                Expect::Reason("connect_failed"),
                Expect::Calls(Hook::UpstreamError, "ok", 1),
            ]),
        case("a retry is told of between two attempts")
            .route(OWN)
            .upstreams(BOTH_DEAD)
            .at(Hook::UpstreamChosen, [act!(text_read: 10).note("endpoint")])
            .at(Hook::UpstreamError, [act!(text_read: 20).text("why")])
            .at(Hook::Retry, [act!(text_read: 20).text("before"), act!(header_set: 0, "x-again", "1").note("header")])
            .send(get("/"))
            .reads("why", "connect_failed")
            .reads("before", "connect_failed")
            .notes("header", super::STAGE)
            .expect([
                Expect::Status(502),
                Expect::Calls(Hook::UpstreamChosen, "ok", 2),
                Expect::Calls(Hook::UpstreamError, "ok", 2),
                Expect::Calls(Hook::Retry, "ok", 1),
            ]),
        case("a plugin that fails closed between two attempts ends the exchange")
            .plugin("on_failure: closed")
            .route(OWN)
            .upstreams(BOTH_DEAD)
            .at(Hook::Retry, [])
            .ends(Hook::Retry, [End::Fail])
            .send(get("/"))
            .expect([Expect::Status(500), Expect::Reason("plugin_failed")]),
    ]
}

fn events() -> Vec<Case> {
    vec![
        case("what a limit decided arrives later, with its facts")
            .route("limits: [{self}]")
            .limits("{self}: { key: global, rate: 1/h, burst: 1 }")
            .at(
                Hook::LimitDecision,
                [
                    act!(text_read: 21).text("limit"),
                    act!(text_read: 22).text("decision"),
                    act!(text_read: 7).text("route"),
                    act!(text_read: 11).text("client"),
                    act!(number_read: 6).note("when"),
                    act!(number_read: 16).note("lost"),
                    act!(text_read: 0).note("method"),
                    act!(header_read: 0, "host", 0).note("header"),
                ],
            )
            .send(get("/"))
            .send(get("/"))
            .reads("limit", "{self}")
            .reads("route", "{self}")
            .reads("client", "127.0.0.1")
            .notes("lost", 0)
            .notes("method", super::STAGE)
            .notes("header", super::STAGE)
            .expect([
                Expect::Texts("decision".to_owned(), vec!["allowed", "limited"]),
                Expect::Positive("when"),
                Expect::Status(429),
                Expect::Calls(Hook::LimitDecision, "ok", 2),
            ]),
        case("a decision is not delayed by a plugin that waits over it")
            .route("limits: [{self}]")
            .limits("{self}: { key: global, rate: 1/h, burst: 1 }")
            .at(Hook::LimitDecision, [act!(call_out: CallOut::get("app", "/slow/200")).note("ticket")])
            .resumed(Hook::LimitDecision, [act!(answer_status: Value::Ticket).note("status")])
            .send(get("/"))
            .send(get("/"))
            .notes("status", 200)
            .expect([Expect::Status(429), Expect::Calls(Hook::LimitDecision, "ok", 2)]),
        case("a breaker that changes is told of")
            .route(OWN)
            .upstreams("{self}: { endpoints: [\"{nowhere}\"], breaker: { consecutive_failures: 2, open_for: 1h } }")
            .at(
                Hook::BreakerTransition,
                [
                    act!(text_read: 9).text("upstream"),
                    act!(text_read: 23).text("state"),
                    act!(number_read: 16).note("lost"),
                    act!(sleep: 10).note("ticket"),
                ],
            )
            .resumed(Hook::BreakerTransition, [act!(answer_status: Value::Ticket).note("woke")])
            .send(get("/"))
            .send(get("/"))
            .send(get("/"))
            .reads("state", "open")
            .notes("lost", 0)
            .notes("woke", 0)
            .reads("upstream", "{self}")
            .expect([Expect::Reason("breaker_open")]),
    ]
}
