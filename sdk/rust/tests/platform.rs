//! Bodies, trailers, attempts, overrides, connections, events, the store, and handing over.
//! It knows only what an author sees.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{TestDecision, TestTransition};

/// Does what its configuration says, in every hook there is.
struct All {
    config: Config,
    events: Vec<String>,
    seen: LabelSet,
    counts: Counter<1>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    request: String,
    response: String,
    limit: usize,
    refuse: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { request: "stream".to_owned(), response: "stream".to_owned(), limit: 8, refuse: false }
    }
}

fn mode(name: &str, limit: usize) -> BodyMode {
    match name {
        "rewrite" => BodyMode::rewrite(),
        "peek" => BodyMode::peek(limit),
        "buffer" => BodyMode::buffer(limit),
        "reject" => BodyMode::buffer(limit).or_reject(),
        "fail" => BodyMode::buffer(limit).or_fail(),
        "skip" => BodyMode::skip(),
        _ => BodyMode::stream(),
    }
}

#[derive(Default)]
struct Kept {
    pieces: Vec<String>,
    hooks: Vec<String>,
}

#[plugin]
impl All {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        define.request_body(mode(&config.request, config.limit))?;
        define.response_body(mode(&config.response, config.limit))?;
        if config.refuse {
            return Err(Error::new("not today"));
        }
        let before = define.handed_over().map(|state| format!("after {state}"));
        let seen = define.label_set("what", ["limited", "open", "closed"])?;
        let counts = define.counter("all.events").labels(["what"]).build()?;
        Ok(Self { config, events: before.into_iter().collect(), seen, counts })
    }

    fn hand_over(&self) -> Option<String> {
        (!self.events.is_empty()).then(|| self.events.join(";"))
    }

    fn connection_open(&mut self, connection: &Connection) -> Admission {
        self.events.push(format!("open {} {}", connection.listener(), connection.scheme()));
        match connection.peer_address() {
            Some(peer) if peer.ip().is_loopback() => Admission::Close,
            _ => Admission::Accept,
        }
    }

    fn connection_close(&mut self, connection: &Connection) {
        self.events.push(format!("close {} {:?}", connection.exchanges(), connection.duration()));
    }

    fn limit_decision(&mut self, decision: &LimitDecision) -> Result<()> {
        self.counts.add(1, [self.seen.get(decision.decision())]);
        let (limit, route, lost) = (decision.limit(), decision.route(), decision.lost());
        self.events.push(format!("{limit} {} {route} {:?} {lost}", decision.is_allowed(), decision.client_address()));
        if limit == "bad" { Err(Error::new("a bad limit")) } else { Ok(()) }
    }

    fn breaker_transition(&mut self, transition: &BreakerTransition) {
        self.counts.add(1, [self.seen.get(transition.state())]);
        self.events.push(format!("{} is {}", transition.upstream(), transition.state()));
    }

    fn request_head(&self, exchange: &Exchange) -> Result<()> {
        match exchange.path().to_str() {
            Some("/skip") => exchange.request_body_mode(BodyMode::skip())?,
            Some("/buffer") => exchange.response_body_mode(BodyMode::buffer(1000))?,
            Some("/huge") => exchange.request_body_mode(BodyMode::buffer(64 << 21))?,
            Some("/orders") => {
                exchange.set_route("other")?;
                exchange.set_upstream("spare")?;
                exchange.set_timeout(Some(Duration::from_micros(1500)))?;
                exchange.set_limit_key("tenant", "acme")?;
                assert_eq!(exchange.set_limit_key("No", "acme"), Err(Refused::Invalid));
            }
            _ => {}
        }
        Ok(())
    }

    fn request_body(&self, exchange: &Exchange, body: &mut Body, kept: &mut Kept) -> Result<Flow> {
        kept.pieces.push(format!("{}{}", body.read(), if body.is_last() { "." } else { "" }));
        if body.read() == "reply" {
            return Ok(exchange.reply(Reply::new(400)));
        }
        if exchange.path() == "/held" {
            exchange.request_headers().set("x-seen", body.len().to_string())?;
            exchange.set_upstream("by-body")?;
        }
        if exchange.path() == "/drop" {
            body.replace("")?;
        }
        if exchange.path() == "/upper" {
            let upper = body.read().to_ascii_uppercase();
            body.replace(upper)?;
            body.append("!")?;
        }
        Ok(Flow::Continue)
    }

    fn request_trailers(&self, exchange: &Exchange, kept: &mut Kept) -> Result<()> {
        kept.hooks.push(format!("trailers {}", exchange.request_trailers().get("x-sum").unwrap_or_default()));
        exchange.request_trailers().set("x-sum", "2")?;
        Ok(())
    }

    fn upstream_chosen(&self, exchange: &Exchange, kept: &mut Kept) {
        kept.hooks.push(format!("chosen {}", exchange.attempts()));
    }

    fn upstream_error(&self, exchange: &Exchange, kept: &mut Kept) {
        let why = exchange.attempt_error().unwrap_or_default();
        kept.hooks.push(format!("{why} after {:?}", exchange.attempt_duration().unwrap_or_default()));
    }

    fn retry(&self, exchange: &Exchange, kept: &mut Kept) -> Flow {
        kept.hooks.push("retry".to_owned());
        if exchange.attempts() > 1 { Reply::new(502).into() } else { Flow::Continue }
    }

    fn response_body(&self, exchange: &Exchange, body: &mut Body, kept: &mut Kept) -> Result<Flow> {
        let mut buffer = b"> ".to_vec();
        body.read_into(&mut buffer);
        kept.pieces.push(String::from_utf8(buffer)?);
        if exchange.path() == "/secret" {
            return Ok(Reply::new(451).into());
        }
        if exchange.path() == "/buffer" {
            body.append("</body>")?;
            exchange.response_headers().set("x-length", body.len().to_string())?;
        }
        Ok(Flow::Continue)
    }

    fn response_trailers(&self, exchange: &Exchange) -> Result<()> {
        exchange.response_trailers().append("x-checked", "yes")?;
        Ok(())
    }

    fn log(&self, exchange: &Exchange, kept: &mut Kept) {
        exchange.log_field("pieces", kept.pieces.join("|"));
        exchange.log_field("hooks", kept.hooks.join(","));
        exchange.log_field("bytes", exchange.request_bytes() + exchange.response_bytes());
        exchange.log_field("limit", self.config.limit);
    }
}

