//! What a plugin made of one exchange of a test.
//! How it came to that stands in `request`.

use std::time::Duration;

use tidegate_abi::{Level, Number, SpanStatus, Text};

use super::Seen;
use super::memory::{Facts, Map, SpanFacts};
use crate::Reply;

/// An exchange that is over, and what the plugin added to it.
#[derive(Clone, Debug)]
pub struct TestExchange {
    pub(super) facts: Facts,
    pub(super) replied: Option<Reply>,
    pub(super) failed: Option<String>,
    pub(super) left: bool,
    pub(super) request_body: Option<Vec<u8>>,
    pub(super) response_body: Option<Vec<u8>>,
}

/// A span of the exchange.
#[derive(Clone, Debug)]
pub struct TestSpan(SpanFacts);

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

    /// Whether the client left while a hook waited.
    pub const fn is_abandoned(&self) -> bool {
        self.left
    }

    /// The request's body as it went upstream; `None` when nothing did.
    pub fn request_body(&self) -> Option<&[u8]> {
        self.request_body.as_deref()
    }

    /// The body of the upstream's response as the client gets it; `None` when the answer is the plugin's own.
    pub fn response_body(&self) -> Option<&[u8]> {
        self.response_body.as_deref()
    }

    /// A trailer of the request as it goes upstream: its first value.
    pub fn request_trailer(&self, name: &str) -> Seen {
        header(&self.facts.request_trailers, name)
    }

    /// A trailer of the response as the client gets it: its first value.
    pub fn response_trailer(&self, name: &str) -> Seen {
        header(&self.facts.response_trailers, name)
    }

    /// Every value of a header of the response as the client gets it.
    pub fn response_headers(&self, name: &str) -> Vec<Seen> {
        let headers = self.facts.response.iter().flatten();
        let values = headers.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| Seen::text(value)).collect()
    }

    /// The route that the plugin chose, if it did.
    pub fn route_set(&self) -> Option<&str> {
        self.facts.orders.route.as_deref()
    }

    /// The upstream that the plugin chose, if it did.
    pub fn upstream_set(&self) -> Option<&str> {
        self.facts.orders.upstream.as_deref()
    }

    /// The timeout that the plugin chose, if it did: `Some(None)` is none at all.
    pub const fn timeout_set(&self) -> Option<Option<Duration>> {
        self.facts.orders.timeout
    }

    /// The value that the plugin gave for limits with `key: plugin.NAME`.
    pub fn limit_key(&self, name: &str) -> Seen {
        let keys = &self.facts.orders.limit_keys;
        keys.iter().find(|(known, _)| known == name).map_or(Seen::Absent, |(_, value)| Seen::text(value))
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
