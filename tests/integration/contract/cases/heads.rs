//! The heads of messages: headers read and changed, the facts of the exchange, the correlation id, and answers of the plugin's own.
//! It knows no body.

use tidegate_abi::{Hook, headers, limits};

use super::{ABSENT, BUDGET, INVALID, STAGE};
use crate::contract::case::{Case, Expect, case, get};
use crate::contract::script::{End, Value, act};

const REQUEST: i32 = headers::REQUEST;
const RESPONSE: i32 = headers::RESPONSE;

pub(in crate::contract) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("headers are read by name and number, and all at once")
            .at(
                Hook::RequestHead,
                [
                    act!(header_read: REQUEST, "X-Tenant", 0).text("first"),
                    act!(header_read: REQUEST, "x-tenant", 1).text("second"),
                    act!(header_read: REQUEST, "x-tenant", 2).note("third"),
                    act!(header_read: REQUEST, &[0xff][..], 0).note("no name"),
                    act!(header_read: RESPONSE, "x-tenant", 0).note("no response"),
                    act!(header_read: 9, "x-tenant", 0).note("no map"),
                    act!(headers_read: REQUEST).text("all"),
                    act!(headers_read: 9).note("all of no map"),
                ],
            )
            .at(Hook::ResponseHead, [act!(header_read: RESPONSE, "content-type", 0).text("type")])
            .at(Hook::Log, [act!(header_read: REQUEST, "x-tenant", 0).text("late")])
            .send(get("/").header("x-tenant", "acme").header("x-tenant", "globex"))
            .reads("first", "acme")
            .reads("second", "globex")
            .notes("third", ABSENT)
            .notes("no name", ABSENT)
            .notes("no response", ABSENT)
            .notes("no map", INVALID)
            .notes("all of no map", INVALID)
            .reads("type", "application/json")
            .reads("late", "acme")
            .expect([Expect::TextHas("all".to_owned(), "x-tenant\u{4}\0\0\0acme")]),
        case("request headers go to the upstream as the plugin left them")
            .at(
                Hook::RequestHead,
                [
                    act!(header_set: REQUEST, "x-set", "new").note("set"),
                    act!(header_add: REQUEST, "x-add", "two").note("add"),
                    act!(header_remove: REQUEST, "x-gone").note("remove"),
                    act!(header_remove: REQUEST, "x-never").note("remove nothing"),
                    act!(header_set: RESPONSE, "x-set", "new").note("response too early"),
                    act!(header_set: REQUEST, "host", "other.test").note("host"),
                ],
            )
            .at(Hook::ResponseHead, [act!(header_set: REQUEST, "x-set", "late").note("too late")])
            .send(get("/").header("x-set", "old").header("x-add", "one").header("x-gone", "1").header("x-gone", "2"))
            .notes("set", 0)
            .notes("add", 0)
            .notes("remove", 2)
            .notes("remove nothing", 0)
            .notes("response too early", STAGE)
            .notes("too late", STAGE)
            .notes("host", 0)
            .expect([
                Expect::UpstreamHeader("x-set", "new".to_owned()),
                Expect::UpstreamHeader("x-add", "one, two".to_owned()),
                Expect::UpstreamNoHeader("x-gone"),
                Expect::UpstreamHeader("host", "other.test".to_owned()),
            ]),
        case("response headers go to the client as the plugin left them")
            .at(
                Hook::ResponseHead,
                [
                    act!(header_set: RESPONSE, "content-type", "text/plain").note("set"),
                    act!(header_add: RESPONSE, "x-add", "one").note("add"),
                    act!(header_remove: RESPONSE, "content-type").note("remove"),
                ],
            )
            .send(get("/"))
            .notes("set", 0)
            .notes("add", 0)
            .notes("remove", 1)
            .expect([Expect::Header("x-add", "one"), Expect::NoHeader("content-type")]),
        case("a plugin sees what the one before it has changed")
            .at(Hook::RequestHead, [act!(header_set: REQUEST, "x-first", "seen").note("set")])
            .next_at(Hook::RequestHead, [act!(header_read: REQUEST, "x-first", 0).text("next")])
            .send(get("/"))
            .notes("set", 0)
            .reads("next", "seen"),
        framing(),
        many_headers(),
        facts(),
        case("facts that there are not are absent, and numbers that mean none are invalid")
            .at(
                Hook::RequestHead,
                [
                    act!(text_read: 4).note("no query"),
                    act!(text_read: 10).note("no endpoint"),
                    act!(text_read: 20).note("no attempt"),
                    act!(text_read: 21).note("no limit"),
                    act!(text_read: 99).note("no property"),
                    act!(number_read: 0).note("no status"),
                    act!(number_read: 99).note("no number"),
                ],
            )
            .at(Hook::Configure, [act!(text_read: 19).text("name"), act!(text_read: 0).note("no exchange")])
            .send(get("/"))
            .expect(
                ["no query", "no endpoint", "no attempt", "no limit"].map(|note| Expect::Note(note.to_owned(), ABSENT)),
            )
            .notes("no property", INVALID)
            .notes("no status", i64::MIN)
            .notes("no number", i64::MIN)
            .reads("name", "{self}")
            .notes("no exchange", STAGE),
        case("the correlation id is the plugin's where it sets one: to the upstream, to the client, and in the log")
            .at(
                Hook::RequestHead,
                [
                    act!(correlation_set: "", "").note("empty"),
                    act!(correlation_set: "two words", "").note("two words"),
                    act!(correlation_set: "id-1", "content-length").note("framing"),
                    act!(correlation_set: "id-7", "x-mine").note("set"),
                ],
            )
            .at(Hook::Log, [act!(correlation_set: "id-8", "").note("late")])
            .send(get("/"))
            .notes("empty", INVALID)
            .notes("two words", INVALID)
            .notes("framing", INVALID)
            .notes("set", 0)
            .notes("late", STAGE)
            .expect([
                Expect::UpstreamHeader("x-mine", "id-7".to_owned()),
                Expect::Header("x-mine", "id-7"),
                Expect::Field("correlation_id", "id-7".into()),
                Expect::Dropped("correlation", "invalid", 3),
            ]),
    ];
    cases.extend(replies());
    cases
}

