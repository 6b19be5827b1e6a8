//! One exchange of a test: the request as the test says, and the hooks in the proxy's order.
//! What the plugin made of it stands in `exchange`.

use std::time::Duration;

use tidegate_abi::{Hook, Mode, Number, Overflow, Text, Verdict};

use super::exchange::TestExchange;
use super::memory::{Facts, Map, SpanFacts};
use super::platform::{Piece, Wish};
use super::{Ended, TestHost};
use crate::Reply;

/// An exchange that is being described. What is not said is as in a plain `GET http://localhost/` from 203.0.113.9.
#[must_use = "an exchange happens with `respond`"]
pub struct TestRequest<'h> {
    host: &'h mut TestHost,
    facts: Facts,
    response: Map,
    bodies: [Vec<Vec<u8>>; 2],
    failed_attempts: Vec<String>,
    leaves: Option<Duration>,
}

/// The exchange while its hooks run.
struct Walk<'h> {
    host: &'h mut TestHost,
    leaves: Option<Duration>,
    replied: Option<Reply>,
    failed: Option<String>,
    left: bool,
}

// === impl TestRequest ===

impl<'h> TestRequest<'h> {
    pub(super) fn new(host: &'h mut TestHost) -> Self {
        let texts = [
            (Text::Method, "GET"),
            (Text::Scheme, "http"),
            (Text::Host, "localhost"),
            (Text::Path, "/"),
            (Text::Protocol, "HTTP/1.1"),
            (Text::Listener, "test"),
            (Text::ClientAddress, "203.0.113.9"),
            (Text::PeerAddress, "203.0.113.9:40000"),
            (Text::TraceId, "4bf92f3577b34da6a3ce929d0e0e4736"),
            (Text::SpanId, "00f067aa0ba902b7"),
            (Text::CorrelationId, "test-correlation-id"),
            (Text::CorrelationHeader, "x-request-id"),
        ];
        // 2026-01-02T03:04:05Z, and three milliseconds.
        let numbers = [
            (Number::RequestBytes, 0),
            (Number::ResponseBytes, 0),
            (Number::Duration, 3_000_000),
            (Number::Attempts, 0),
            (Number::StartTime, 1_767_323_045_000_000_000),
            (Number::Sampled, 1),
            (Number::TrustedPeer, 0),
            (Number::WebSocket, 0),
        ];
        let facts = Facts {
            texts: texts.map(|(text, value)| (text, value.into())).into(),
            numbers: numbers.into(),
            spans: vec![SpanFacts { name: "exchange".to_owned(), ..SpanFacts::default() }],
            ..Facts::default()
        };
        let bodies = [Vec::new(), Vec::new()];
        Self { host, facts, response: Map::new(), bodies, failed_attempts: Vec::new(), leaves: None }
    }

    /// A GET of this path, with its query if it has one.
    pub fn get(self, path: &str) -> Self {
        self.request("GET", path)
    }

    /// A POST to this path.
    pub fn post(self, path: &str) -> Self {
        self.request("POST", path)
    }

    /// Any method and path.
    pub fn request(self, method: &str, path: &str) -> Self {
        match path.split_once('?') {
            Some((path, query)) => self.text(Text::Method, method).text(Text::Path, path).text(Text::Query, query),
            None => self.text(Text::Method, method).text(Text::Path, path),
        }
    }

    /// The request's host.
    pub fn host(self, host: &str) -> Self {
        self.text(Text::Host, host)
    }

    /// It came over TLS.
    pub fn https(self) -> Self {
        self.text(Text::Scheme, "https")
    }

    /// Adds a request header; the value may be any bytes.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.facts.request.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Adds a header of the upstream's response.
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The client's address.
    pub fn client(self, address: &str) -> Self {
        self.text(Text::ClientAddress, address)
    }

    /// The peer that is connected, `address:port`.
    pub fn peer(self, address: &str) -> Self {
        self.text(Text::PeerAddress, address)
    }

    /// The peer is a trusted proxy.
    pub fn trusted_peer(self) -> Self {
        self.number(Number::TrustedPeer, 1)
    }

    /// The route's name, and the template it goes by.
    pub fn route(self, name: &str, template: &str) -> Self {
        self.text(Text::Route, name).text(Text::RouteTemplate, template)
    }

    /// How long the exchange takes.
    pub fn duration(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.number(Number::Duration, nanos)
    }

    /// Any text of the exchange.
    pub fn text(mut self, text: Text, value: impl AsRef<[u8]>) -> Self {
        self.facts.texts.push((text, value.as_ref().to_vec()));
        self
    }

