//! What a plugin decides for the rest of the walk: route, upstream, timeout and the keys of rate limits.
//! It knows nothing of how a route is found.

use tidegate_abi::Hook;

use super::{ABSENT, INVALID, STAGE};
use crate::contract::case::{Case, Expect, case, get, post};
use crate::contract::script::{Value, act};

pub(in crate::contract) fn cases() -> Vec<Case> {
    let late = [Hook::ResponseHead, Hook::Log];
    let mut cases = vec![
        case("a plugin has the exchange go on with another route")
            .at(
                Hook::RequestHead,
                [act!(route_set: "nowhere at all").note("no route"), act!(route_set: "elsewhere").note("set")],
            )
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\"] }")
            .send(get("/x"))
            .notes("no route", ABSENT)
            .notes("set", 0)
            .expect([
                Expect::Status(200),
                Expect::Upstream(1),
                Expect::Field("route", "elsewhere".into()),
                Expect::Field("upstream", "app".into()),
            ]),
        case("a plugin sends the request to another upstream")
            .at(
                Hook::RequestHead,
                [act!(upstream_set: "no such").note("no upstream"), act!(upstream_set: "app").note("set")],
            )
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\"] }")
            .send(get("/x"))
            .notes("no upstream", ABSENT)
            .notes("set", 0)
            .expect([Expect::Status(200), Expect::Upstream(1), Expect::Field("upstream", "app".into())]),
        case("a plugin that holds the body still chooses the upstream by it")
            .at(Hook::Configure, [act!(body_mode: 0, 3, 1024, 0)])
            .at(Hook::RequestBody, [act!(upstream_set: "app").note("set")])
            .route("upstream: {self}")
            .upstreams("{self}: { endpoints: [\"{nowhere}\"] }")
            .send(post("/echo", ["hello"]))
            .notes("set", 0)
            .expect([Expect::Status(200), Expect::Body("hello".to_owned())]),
        case("a plugin sets how long the exchange may take")
            .at(Hook::RequestHead, [act!(timeout_set: 60).note("set"), act!(timeout_set: -1).note("no time")])
            .send(get("/hang"))
            .notes("set", 0)
            .notes("no time", INVALID)
            .expect([Expect::Status(504), Expect::Reason("timeout")]),
        case("a plugin lifts a timeout")
            .at(Hook::RequestHead, [act!(timeout_set: 0).note("set")])
            .route("timeout: 100ms")
            .send(get("/slow/400"))
            .notes("set", 0)
            .expect([Expect::Status(200), Expect::Body("slow".to_owned())]),
        case("a plugin says by what a limit counts")
            .at(
                Hook::RequestHead,
                [
                    act!(header_read: 0, "x-tenant", 0).text("tenant"),
                    act!(limit_key_set: "tenant", "acme").note("set"),
                    act!(limit_key_set: "No Word", "acme").note("no name"),
                    act!(limit_key_set: "tenant", Value::Long(1025)).note("long"),
                ],
            )
            .route("limits: [{self}]")
            .limits("{self}: { key: plugin.tenant, rate: 1/h, burst: 1 }")
            .send(get("/"))
            .send(get("/"))
            .notes("set", 0)
            .notes("no name", INVALID)
            .notes("long", INVALID)
            .expect([Expect::Status(429), Expect::Reason("rate_limited"), Expect::Upstream(1)]),
        case("a limit whose key no plugin set counts nobody")
            .at(Hook::RequestHead, [])
            .route("limits: [{self}]")
            .limits("{self}: { key: plugin.tenant, rate: 1/h, burst: 1 }")
            .send(get("/"))
            .send(get("/"))
            .expect([Expect::Status(200), Expect::Upstream(2)]),
    ];
    for hook in late {
        cases.push(
            case(format!("in {} nothing of the way is left to decide", hook.name()))
                .at(
                    hook,
                    [
                        act!(route_set: "elsewhere").note("route"),
                        act!(upstream_set: "app").note("upstream"),
                        act!(timeout_set: 1000).note("timeout"),
                        act!(limit_key_set: "tenant", "acme").note("key"),
                    ],
                )
                .send(get("/"))
                .expect(["route", "upstream", "timeout", "key"].map(|note| Expect::Note(note.to_owned(), STAGE)))
                .expect([Expect::Status(200)]),
        );
    }
    cases
}
