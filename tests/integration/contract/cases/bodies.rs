//! Bodies and trailers: each mode in which a hook can have them, what it may change, and what becomes of the head.
//! It knows nothing of how a body is held.

use tidegate_abi::{Body, Hook, Mode, Overflow, headers};

use super::{INVALID, STAGE};
use crate::contract::case::{Case, Expect, case, get, post};
use crate::contract::script::{End, Step, act};

const REQUEST: i32 = headers::REQUEST;
const RESPONSE: i32 = headers::RESPONSE;

fn mode(body: Body, mode: Mode, limit: i64, overflow: Overflow) -> Step {
    act!(body_mode: body as i32, mode as i32, limit, overflow as i32).note("mode")
}

pub(in crate::contract) fn cases() -> Vec<Case> {
    let mut cases = streams();
    cases.extend(held());
    cases.extend(overflows());
    cases.extend(trailers());
    cases
}

fn streams() -> Vec<Case> {
    vec![
        case("without more the pieces of a request's body are read as they pass, and cannot be changed")
            .at(
                Hook::RequestBody,
                [
                    act!(body_read: 0).text("piece"),
                    act!(body_read: 2).text("from 2"),
                    act!(number_read: 10).note("length"),
                    act!(body_replace: "no").note("replace"),
                    act!(body_append: "no").note("append"),
                    act!(header_set: REQUEST, "x-late", "1").note("header"),
                ],
            )
            .send(post("/echo", ["hello"]))
            .expect([
                Expect::TextHas("piece".to_owned(), "hello"),
                Expect::TextHas("from 2".to_owned(), "llo"),
                Expect::Body("hello".to_owned()),
                Expect::UpstreamHeader("content-length", "5".to_owned()),
                Expect::UpstreamNoHeader("x-late"),
            ])
            .expect([Expect::Once("length", 5)])
            .notes("replace", STAGE)
            .notes("append", STAGE)
            .notes("header", STAGE),
        case("without more the pieces of a response's body are read as they pass, and cannot be changed")
            .at(
                Hook::ResponseBody,
                [
                    act!(body_read: 0).text("piece"),
                    act!(body_replace: "no").note("replace"),
                    act!(body_append: "no").note("append"),
                    act!(header_set: RESPONSE, "x-late", "1").note("header"),
                ],
            )
            .send(get("/bytes/3"))
            .expect([
                Expect::TextHas("piece".to_owned(), "xxx"),
                Expect::Body("xxx".to_owned()),
                Expect::Header("content-length", "3"),
                Expect::NoHeader("x-late"),
            ])
            .notes("replace", STAGE)
            .notes("append", STAGE)
            .notes("header", STAGE),
        case("a request's body is rewritten piece by piece, and loses its length")
            .at(Hook::Configure, [mode(Body::Request, Mode::Rewrite, 0, Overflow::Pass)])
            .at(Hook::RequestBody, [act!(body_replace: "ab").note("replace"), act!(body_append: "c").note("append")])
            .send(post("/echo", ["hello"]))
            .notes("mode", 0)
            .notes("replace", 0)
            .notes("append", 0)
            .expect([
                Expect::UpstreamNoHeader("content-length"),
                Expect::BodyStarts("abc"),
                Expect::UpstreamBodyStarts("abc"),
            ]),
        case("a response's body is rewritten piece by piece, and loses its length")
            .at(Hook::Configure, [mode(Body::Response, Mode::Rewrite, 0, Overflow::Pass)])
            .at(Hook::ResponseBody, [act!(body_replace: "ab").note("replace"), act!(body_append: "c").note("append")])
            .send(get("/bytes/3"))
            .notes("replace", 0)
            .notes("append", 0)
            .expect([Expect::NoHeader("content-length"), Expect::BodyStarts("abc")]),
        case("a piece that is replaced by nothing is dropped")
            .at(Hook::Configure, [mode(Body::Response, Mode::Rewrite, 0, Overflow::Pass)])
            .at(Hook::ResponseBody, [act!(body_replace: "").note("replace")])
            .send(get("/stream/5"))
            .notes("replace", 0)
            .expect([Expect::Status(200), Expect::Body(String::new())]),
        case("a body hook that is skipped for an exchange is not called")
            .at(
                Hook::RequestHead,
                [
                    mode(Body::Request, Mode::Skip, 0, Overflow::Pass),
                    mode(Body::Response, Mode::Skip, 0, Overflow::Pass),
                ],
            )
            .at(Hook::RequestBody, [act!(body_read: 0).note("called")])
            .at(Hook::ResponseBody, [act!(body_read: 0).note("called")])
            .send(post("/echo", ["hello"]))
            .notes("mode", 0)
            .expect([Expect::Body("hello".to_owned()), Expect::Texts("called".to_owned(), Vec::new())]),
        case("a plugin that may not read bodies is not called for any")
            .plugin("allow: [log_lines]")
            .at(Hook::RequestBody, [act!(body_read: 0).note("called")])
            .at(Hook::ResponseBody, [act!(body_read: 0).note("called")])
            .at(Hook::Log, [act!(text_read: 19).text("name")])
            .send(post("/echo", ["hello"]))
            .reads("name", "{self}")
            .expect([Expect::Body("hello".to_owned()), Expect::Texts("called".to_owned(), Vec::new())]),
        case("a body hook can end a request, also when its head has gone")
            .plugin("on_failure: closed")
            .at(Hook::RequestBody, [])
            .ends(Hook::RequestBody, [End::Fail])
            .send(post("/", ["hello"]))
            .expect([
                Expect::Status(500),
                Expect::Reason("plugin_failed"),
                Expect::Calls(Hook::RequestBody, "failed", 1),
            ]),
        case("a response whose hook fails in the middle breaks off")
            .plugin("on_failure: closed")
            .at(Hook::ResponseBody, [])
            .ends(Hook::ResponseBody, [End::Continue, End::Continue, End::Fail])
            .send(get("/drip/50/5"))
            .expect([Expect::NoAnswer, Expect::Calls(Hook::ResponseBody, "failed", 1)]),
        case("a body hook of a plugin that fails open costs the message nothing")
            .at(Hook::RequestBody, [])
            .ends(Hook::RequestBody, [End::Trap])
            .at(Hook::ResponseBody, [])
            .ends(Hook::ResponseBody, [End::Trap])
            .send(post("/echo", ["hello"]))
            .expect([
                Expect::Body("hello".to_owned()),
                Expect::Calls(Hook::RequestBody, "trap", 0),
                Expect::Calls(Hook::ResponseBody, "trap", 0),
            ]),
    ]
}