#[allow(clippy::unwrap_used, reason = "only tests call it")]
fn host(config: serde_json::Value) -> TestHost {
    TestHost::configure::<All>(config).unwrap()
}

#[test]
fn a_body_streams_through_the_hook_piece_by_piece() {
    let mut host = host(json!({}));
    let request = host.exchange().request_pieces(["one", "two"]).response_pieces(["a", "b"]);
    let exchange = request.respond(200);
    assert_eq!(exchange.log_field("pieces"), "one|two.|> a|> b");
    assert_eq!(exchange.log_field("bytes"), 8);
    assert_eq!(exchange.request_body(), Some(&b"onetwo"[..]));
    let refused = host.exchange().get("/drop").request_body("one").respond(200);
    assert_eq!(refused.failure(), Some("it is not possible in this hook"));
    assert_eq!(refused.request_body(), Some(&b"one"[..]));
}

#[test]
fn a_body_can_be_rewritten_on_its_way() {
    let mut host = host(json!({ "request": "rewrite" }));
    let upper = host.exchange().get("/upper").request_pieces(["one", "two"]).respond(200);
    assert_eq!(upper.request_body(), Some(&b"ONE!TWO!"[..]));
    let dropped = host.exchange().get("/drop").request_body("one").respond(200);
    assert_eq!(dropped.request_body(), Some(&b""[..]));
    host.deny("change_bodies");
    let denied = host.exchange().get("/drop").request_body("one").respond(200);
    assert_eq!(denied.failure(), Some("it is not allowed here"));
}

#[test]
fn the_head_waits_for_a_body_that_is_peeked_at_or_buffered() {
    for (request, seen, pieces) in [("peek", "8", "12345678"), ("buffer", "10", "1234567890.")] {
        let mut host = host(json!({ "request": request, "limit": if request == "peek" { 8 } else { 10 } }));
        let exchange = host.exchange().get("/held").request_pieces(["12345", "67890"]).respond(200);
        assert_eq!(exchange.request_header("x-seen"), seen);
        assert_eq!(exchange.upstream_set(), Some("by-body"));
        assert_eq!(exchange.log_field("pieces"), pieces);
        assert_eq!(exchange.request_body(), Some(&b"1234567890"[..]));
        let refused = host.exchange().get("/").request_body("reply").respond(200);
        assert_eq!(refused.status(), 400);
        assert_eq!(refused.request_body(), None);
    }
    let streamed = host(json!({})).exchange().get("/held").request_body("1").respond(200);
    assert_eq!(streamed.failure(), Some("it is not possible in this hook"));
}

