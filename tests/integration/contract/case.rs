//! A case of the contract: what the plugin does, what traffic there is, and what must be seen from outside.
//! It knows no adapter and no way to look; it is data.

use serde_json::Value as Json;
use tidegate_abi::Hook;

use super::script::{End, Entry, Part, Script, Step};

/// One case. Everything of it is called by the same name in the configuration: its plugin, its route, its listener; `{self}` stands for
/// that in every text.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is promised.
    pub promise: String,
    pub script: Script,
    /// More keys of the plugin, of its route, and of the whole configuration: YAML in braces' inside.
    pub plugin: String,
    pub route: String,
    pub upstreams: String,
    pub limits: String,
    /// Another plugin's script, in the chain behind this one; its name is `{self}-next`.
    pub next: Option<Script>,
    /// Whether it has a listener of its own, whose connections it watches.
    pub listener: bool,
    pub config: Json,
    pub traffic: Vec<Traffic>,
    pub expected: Vec<Expect>,
}

/// Something that a client, or an operator, does.
#[derive(Clone, Debug)]
pub enum Traffic {
    Send(Request),
    /// The plugin gets another configuration.
    Reconfigure(Json),
    /// Connects and closes, without a byte.
    Connect,
}

/// A request, on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Each is sent when the one before was taken.
    pub pieces: Vec<Vec<u8>>,
    pub trailers: Vec<(&'static str, &'static str)>,
    pub http2: bool,
    /// Does not wait for the answer: the client leaves as soon as the origin, or the call-out's, has the request.
    pub leaves: bool,
}