fn framing() -> Case {
    let names = ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
    let mut steps: Vec<_> = names.iter().map(|name| act!(header_set: REQUEST, *name, "1").note("framing")).collect();
    steps.extend([
        act!(header_set: REQUEST, "x y", "1").note("no name"),
        act!(header_add: REQUEST, "x-a", "a\r\nb").note("two lines"),
        act!(header_add: REQUEST, "x-a", Value::Long(limits::HEADER_VALUE + 1)).note("long"),
        act!(header_remove: REQUEST, "host").note("no host"),
        act!(header_set: 9, "x-a", "1").note("no map"),
    ]);
    case("what frames a message, or is no header, is not the plugin's to set")
        .at(Hook::RequestHead, steps)
        .send(get("/"))
        .expect(
            ["framing", "no name", "two lines", "long", "no host", "no map"]
                .map(|note| Expect::Note(note.to_owned(), INVALID)),
        )
        .expect([Expect::Status(200), Expect::UpstreamNoHeader("x-a"), Expect::Dropped("header", "invalid", 11)])
}

fn many_headers() -> Case {
    case("headers beyond the limit are dropped and counted")
        .at(
            Hook::RequestHead,
            [
                act!(header_add: REQUEST, "x-many", "1").times(400).note("add"),
                act!(header_set: REQUEST, "x-one", "1").note("set"),
            ],
        )
        .at(Hook::UpstreamChosen, [act!(header_remove: REQUEST, "x-many").note("many")])
        .send(get("/"))
        .notes("add", BUDGET)
        .notes("set", BUDGET)
        .expect([Expect::Dropped("header", "budget", 100)])
}