#[test]
fn a_body_that_is_too_long_passes_is_refused_or_fails() {
    for (request, status, failure) in
        [("buffer", 200, None), ("reject", 413, None), ("fail", 200, Some("the body is longer than 8 bytes"))]
    {
        let exchange = host(json!({ "request": request })).exchange().request_body("123456789").respond(200);
        assert_eq!((exchange.status(), exchange.failure()), (status, failure), "{request}");
        assert_eq!(exchange.log_field("pieces"), "", "{request}");
    }
}

#[test]
fn an_exchange_can_want_its_bodies_otherwise() {
    let mut host = host(json!({ "request": "buffer" }));
    let skipped = host.exchange().get("/skip").request_body("a").respond(200);
    assert_eq!(skipped.log_field("pieces"), "");
    let buffered = host.exchange().get("/buffer").response_pieces(["<body>", "text"]).respond(200);
    assert_eq!(buffered.response_body(), Some(&b"<body>text</body>"[..]));
    assert_eq!(buffered.response_header("x-length"), "17");
    assert_eq!(host.exchange().get("/huge").respond(200).failure(), Some("it is not valid"));
    let refused = TestHost::configure::<All>(json!({ "request": "buffer", "limit": 67_108_865 })).unwrap_err();
    assert_eq!(refused.to_string(), "the request's body in mode Buffer was refused: it is not valid (64 MiB at most)");
}

#[test]
fn a_response_is_replaced_while_its_head_is_held_only() {
    let mut held = host(json!({ "response": "buffer", "limit": 100 }));
    let exchange = held.exchange().get("/secret").response_body("s3cret").respond(200);
    assert_eq!((exchange.status(), exchange.response_body()), (451, None));
    let streamed = host(json!({})).exchange().get("/secret").response_body("s3cret").respond(200);
    assert_eq!(streamed.status(), 200);
    assert!(streamed.failure().unwrap().starts_with("a reply is not possible in this hook"));
}

#[test]
fn trailers_have_hooks_of_their_own() {
    let mut host = host(json!({}));
    let request = host.exchange().request_body("x").request_trailer("X-Sum", "1").response_trailer("x-a", "b");
    let exchange = request.respond(200);
    assert_eq!(exchange.request_trailer("x-sum"), "2");
    assert_eq!(exchange.response_trailer("x-checked"), "yes");
    assert_eq!(exchange.log_field("hooks"), "chosen 1,trailers 1");
}

#[test]
fn attempts_are_seen_and_can_be_ended() {
    let mut host = host(json!({}));
    let once = host.exchange().failed_attempt("connect_failed").respond(200);
    assert_eq!(once.log_field("hooks"), "chosen 1,connect_failed after 1ms,retry,chosen 2");
    let twice = host.exchange().failed_attempt("connect_failed").failed_attempt("timeout").respond(200);
    assert_eq!(twice.status(), 502);
}

#[test]
fn the_rest_of_the_exchange_goes_where_the_plugin_says() {
    let mut host = host(json!({}));
    let exchange = host.exchange().get("/orders").respond(200);
    assert_eq!(exchange.failure(), None);
    assert_eq!((exchange.route_set(), exchange.upstream_set()), (Some("other"), Some("spare")));
    assert_eq!(exchange.timeout_set(), Some(Some(Duration::from_millis(2))));
    assert_eq!(exchange.limit_key("tenant"), "acme");
    host.deny("routing");
    assert_eq!(host.exchange().get("/orders").respond(200).failure(), Some("it is not allowed here"));
}

#[test]
fn connections_are_let_in_or_closed() {
    let mut host = host(json!({}));
    assert!(host.connection().https().carries(3, Duration::from_secs(2)).close());
    assert!(!host.connection().peer("127.0.0.1:9").listener("admin").close());
    assert_eq!(host.hand_over().unwrap(), b"open test https;close 3 2s;open admin http");
}

