//! One exchange of a test: the request as the test says, then what the plugin made of it.
//! It calls the hooks in the proxy's order, and keeps nothing for the next exchange.

use std::time::Duration;

use tidegate_abi::{Hook, Level, Number, SpanStatus, Text, Verdict};

use super::memory::{Facts, Map, SpanFacts};
use super::{Hooks, Seen, TestHost};
use crate::Reply;

/// An exchange that is being described. What is not said is as in a plain `GET http://localhost/` from 203.0.113.9.
#[must_use = "an exchange happens with `respond`"]
pub struct TestRequest<'h> {
    host: &'h mut TestHost,
    facts: Facts,
    response: Map,
}

/// An exchange that is over, and what the plugin added to it.
#[derive(Clone, Debug)]
pub struct TestExchange {
    facts: Facts,
    replied: Option<Reply>,
    failed: Option<String>,
}

/// A span of the exchange.
#[derive(Clone, Debug)]
pub struct TestSpan(SpanFacts);

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
        Self { host, facts, response: Map::new() }
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

    /// Runs the hooks, where the upstream answers with this status.
    pub fn respond(self, status: u16) -> TestExchange {
        let Self { host, facts, response } = self;
        // Exchanges of a test do not overlap, so one slot serves them all, as the proxy uses slots again.
        let slot = 0;
        host.memory.borrow_mut().exchange = Some(facts);

        let mut failed = None;
        let replied = head(host, Hook::RequestHead, slot, &mut failed);
        answer(host, replied.clone().unwrap_or(Reply { status, headers: response, body: Vec::new() }));
        let replaced = head(host, Hook::ResponseHead, slot, &mut failed);
        if let Some(reply) = &replaced {
            answer(host, reply.clone());
        }
        host.run(Hook::Log, |plugin| plugin.log(slot));
        super::within(&host.memory, || Hooks::release(&*host.plugin, slot));
        let facts = host.memory.borrow_mut().exchange.take().unwrap_or_default();
        TestExchange { facts, replied: replaced.or(replied), failed }
    }
}

/// Runs a head hook. Returns the answer that it made, or notes that it failed.
fn head(host: &TestHost, hook: Hook, slot: i32, failed: &mut Option<String>) -> Option<Reply> {
    let verdict = host.run(hook, |plugin| match hook {
        Hook::RequestHead => plugin.request_head(slot),
        _ => plugin.response_head(slot),
    })?;
    let mut memory = host.memory.borrow_mut();
    if verdict == Verdict::Fail as i32 {
        *failed = memory.refusal.take();
    }
    let reply = memory.exchange.as_mut()?.reply.take();
    reply.filter(|_| verdict == Verdict::Reply as i32)
}

/// From here on the exchange has this response.
fn answer(host: &TestHost, response: Reply) {
    if let Some(facts) = &mut host.memory.borrow_mut().exchange {
        facts.numbers.push((Number::Status, response.status.into()));
        facts.response = Some(response.headers);
    }
}

// === impl TestExchange ===

impl TestExchange {
    /// The status that the client sees.
    pub fn status(&self) -> u16 {
        let status = self.facts.numbers.iter().rev().find(|(number, _)| *number == Number::Status);
        status.and_then(|(_, status)| u16::try_from(*status).ok()).unwrap_or_default()
    }

    /// Whether the plugin answered itself.
    pub const fn is_reply(&self) -> bool {
        self.replied.is_some()
    }

    /// The body of the plugin's own answer.
    pub fn reply_body(&self) -> Option<&[u8]> {
        self.replied.as_ref().map(|reply| &*reply.body)
    }

    /// Why a hook failed, if one did.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// A field that the plugin added to the log line.
    pub fn log_field(&self, key: &str) -> Seen {
        find(&self.facts.fields, key)
    }

    /// The lines that the plugin logged during the exchange.
    pub fn log_lines(&self) -> &[(Level, String)] {
        &self.facts.lines
    }

    /// A header of the request as it goes upstream: its first value.
    pub fn request_header(&self, name: &str) -> Seen {
        header(&self.facts.request, name)
    }

    /// A header of the response as the client gets it: its first value.
    pub fn response_header(&self, name: &str) -> Seen {
        self.facts.response.as_ref().map_or(Seen::Absent, |response| header(response, name))
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> &str {
        self.text(Text::CorrelationId)
    }

    /// The header that carries the correlation id.
    pub fn correlation_header(&self) -> &str {
        self.text(Text::CorrelationHeader)
    }

    /// The exchange's own span.
    pub fn span(&self) -> TestSpan {
        TestSpan(self.facts.spans.first().cloned().unwrap_or_default())
    }

    /// Every child span that the plugin started, in order.
    pub fn children(&self) -> Vec<TestSpan> {
        self.facts.spans.iter().skip(1).cloned().map(TestSpan).collect()
    }

    /// The first child span of this name.
    pub fn child(&self, name: &str) -> Option<TestSpan> {
        self.children().into_iter().find(|span| span.0.name == name)
    }

    fn text(&self, text: Text) -> &str {
        let value = self.facts.texts.iter().rev().find(|(known, _)| *known == text);
        value.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    }
}

// === impl TestSpan ===

impl TestSpan {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// An attribute.
    pub fn attribute(&self, key: &str) -> Seen {
        find(&self.0.attributes, key)
    }

    /// The names of its events.
    pub fn events(&self) -> &[String] {
        &self.0.events
    }

    /// Its status and message, if the plugin set one.
    pub fn status(&self) -> Option<(SpanStatus, &str)> {
        self.0.status.as_ref().map(|(status, message)| (*status, &**message))
    }

    /// Whether the plugin ended it.
    pub const fn is_ended(&self) -> bool {
        self.0.ended
    }

    /// Whether it is a child of the exchange's own span.
    pub fn is_child_of_exchange(&self) -> bool {
        self.0.parent == Some(0)
    }
}

fn find(all: &[(String, Seen)], key: &str) -> Seen {
    all.iter().find(|(known, _)| known == key).map_or(Seen::Absent, |(_, value)| value.clone())
}

fn header(map: &Map, name: &str) -> Seen {
    map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(Seen::Absent, |(_, value)| Seen::text(value))
}