fn held() -> Vec<Case> {
    vec![
        case("a request's body is buffered whole, changed, and its head with it")
            .at(Hook::Configure, [mode(Body::Request, Mode::Buffer, 1024, Overflow::Pass)])
            .at(
                Hook::RequestBody,
                [
                    act!(body_read: 0).text("whole"),
                    act!(number_read: 11).note("last"),
                    act!(body_replace: "good").note("replace"),
                    act!(body_append: "bye").note("append"),
                    act!(header_set: REQUEST, "x-seen", "1").note("header"),
                ],
            )
            .send(post("/echo", ["he", "ll", "o"]))
            .notes("mode", 0)
            .reads("whole", "hello")
            .notes("last", 1)
            .notes("replace", 0)
            .notes("append", 0)
            .notes("header", 0)
            .expect([
                Expect::Body("goodbye".to_owned()),
                Expect::UpstreamBody("goodbye".to_owned()),
                Expect::UpstreamHeader("content-length", "7".to_owned()),
                Expect::UpstreamHeader("x-seen", "1".to_owned()),
                Expect::Calls(Hook::RequestBody, "ok", 1),
            ]),
        case("a response's body is buffered whole, changed, and its head with it")
            .at(Hook::ResponseHead, [mode(Body::Response, Mode::Buffer, 4096, Overflow::Pass)])
            .at(
                Hook::ResponseBody,
                [
                    act!(number_read: 10).note("length"),
                    act!(body_replace: "short").note("replace"),
                    act!(header_set: RESPONSE, "x-seen", "1").note("header"),
                ],
            )
            .send(get("/stream/2"))
            .notes("mode", 0)
            .notes("length", 2048)
            .notes("replace", 0)
            .notes("header", 0)
            .expect([
                Expect::Body("short".to_owned()),
                Expect::Header("content-length", "5"),
                Expect::Header("x-seen", "1"),
                Expect::Calls(Hook::ResponseBody, "ok", 1),
            ]),
        case("a plugin answers in the place of a response whose body it has seen")
            .at(Hook::Configure, [mode(Body::Response, Mode::Buffer, 4096, Overflow::Pass)])
            .at(Hook::ResponseBody, [act!(reply: 451, "", "not for you").note("reply")])
            .ends(Hook::ResponseBody, [End::Reply])
            .send(get("/bytes/10"))
            .notes("reply", 0)
            .expect([Expect::Status(451), Expect::Body("not for you".to_owned())]),
        case("a plugin answers a request whose body it has seen, before anything is sent")
            .at(Hook::Configure, [mode(Body::Request, Mode::Buffer, 4096, Overflow::Pass)])
            .at(Hook::RequestBody, [act!(reply: 422, "", "no such thing").note("reply")])
            .ends(Hook::RequestBody, [End::Reply])
            .send(post("/", ["{}"]))
            .notes("reply", 0)
            .expect([Expect::Status(422), Expect::Body("no such thing".to_owned()), Expect::Upstream(0)]),
        case("the first bytes of a body are seen while the rest waits, and all of it passes")
            .at(Hook::RequestHead, [mode(Body::Request, Mode::Peek, 4, Overflow::Pass)])
            .at(
                Hook::RequestBody,
                [act!(body_read: 0).text("first"), act!(header_set: REQUEST, "x-kind", "hell").note("header")],
            )
            .send(post("/echo", ["he", "llo", " there"]))
            .reads("first", "hell")
            .notes("header", 0)
            .expect([
                Expect::Body("hello there".to_owned()),
                Expect::UpstreamHeader("x-kind", "hell".to_owned()),
                Expect::Calls(Hook::RequestBody, "ok", 1),
            ]),
        case("a body that is shorter than the peek is seen whole")
            .at(Hook::Configure, [mode(Body::Response, Mode::Peek, 1000, Overflow::Pass)])
            .at(Hook::ResponseBody, [act!(number_read: 10).note("length"), act!(number_read: 11).note("last")])
            .send(get("/bytes/7"))
            .notes("length", 7)
            .notes("last", 1)
            .expect([Expect::Body("xxxxxxx".to_owned())]),
        case("a mode that is none, and one that comes too late, are refused")
            .at(
                Hook::Configure,
                [
                    act!(body_mode: 7, 0, 0, 0).note("no body"),
                    act!(body_mode: 0, 9, 0, 0).note("no mode"),
                    act!(body_mode: 0, 3, -1, 0).note("no limit"),
                    act!(body_mode: 0, 3, 64 * 1024 * 1024 + 1, 0).note("too much"),
                    act!(body_mode: 0, 3, 10, 9).note("no policy"),
                ],
            )
            .at(Hook::ResponseHead, [act!(body_mode: 0, 0, 0, 0).note("gone")])
            .at(
                Hook::RequestHead,
                [act!(body_read: 0).note("read in a head"), act!(body_replace: "").note("replace in a head")],
            )
            .send(get("/"))
            .expect(
                ["no body", "no mode", "no limit", "too much", "no policy"]
                    .map(|note| Expect::Note(note.to_owned(), INVALID)),
            )
            .notes("gone", STAGE)
            .notes("read in a head", STAGE)
            .notes("replace in a head", STAGE),
    ]
}