    /// Any number of the exchange.
    pub fn number(mut self, number: Number, value: i64) -> Self {
        self.facts.numbers.push((number, value));
        self
    }

    /// The request's body, in one piece.
    pub fn request_body(self, body: impl AsRef<[u8]>) -> Self {
        self.request_pieces([body])
    }

    /// The request's body, in these pieces.
    pub fn request_pieces<B: AsRef<[u8]>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        self.bodies[0] = pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect();
        self
    }

    /// The body of the upstream's response, in one piece.
    pub fn response_body(self, body: impl AsRef<[u8]>) -> Self {
        self.response_pieces([body])
    }

    /// The body of the upstream's response, in these pieces.
    pub fn response_pieces<B: AsRef<[u8]>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        self.bodies[1] = pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect();
        self
    }

    /// Adds a trailer of the request.
    pub fn request_trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.facts.request_trailers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Adds a trailer of the upstream's response.
    pub fn response_trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.facts.response_trailers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Before the attempt that is answered, one fails for this reason of the proxy's closed list, such as `connect_failed`.
    pub fn failed_attempt(mut self, reason: &str) -> Self {
        self.failed_attempts.push(reason.to_owned());
        self
    }

    /// The client leaves when the exchange's hooks have waited for longer than this.
    pub const fn leaves_after(mut self, patience: Duration) -> Self {
        self.leaves = Some(patience);
        self
    }

    /// Runs the hooks, where the upstream answers with this status. A hook that waits is answered at once, and the host's clock moves by
    /// as much as that took.
    pub fn respond(self, status: u16) -> TestExchange {
        let Self { host, facts, response, bodies: [request_body, response_body], failed_attempts, leaves } = self;
        host.memory.borrow_mut().exchange = Some(facts);
        let leaves = leaves.map(|patience| host.memory.borrow().platform.now + patience);
        let mut walk = Walk { host, leaves, replied: None, failed: None, left: false };

        let has_body = request_body.iter().any(|piece| !piece.is_empty());
        let mut request_body = request_body;
        walk.ask(Hook::RequestHead);
        let held = walk.wish(0).mode.holds_head();
        if has_body && held {
            request_body = walk.body(Hook::RequestBody, 0, request_body);
        }
        walk.attempts(&failed_attempts);
        if has_body && !held {
            request_body = walk.body(Hook::RequestBody, 0, request_body);
        }
        if walk.fact(|facts| !facts.request_trailers.is_empty()) {
            walk.ask(Hook::RequestTrailers);
        }
        let sent = !walk.is_over();
        if !walk.left {
            walk.answer(walk.replied.clone().unwrap_or(Reply { status, headers: response, body: Vec::new() }));
            let before = walk.replied.take();
            walk.ask(Hook::ResponseHead);
            let mut response_body = response_body;
            if before.is_none() && walk.replied.is_none() && response_body.iter().any(|piece| !piece.is_empty()) {
                response_body = walk.body(Hook::ResponseBody, 1, response_body);
            }
            if let Some(reply) = walk.replied.clone() {
                walk.answer(reply);
            } else if before.is_none() && walk.fact(|facts| !facts.response_trailers.is_empty()) {
                walk.ask(Hook::ResponseTrailers);
            }
            walk.replied = walk.replied.take().or(before);
            if walk.replied.is_none() {
                walk.body_is_done(Number::ResponseBytes, &response_body);
                return walk.end(sent.then(|| request_body.concat()), Some(response_body.concat()));
            }
        }
        walk.end(sent.then(|| request_body.concat()), None)
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Whether the exchange does not go on to the upstream.
    const fn is_over(&self) -> bool {
        self.left || self.replied.is_some()
    }

    fn fact<T: Default>(&self, fact: impl FnOnce(&mut Facts) -> T) -> T {
        self.host.memory.borrow_mut().exchange.as_mut().map(fact).unwrap_or_default()
    }

    /// Runs a hook that may reply, unless one did.
    fn ask(&mut self, hook: Hook) {
        if self.is_over() {
            return;
        }
        match self.host.drive(hook, self.leaves) {
            Ended::Verdict(verdict) if verdict == Verdict::Fail as i32 => {
                self.failed = self.host.memory.borrow_mut().refusal.take();
            }
            Ended::Verdict(verdict) if verdict == Verdict::Reply as i32 => {
                self.replied = self.fact(|facts| facts.reply.take());
            }
            Ended::Verdict(_) | Ended::Absent => {}
            Ended::Left => self.left = true,
        }
    }

    /// How a body is wanted.
    fn wish(&self, body: usize) -> Wish {
        let default = self.host.memory.borrow().platform.wishes.get(body).copied().unwrap_or_default();
        self.fact(|facts| facts.wishes.get(body).copied().flatten()).unwrap_or(default)
    }

    fn attempts(&mut self, failed: &[String]) {
        for reason in failed {
            self.attempt();
            self.fact(|facts| {
                facts.texts.push((Text::AttemptError, reason.clone().into_bytes()));
                facts.numbers.push((Number::AttemptDuration, 1_000_000));
            });
            self.ask(Hook::UpstreamError);
            self.ask(Hook::Retry);
        }
        self.attempt();
    }

    fn attempt(&mut self) {
        self.fact(|facts| {
            let attempts = facts.numbers.iter().rev().find(|(number, _)| *number == Number::Attempts);
            let attempts = attempts.map_or(0, |(_, attempts)| *attempts);
            facts.numbers.push((Number::Attempts, attempts + 1));
            if !facts.texts.iter().any(|(text, _)| *text == Text::Endpoint) {
                facts.texts.push((Text::Endpoint, b"192.0.2.1:80".to_vec()));
            }
        });
        self.ask(Hook::UpstreamChosen);
    }

    /// From here on the exchange has this response.
    fn answer(&self, response: Reply) {
        self.fact(|facts| {
            facts.numbers.push((Number::Status, response.status.into()));
            facts.response = Some(response.headers);
        });
    }

    /// Runs a body hook as its mode says; returns the pieces that go on.
    fn body(&mut self, hook: Hook, body: usize, pieces: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let Wish { mode, limit, overflow } = self.wish(body);
        if self.is_over() || mode == Mode::Skip || !self.host.hooks.contains(&hook) {
            return pieces;
        }
        match mode {
            Mode::Stream | Mode::Rewrite | Mode::Skip => {
                let last = pieces.len().saturating_sub(1);
                let may_change = mode == Mode::Rewrite;
                let number = if hook == Hook::RequestBody { Number::RequestBytes } else { Number::ResponseBytes };
                let mut passed = Vec::new();
                for (at, bytes) in pieces.into_iter().enumerate() {
                    let piece = Piece { bytes, is_last: at == last, holds_head: false, may_change };
                    passed.push(self.piece(hook, piece));
                    self.body_is_done(number, &passed);
                }
                passed
            }
            Mode::Peek => {
                let whole = pieces.concat();
                let (first, rest) = whole.split_at(limit.min(whole.len()));
                let (bytes, is_last) = (first.to_vec(), rest.is_empty());
                let first = self.piece(hook, Piece { bytes, is_last, holds_head: true, may_change: true });
                vec![first, rest.to_vec()]
            }
            Mode::Buffer => {
                let whole = pieces.concat();
                if whole.len() <= limit {
                    return vec![
                        self.piece(hook, Piece { bytes: whole, is_last: true, holds_head: true, may_change: true }),
                    ];
                }
                match overflow {
                    Overflow::Pass => {}
                    Overflow::Reject => {
                        self.replied = Some(Reply::new(if hook == Hook::RequestBody { 413 } else { 502 }));
                    }
                    Overflow::Fail => self.failed = Some(format!("the body is longer than {limit} bytes")),
                }
                pieces
            }
        }
    }

    /// Runs a body hook with a piece; returns what became of it.
    fn piece(&mut self, hook: Hook, piece: Piece) -> Vec<u8> {
        self.fact(|facts| facts.piece = Some(piece));
        self.ask(hook);
        self.fact(|facts| facts.piece.take()).map(|piece| piece.bytes).unwrap_or_default()
    }

    fn body_is_done(&self, number: Number, pieces: &[Vec<u8>]) {
        let bytes = pieces.iter().map(Vec::len).sum::<usize>();
        self.fact(|facts| facts.numbers.push((number, i64::try_from(bytes).unwrap_or(i64::MAX))));
    }

    /// The last hook, and the end of the exchange.
    fn end(self, request_body: Option<Vec<u8>>, response_body: Option<Vec<u8>>) -> TestExchange {
        if let Some(body) = request_body.clone().filter(|body| !body.is_empty()) {
            self.body_is_done(Number::RequestBytes, &[body]);
        }
        self.host.drive(Hook::Log, None);
        self.host.release();
        let facts = self.host.memory.borrow_mut().exchange.take().unwrap_or_default();
        TestExchange { facts, replied: self.replied, failed: self.failed, left: self.left, request_body, response_body }
    }
}
