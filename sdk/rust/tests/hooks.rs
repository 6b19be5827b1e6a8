//! What a plugin can do in its hooks, and what the host in memory refuses as the real one does.
//! It knows only what an author sees.

use std::net::IpAddr;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::Seen;
use tidegate_sdk::{Hook, Level};

#[derive(Deserialize)]
struct Everything {}

/// One of everything.
struct Busy {
    sides: LabelSet,
    sizes: LabelSet,
    pairs: Counter<2>,
    level: Gauge,
    millis: Histogram,
    ticks: u32,
}

#[derive(Default)]
struct Kept {
    hooks: Vec<&'static str>,
}

#[plugin]
impl Busy {
    fn configure(_config: Everything, define: &mut Define) -> Result<Self> {
        define.tick_every(Duration::from_secs(1))?;
        let sides = define.label_set("side", ["left", "right", "left", "other"])?;
        let sizes = define.label_set("size", ["s", "m", "l"])?;
        Ok(Self {
            sides,
            sizes,
            pairs: define.counter("busy.pairs").labels(["side", "size"]).build()?,
            level: define.gauge("busy.level").unit("{thing}").help("How many").build()?,
            millis: define.histogram("busy.time").unit("ms").build()?,
            ticks: 0,
        })
    }

    fn tick(&mut self) -> Result<()> {
        self.ticks += 1;
        self.level.set(self.ticks, []);
        self.level.add(0.5, []);
        if self.ticks == 3 { Err(Error::new("three is too many")) } else { Ok(()) }
    }

    fn request_head(&self, exchange: &mut Exchange, kept: &mut Kept) -> Result<Flow> {
        kept.hooks.push("request_head");
        let headers = exchange.request_headers();
        match exchange.path().to_str() {
            Some("/reply") => return Ok(exchange.reply(Reply::new(418).json(&json!({ "tea": true })))),
            Some("/status") => return Ok(Reply::new(99).into()),
            Some("/fail") => {
                let number: i32 = "x".parse()?;
                exchange.log_field("number", number);
            }
            _ => {}
        }
        headers.append("x-list", "b")?;
        headers.set("x-new", b"\xff")?;
        exchange.log_field("removed", headers.remove("x-old")?);
        assert_eq!(headers.set("content-length", "1"), Err(Refused::Invalid));
        assert_eq!(exchange.response_headers().set("x", "y"), Err(Refused::Stage));
        exchange.log_field("list", headers.all("X-List").len());
        exchange.log_field("names", headers.list().iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(","));
        let (side, size) = (self.sides.get("right"), self.sizes.get(exchange.request_header("x-size")));
        self.pairs.add(2, [side, size]);
        self.millis.record(Duration::from_micros(1500), []);
        Ok(Flow::Continue)
    }

    fn response_head(&self, exchange: &Exchange, kept: &mut Kept) {
        kept.hooks.push("response_head");
        let span = exchange.span().child("outer");
        span.child("inner").event("began").status(SpanStatus::Error, "broke");
        span.attribute("whole", 7_u64)
            .attribute("part", 0.5)
            .attribute("yes", true)
            .attribute("text", String::from("t"));
        assert_eq!(exchange.set_correlation_id("late", ""), Err(Refused::Stage));
        warn!("status {}", exchange.status().unwrap_or_default());
    }

    fn log(&self, exchange: &Exchange, kept: &Kept) {
        exchange.log_field("hooks", kept.hooks.join(","));
        exchange.log_field("not a key", 1);
        exchange.log_field("client", exchange.client_address() == "203.0.113.9".parse::<IpAddr>().ok());
        exchange.log_field("seconds", exchange.duration().as_secs_f64());
    }
}

#[allow(clippy::unwrap_used, reason = "only tests call it")]
fn host() -> TestHost {
    TestHost::configure::<Busy>(json!({})).unwrap()
}

#[test]
fn a_plugin_has_the_hooks_that_were_written() {
    assert_eq!(host().hooks(), [Hook::Configure, Hook::Tick, Hook::RequestHead, Hook::ResponseHead, Hook::Log]);
}

#[test]
fn headers_are_read_and_changed_as_bytes() {
    let mut host = host();
    let request = host.exchange().header("X-List", "a").header("x-old", "1").header("x-old", "2");
    let exchange = request.respond(200);
    assert_eq!(exchange.log_field("removed"), 2);
    assert_eq!(exchange.log_field("list"), 2);
    assert_eq!(exchange.log_field("names"), "x-list,x-list,x-new");
    assert!(exchange.request_header("x-old").is_absent());
    assert_eq!(exchange.request_header("x-new"), "\u{fffd}");
}

#[test]
fn a_long_value_is_read_whole() {
    let mut host = host();
    let long = "a".repeat(5000);
    let exchange = host.exchange().get(&format!("/{long}")).header("x-list", &long).respond(200);
    assert_eq!(exchange.status(), 200);
    assert_eq!(exchange.request_header("x-list"), &*long);
}