#[test]
fn events_arrive_outside_of_an_exchange() {
    let mut host = host(json!({}));
    assert_eq!(host.limit_decision(TestDecision { allowed: false, lost: 2, ..TestDecision::default() }), None);
    let bad = host.limit_decision(TestDecision { limit: "bad", ..TestDecision::default() });
    assert_eq!(bad.as_deref(), Some("a bad limit"));
    assert_eq!(host.breaker_transition(TestTransition::default()), None);
    assert_eq!(host.counter("all.events", [("what", "limited")]), 1);
    assert_eq!(host.counter("all.events", [("what", "open")]), 1);
    let events = String::from_utf8(host.hand_over().unwrap()).unwrap();
    let expected = "per-client false app Some(203.0.113.9) 2;bad true app Some(203.0.113.9) 0;app is open";
    assert_eq!(events, expected);
}

#[test]
fn a_new_generation_gets_what_the_old_one_hands_over() {
    let mut host = host(json!({}));
    host.breaker_transition(TestTransition::default());
    host.reconfigure::<All>(json!({ "limit": 9 })).unwrap();
    assert_eq!(host.exchange().respond(200).log_field("limit"), 9);
    assert_eq!(host.hand_over().unwrap(), b"after app is open");
    let refused = host.reconfigure::<All>(json!({ "refuse": true })).unwrap_err();
    assert_eq!(refused.to_string(), "not today");
    assert_eq!(host.exchange().respond(200).log_field("limit"), 9, "the old one stays");
    let mut fresh = TestHost::configure::<All>(json!({})).unwrap();
    assert_eq!(fresh.hand_over(), None);
}

/// Counts and remembers in the store.
struct Remembers;

#[plugin]
impl Remembers {
    fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> {
        Ok(Self)
    }

    fn request_head(&self, exchange: &Exchange) -> Result<()> {
        let minute = Some(Duration::from_secs(60));
        let store = store();
        exchange.log_field("visits", store.increment("visits", 1, minute).unwrap_or(-1));
        exchange.log_field("first", store.swap("first", None, "me", None)?);
        exchange.log_field("swapped", store.swap("first", Some(b"me"), "you", None)?);
        let path = exchange.path();
        exchange.log_field("known", store.get(&path)?.is_some());
        store.set(&path, exchange.request_header("x-value").unwrap_or_default(), minute)?;
        exchange.log_field("number", store.get_number("visits")?.unwrap_or_default());
        if path == "/forget" {
            exchange.log_field("removed", store.remove("first")? && !store.remove("first")?);
        }
        if path == "/text" {
            exchange.log_field("text", store.increment("first", 1, None).is_none());
        }
        Ok(())
    }
}

#[test]
fn the_store_keeps_swaps_counts_and_forgets() {
    let mut host = TestHost::configure::<Remembers>(json!({})).unwrap();
    let first = host.exchange().get("/a").header("x-value", "1").respond(200);
    assert_eq!((first.log_field("visits"), first.log_field("number")), (1.into(), 1.into()));
    assert_eq!(first.log_field("first"), true);
    assert_eq!(first.log_field("known"), false);
    let second = host.exchange().get("/a").respond(200);
    assert_eq!(second.log_field("visits"), 2);
    assert_eq!(second.log_field("first"), false);
    assert_eq!(second.log_field("swapped"), false);
    assert_eq!(second.log_field("known"), true);
    assert_eq!(host.stored("first").unwrap(), b"you");
    assert_eq!(host.exchange().get("/text").respond(200).log_field("text"), true);
    assert_eq!(host.exchange().get("/forget").respond(200).log_field("removed"), true);

    host.reconfigure::<Remembers>(json!({})).unwrap();
    host.advance(Duration::from_secs(59));
    assert_eq!(host.exchange().get("/a").respond(200).log_field("visits"), 5);
    host.advance(Duration::from_secs(1));
    assert_eq!(host.stored("visits"), None, "a number keeps the time to live that it began with");
    assert_eq!(host.stored_keys(), [&b"/a"[..], b"first"]);
}

#[test]
fn a_full_store_and_one_that_is_not_allowed_refuse() {
    let mut host = TestHost::configure::<Remembers>(json!({})).unwrap();
    host.key_value_budget(300);
    let long = host.exchange().get("/a").header("x-value", "v".repeat(100)).respond(200);
    assert_eq!(long.failure(), Some("the budget for it is used up"));
    assert_eq!(host.exchange().get("/").respond(200).failure(), None);
    host.deny("key_value");
    let denied = host.exchange().get("/").respond(200);
    assert_eq!((denied.log_field("visits"), denied.failure()), ((-1).into(), Some("it is not allowed here")));
}