fn overflows() -> Vec<Case> {
    let buffer = |overflow: Overflow| mode(Body::Request, Mode::Buffer, 4, overflow);
    let back = |overflow: Overflow| mode(Body::Response, Mode::Buffer, 4, overflow);
    vec![
        case("a body beyond the buffer passes, and the hook is not called")
            .at(Hook::Configure, [buffer(Overflow::Pass), back(Overflow::Pass)])
            .at(Hook::RequestBody, [act!(body_replace: "no")])
            .at(Hook::ResponseBody, [act!(body_replace: "no")])
            .send(post("/echo", ["he", "llo"]))
            .expect([Expect::Body("hello".to_owned())]),
        case("a request's body beyond the buffer is refused")
            .at(Hook::Configure, [buffer(Overflow::Reject)])
            .at(Hook::RequestBody, [])
            .send(post("/", ["hello"]))
            .expect([Expect::Status(413), Expect::Reason("body_too_large"), Expect::Upstream(0)]),
        case("a response's body beyond the buffer is refused")
            .at(Hook::Configure, [back(Overflow::Reject)])
            .at(Hook::ResponseBody, [])
            .send(get("/bytes/1000"))
            .expect([Expect::Status(502), Expect::Upstream(1)]),
        case("a body beyond the buffer is a fault, where the plugin says so")
            .plugin("on_failure: closed")
            .at(Hook::Configure, [buffer(Overflow::Fail)])
            .at(Hook::RequestBody, [])
            .send(post("/", ["hello"]))
            .expect([Expect::Status(500), Expect::Reason("plugin_failed"), Expect::Upstream(0)]),
    ]
}

fn trailers() -> Vec<Case> {
    vec![
        case("a request's trailers are read and changed")
            .at(
                Hook::RequestTrailers,
                [
                    act!(header_read: 2, "x-sum", 0).text("sum"),
                    act!(headers_read: 2).text("all"),
                    act!(header_set: 2, "x-sum", "7").note("set"),
                    act!(header_add: 2, "x-more", "1").note("add"),
                    act!(header_read: 3, "x-sum", 0).note("the other's"),
                ],
            )
            .at(Hook::RequestHead, [act!(header_read: 2, "x-sum", 0).note("early")])
            .send(post("/", ["hello"]).header("trailer", "x-sum, x-more").trailer("x-sum", "5").http2())
            .reads("sum", "5")
            .expect([Expect::TextHas("all".to_owned(), "x-sum")])
            .notes("set", 0)
            .notes("add", 0)
            .notes("the other's", STAGE)
            .notes("early", STAGE)
            .expect([Expect::UpstreamTrailer("x-sum", "7"), Expect::UpstreamTrailer("x-more", "1")]),
        case("a response's trailers are read and changed")
            .at(
                Hook::ResponseTrailers,
                [
                    act!(header_read: 3, "x-checksum", 0).text("sum"),
                    act!(header_set: 3, "x-checksum", "def").note("set"),
                    act!(header_remove: 3, "x-none").note("remove"),
                ],
            )
            .at(Hook::Log, [act!(header_read: 3, "x-checksum", 0).note("late")])
            .send(get("/trailers").header("te", "trailers").http2())
            .reads("sum", "abc")
            .notes("set", 0)
            .notes("remove", 0)
            .notes("late", STAGE)
            .expect([Expect::Body("with trailers".to_owned()), Expect::Trailer("x-checksum", "def")]),
    ]
}