#[test]
fn series_are_those_of_their_labels() {
    let mut host = host();
    host.exchange().header("x-size", "m").respond(200);
    host.exchange().header("x-size", "huge").respond(200);
    assert_eq!(host.counter("busy.pairs", [("side", "right"), ("size", "m")]), 2);
    assert_eq!(host.counter("busy.pairs", [("size", "other"), ("side", "right")]), 2);
    assert_eq!(host.counter("busy.pairs", [("side", "left"), ("size", "m")]), 0);
    assert_eq!(host.histogram("busy.time", []).values, [1.5, 1.5]);
}

#[test]
fn a_tick_counts_and_says_why_it_failed() {
    let mut host = host();
    assert_eq!(host.tick_interval(), Some(Duration::from_secs(1)));
    assert_eq!(host.gauge("busy.level", []), None);
    assert_eq!((host.tick(), host.tick()), (None, None));
    assert_eq!(host.tick().as_deref(), Some("three is too many"));
    assert_eq!(host.gauge("busy.level", []), Some(3.5));
}

#[test]
fn a_reply_is_what_the_client_gets() {
    let mut host = host();
    let exchange = host.exchange().get("/reply").respond(200);
    assert!(exchange.is_reply());
    assert_eq!(exchange.status(), 418);
    assert_eq!(exchange.response_header("content-type"), "application/json");
    assert_eq!(exchange.reply_body(), Some(&br#"{"tea":true}"#[..]));
}

#[test]
fn a_hook_that_fails_says_why() {
    let mut host = host();
    assert_eq!(host.exchange().get("/fail").respond(200).failure(), Some("invalid digit found in string"));
    assert!(host.exchange().get("/status").respond(200).failure().unwrap().starts_with("a reply with status 99"));
}

#[test]
fn the_state_is_one_exchanges_own() {
    let mut host = host();
    for _ in 0..2 {
        assert_eq!(host.exchange().respond(200).log_field("hooks"), "request_head,response_head");
    }
}

#[test]
fn spans_nest_and_end() {
    let mut host = host();
    let exchange = host.exchange().respond(503);
    let (outer, inner) = (exchange.child("outer").unwrap(), exchange.child("inner").unwrap());
    assert!(outer.is_ended() && inner.is_ended());
    assert!(outer.is_child_of_exchange() && !inner.is_child_of_exchange());
    assert_eq!(inner.events(), ["began"]);
    assert_eq!(inner.status(), Some((SpanStatus::Error, "broke")));
    assert_eq!(outer.attribute("whole"), 7);
    assert_eq!(outer.attribute("part"), 0.5);
    assert_eq!(outer.attribute("yes"), true);
    assert_eq!(outer.attribute("text"), "t");
    assert_eq!(exchange.log_lines(), [(Level::Warn, "status 503".to_owned())]);
}

#[test]
fn what_is_not_valid_is_dropped() {
    let mut host = host();
    let exchange = host.exchange().duration(Duration::from_millis(1500)).respond(200);
    assert_eq!(exchange.log_field("not a key"), Seen::Absent);
    assert_eq!(exchange.log_field("client"), true);
    assert_eq!(exchange.log_field("seconds"), 1.5);
}

/// A plugin that defines what its configuration says.
struct Defines;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definitions {
    set: String,
    metric: String,
    label: String,
    #[serde(default)]
    buckets: Vec<f64>,
}

#[plugin]
impl Defines {
    fn configure(config: Definitions, define: &mut Define) -> Result<Self> {
        define.label_set(&config.set, ["a"])?;
        define.histogram(&config.metric).labels([&config.label]).buckets(config.buckets).build()?;
        define.counter("taken").build()?;
        Ok(Self)
    }
}

#[test]
fn a_wrong_definition_says_which_and_why() {
    let refused = |config| TestHost::configure::<Defines>(config).unwrap_err().to_string();
    let text = refused(json!({ "set": "a b", "metric": "m", "label": "a b" }));
    assert!(text.starts_with("the label set `a b` is not valid"), "{text}");
    let text = refused(json!({ "set": "a", "metric": "m", "label": "b" }));
    assert_eq!(text, "the metric `m` has the label `b`, but no label set of that name was defined before it");
    let text = refused(json!({ "set": "a", "metric": "m", "label": "a", "buckets": [1.0, 1.0] }));
    assert!(text.starts_with("the metric `m` is not valid"), "{text}");
    let text = refused(json!({ "set": "a", "metric": "taken", "label": "a" }));
    assert_eq!(text, "the metric `taken` was refused: its name is taken by something of another shape");
    let text = refused(json!({ "sets": "a", "metric": "taken", "label": "a" }));
    assert!(text.contains("unknown field `sets`, expected one of `set`"), "{text}");
}

#[test]
#[should_panic(expected = "no metric `busy.pair` was defined, only `busy.pairs`")]
fn a_test_that_asks_for_a_metric_that_is_not_there_fails() {
    host().counter("busy.pair", []);
}