/// The facts of an exchange that is over.
fn facts() -> Case {
    let texts = [
        (0, "GET"),
        (1, "http"),
        (3, "/{self}/status/404"),
        (4, "a=b"),
        (5, "HTTP/1.1"),
        (6, "web"),
        (7, "{self}"),
        (9, "app"),
        (11, "127.0.0.1"),
        (16, "x-request-id"),
        (19, "{self}"),
    ];
    let numbers = [(0, 404), (1, 0), (2, 8), (5, 1), (8, 0), (9, 0), (13, 404)];
    let mut steps: Vec<_> =
        texts.iter().map(|(number, _)| act!(text_read: *number).text(format!("text {number}"))).collect();
    steps.extend(numbers.iter().map(|(number, _)| act!(number_read: *number).note(format!("number {number}"))));
    steps.extend([3, 4, 6, 12, 14].map(|number| act!(number_read: number).note(format!("number {number}"))));
    steps.extend([13, 14, 15].map(|number| act!(text_read: number).note(format!("length {number}"))));
    let mut case = case("the facts of an exchange can be read")
        .at(Hook::Log, steps)
        .send(get("/status/404?a=b"))
        .notes("length 13", 32)
        .notes("length 14", 16)
        .expect([
            Expect::Positive("number 3"),
            Expect::Positive("number 4"),
            Expect::Positive("number 6"),
            Expect::Positive("number 12"),
            Expect::Positive("length 15"),
        ]);
    for (number, text) in texts {
        case = case.reads(format!("text {number}"), text);
    }
    for (number, value) in numbers {
        case = case.notes(format!("number {number}"), value);
    }
    case
}

fn replies() -> Vec<Case> {
    let reply = || act!(reply: 403, Value::Headers(vec![("x-why", "because")]), "no entry").note("reply");
    let answered = |hook: Hook| {
        case(format!("an answer of the plugin's own goes out from {}", hook.name()))
            .at(hook, [reply()])
            .ends(hook, [End::Reply])
            .notes("reply", 0)
            .expect([
                Expect::Status(403),
                Expect::Body("no entry".to_owned()),
                Expect::Header("x-why", "because"),
                Expect::Field("status", 403.into()),
                Expect::Calls(hook, "reply", 1),
            ])
    };
    let broken = "upstream: {self}";
    let dead = "{self}: { endpoints: [\"{nowhere}\"] }";
    let second = "{self}: { endpoints: [\"{nowhere}\", \"127.0.0.1:1\"] }";
    vec![
        answered(Hook::RequestHead).send(get("/")).expect([Expect::Upstream(0)]),
        answered(Hook::UpstreamChosen).send(get("/")).expect([Expect::Upstream(0)]),
        answered(Hook::UpstreamError).send(get("/")).route(broken).upstreams(dead),
        answered(Hook::Retry).send(get("/")).route(broken).upstreams(second),
        answered(Hook::ResponseHead).send(get("/bytes/100000")).expect([Expect::Upstream(1)]),
        case("an answer that HTTP does not allow is invalid, one that is too long is over the budget")
            .at(
                Hook::RequestHead,
                [
                    act!(reply: 99, "", "").note("99"),
                    act!(reply: 101, "", "").note("101"),
                    act!(reply: 200, "cut", "").note("cut"),
                    act!(reply: 200, Value::Headers(vec![("content-length", "1")]), "").note("framing"),
                    act!(reply: 200, "", Value::Long(limits::REPLY_BODY + 1)).note("long"),
                ],
            )
            .send(get("/"))
            .expect(["99", "101", "cut", "framing"].map(|note| Expect::Note(note.to_owned(), INVALID)))
            .notes("long", BUDGET)
            .expect([
                Expect::Status(200),
                Expect::Dropped("reply", "invalid", 4),
                Expect::Dropped("reply", "budget", 1),
            ]),
        case("a staged answer without the verdict is not sent")
            .at(Hook::RequestHead, [reply()])
            .send(get("/"))
            .expect([Expect::Status(200)]),
        case("the verdict without a staged answer is a fault")
            .plugin("on_failure: closed")
            .at(Hook::RequestHead, [])
            .ends(Hook::RequestHead, [End::Reply])
            .send(get("/"))
            .expect([Expect::Status(500), Expect::Reason("plugin_trap"), Expect::Calls(Hook::RequestHead, "trap", 1)]),
        case("closing is no verdict of an exchange")
            .plugin("on_failure: closed")
            .at(Hook::RequestHead, [])
            .ends(Hook::RequestHead, [End::Close])
            .send(get("/"))
            .expect([Expect::Status(500), Expect::Reason("plugin_trap")]),
    ]
}