/// What must be seen from outside, soon if not at once. Of several answers the last one is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    Status(u16),
    /// The reason in an error answer of the proxy.
    Reason(&'static str),
    Body(String),
    /// The body begins with this.
    BodyStarts(&'static str),
    Header(&'static str, &'static str),
    NoHeader(&'static str),
    Trailer(&'static str, &'static str),
    /// The connection was closed, or the body broken, instead of an answer.
    NoAnswer,
    /// A number that was noted, each time.
    Note(String, i64),
    /// One of these numbers was noted, each time.
    OneOf(String, Vec<i64>),
    /// Something was noted, and never one of these numbers.
    NoneOf(String, Vec<i64>),
    /// A number that was noted at least once.
    Once(&'static str, i64),
    /// A text that was noted, each time.
    Text(String, String),
    /// All notes of a name, in order.
    Texts(String, Vec<&'static str>),
    /// The last note of a name.
    Last(&'static str, &'static str),
    /// A text in one of the notes of a name.
    TextHas(String, &'static str),
    /// Any number above 0 was noted.
    Positive(&'static str),
    /// How many requests the origin saw.
    Upstream(usize),
    UpstreamHeader(&'static str, String),
    UpstreamNoHeader(&'static str),
    UpstreamBody(String),
    UpstreamBodyStarts(&'static str),
    UpstreamTrailer(&'static str, &'static str),
    /// A field of the last line of the access log.
    Field(&'static str, Json),
    /// Calls of a hook of the plugin, with this outcome; at least one where the number is 0.
    Calls(Hook, &'static str, u32),
    /// Effects that were dropped, with the reason; at least so many.
    Dropped(&'static str, &'static str, u32),
    /// A span of this name with this attribute (none: it only is there) within the exchange's trace.
    Span(&'static str, Option<(&'static str, &'static str)>),
    /// An event of the span of this name.
    SpanEvent(&'static str, &'static str),
    /// The status of the span of this name, by OTLP's number.
    SpanStatus(&'static str, i32),
    /// A line of the plugin's on standard error.
    Line(&'static str, &'static str),
    /// Any series.
    Scrape(&'static str, Vec<(&'static str, &'static str)>, f64),
}

/// The beginning of a case.
pub fn case(promise: impl Into<String>) -> Case {
    Case {
        promise: promise.into(),
        script: Script::default(),
        plugin: String::new(),
        route: String::new(),
        upstreams: String::new(),
        limits: String::new(),
        next: None,
        listener: false,
        config: Json::Object(serde_json::Map::new()),
        traffic: Vec::new(),
        expected: Vec::new(),
    }
}

/// A request without a body.
pub fn get(path: &'static str) -> Request {
    Request {
        method: "GET",
        path,
        headers: Vec::new(),
        pieces: Vec::new(),
        trailers: Vec::new(),
        http2: false,
        leaves: false,
    }
}

/// A request with a body in pieces.
pub fn post<T: AsRef<[u8]>>(path: &'static str, pieces: impl IntoIterator<Item = T>) -> Request {
    Request { method: "POST", pieces: pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect(), ..get(path) }
}

// === impl Case ===

impl Case {
    /// The plugin does this at a hook.
    pub fn at(mut self, hook: Hook, steps: impl Into<Vec<Step>>) -> Self {
        self.part(Entry::Hook(hook)).steps.extend(steps.into());
        self
    }

    /// The calls of a hook end so, one after the other.
    pub fn ends(mut self, hook: Hook, ends: impl Into<Vec<End>>) -> Self {
        self.part(Entry::Hook(hook)).ends = ends.into();
        self
    }

    /// The hook waits, and does this when it is resumed.
    pub fn resumed(mut self, hook: Hook, steps: impl Into<Vec<Step>>) -> Self {
        self.part(Entry::Hook(hook)).ends = vec![End::Pending];
        self.part(Entry::Resume(hook)).steps.extend(steps.into());
        self
    }

    /// The resumed hook ends so.
    pub fn resume_ends(mut self, hook: Hook, ends: impl Into<Vec<End>>) -> Self {
        self.part(Entry::Resume(hook)).ends = ends.into();
        self
    }

    fn part(&mut self, entry: Entry) -> &mut Part {
        self.script.entries.entry(entry).or_default()
    }

    /// A second plugin behind this one does this at a hook.
    pub fn next_at(mut self, hook: Hook, steps: impl Into<Vec<Step>>) -> Self {
        let script = self.next.get_or_insert_default();
        script.entries.entry(Entry::Hook(hook)).or_default().steps.extend(steps.into());
        self
    }

    /// Its notes are very many.
    pub fn gathers(mut self) -> Self {
        self.script.gathers = true;
        self
    }

    pub fn plugin(mut self, yaml: &str) -> Self {
        if !yaml.is_empty() {
            self.plugin.push_str(", ");
            self.plugin.push_str(yaml);
        }
        self
    }

    pub fn route(mut self, yaml: &str) -> Self {
        self.route.push_str(", ");
        self.route.push_str(yaml);
        self
    }

    pub fn upstreams(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.upstreams);
        self
    }

    pub fn limits(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.limits);
        self
    }

    pub fn config(mut self, config: Json) -> Self {
        self.config = config;
        self
    }

    pub fn listens(mut self) -> Self {
        self.listener = true;
        self
    }

    pub fn send(mut self, request: Request) -> Self {
        self.traffic.push(Traffic::Send(request));
        self
    }

    pub fn then(mut self, traffic: Traffic) -> Self {
        self.traffic.push(traffic);
        self
    }

    pub fn expect(mut self, expected: impl Into<Vec<Expect>>) -> Self {
        self.expected.extend(expected.into());
        self
    }

    /// Without something that is promised so far.
    pub fn without(mut self, what: &Expect) -> Self {
        self.expected.retain(|expected| expected != what);
        self
    }

    /// A result that must be noted.
    pub fn notes(mut self, note: impl Into<String>, value: i64) -> Self {
        self.expected.push(Expect::Note(note.into(), value));
        self
    }

    /// A text that must be noted.
    pub fn reads(mut self, note: impl Into<String>, text: impl Into<String>) -> Self {
        self.expected.push(Expect::Text(note.into(), text.into()));
        self
    }
}

// === impl Request ===

impl Request {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.push((name, value));
        self
    }

    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    pub fn leaves(mut self) -> Self {
        self.leaves = true;
        self
    }
}
