//! The record of one exchange: filled as the exchange goes, emitted exactly once, when it is dropped.
//! It does not know who fills it, nor where its outputs go.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::error::Reason;
use crate::moment;
use crate::telemetry::correlation::CorrelationId;
use crate::telemetry::metrics::exchange::{Active, RouteMetrics};
use crate::telemetry::trace_context::{self, SpanId, TraceContext};

pub use self::call_out::CallOut;
pub use crate::telemetry::scope::{ListenerScope, RouteScope};

mod begin;
mod buffers;
mod call_out;
mod copied;
mod emit;

pub use copied::CopiedHeaders;

/// Everything that is known of one exchange.
#[derive(Debug)]
pub struct Record {
    /// Labels and metric handles of the listener; `Rc`, since they belong to one worker.
    pub listener: Rc<ListenerScope>,
    /// Of the route, once one matched.
    pub route: Option<Rc<RouteScope>>,
    pub started: Instant,
    pub started_at: SystemTime,
    pub trace: TraceContext,
    pub correlation: Correlation,
    /// The peer that is connected to us.
    pub peer: SocketAddr,
    pub trusted_peer: bool,
    /// The client, after trusted proxies.
    pub client: IpAddr,
    pub request: RequestHead,
    pub response: Option<ResponseHead>,
    /// The headers of both as they went, where they are taken from there and a plugin reads them later.
    pub sent: Sent,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// One for each time the request was sent, or tried to be sent, upstream.
    pub attempts: Vec<Attempt>,
    /// The first thing that went wrong.
    pub error: Option<Reason>,
    /// What the limits said, in order: `(limit, allowed)`.
    pub limits: Vec<(Arc<str>, bool)>,
    /// What the upstream's breaker said, where it was asked.
    pub breaker: Option<BreakerDecision>,
    /// Whether the client and the upstream both said 101.
    pub websocket: bool,
    /// Set by plugins; the proxy's own names are refused when they are added.
    pub fields: Vec<Field>,
    /// Attributes, events and status that plugins gave to the exchange's own span.
    pub span: SpanDetail,
    /// Child spans of plugins.
    pub spans: Vec<ChildSpan>,
    /// Requests that plugins made of their own for this exchange.
    pub call_outs: Vec<CallOut>,
    /// Of the request's head as it came, before anything changed it.
    pub(super) captured: Captured,
    /// Which gauge of requests under way this one is counted in.
    active: Active,
    /// When both sides had said 101.
    switched: Option<Instant>,
    /// When it was over, where somebody said so.
    ended: Option<Instant>,
}

/// What is known when a request's head is there.
#[derive(Debug)]
pub struct Arrival {
    /// The peer that is connected to us.
    pub peer: SocketAddr,
    pub request: RequestHead,
}

/// What a breaker said of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    /// Closed: go on.
    Allowed,
    /// Half open: go on, as one of the few that try it out.
    Probe,
    /// Open: not sent.
    Rejected,
}

/// What outputs need of the request's headers, which may be gone when the exchange ends.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// In the order of the access log's included request headers.
    pub headers: Vec<Option<http::HeaderValue>>,
    pub user_agent: Option<http::HeaderValue>,
    /// Of the authority that the client asked for, where it named one.
    pub port: Option<u16>,
}

/// The request as the exchange sees it. The headers are taken when they are sent upstream, unless someone needs them later.
#[derive(Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    /// As received: origin form, or absolute form over HTTP/2.
    pub uri: Uri,
    pub version: Version,
    /// Whether the client spoke TLS: to us, or to a trusted proxy that says so.
    pub https: bool,
    /// Without the port, lower case.
    pub host: Rc<str>,
    pub headers: HeaderMap,
}

/// Of messages that were handed on, what is needed later.
#[derive(Debug, Default)]
pub struct Sent {
    /// Where it is not as it was received.
    pub target: Option<Box<PathAndQuery>>,
    pub request: Option<CopiedHeaders>,
    pub response: Option<CopiedHeaders>,
}

/// The response as the exchange sees it.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
}

/// One try to get an answer from an endpoint: the client span.
#[derive(Debug)]
pub struct Attempt {
    pub span: SpanId,
    pub endpoint: Arc<str>,
    /// Whether it is spoken to over TLS.
    pub https: bool,
    /// Of the answer.
    pub version: Option<Version>,
    pub started: Instant,
    /// When the response's head was there, or the attempt had failed; for the client span's end the body counts too.
    pub head: Option<Instant>,
    pub ended: Option<Instant>,
    pub status: Option<StatusCode>,
    pub error: Option<Reason>,
    /// Whether a pooled connection carried it.
    pub reused: bool,
}

/// The id that ties everything about one exchange together, and the header that carries it.
#[derive(Clone, Debug)]
pub struct Correlation {
    pub id: CorrelationId,
    pub header: http::HeaderName,
}

/// A field of the log line, by a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Which plugin of the route's chain; counts against its budget.
    pub plugin: u16,
    pub key: Box<str>,
    pub value: Value,
}

/// A typed value of a log field or a span attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Box<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// What a plugin added to a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanDetail {
    pub attributes: Vec<(Box<str>, Value)>,
    pub events: Vec<(Instant, Box<str>)>,
    pub status: Option<(tidegate_abi::SpanStatus, Box<str>)>,
}

/// A span that a plugin started.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildSpan {
    pub id: SpanId,
    /// `None` is the exchange's own span, else an index into [`Record::spans`].
    pub parent: Option<u16>,
    pub plugin: u16,
    /// The plugin's name, the span's `tidegate.plugin` attribute.
    pub plugin_name: Arc<str>,
    pub name: Box<str>,
    pub started: Instant,
    /// A span that the plugin never ended ends with the exchange.
    pub ended: Option<Instant>,
    pub detail: SpanDetail,
}

impl Record {
    /// Notes what went wrong; the first cause stands.
    pub fn fail(&mut self, reason: Reason) {
        self.error.get_or_insert(reason);
    }

    /// From the request's head to now.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The route that matched; from here on the exchange counts for it.
    pub fn enter(&mut self, route: Rc<RouteScope>) {
        self.route = Some(route);
    }

    /// Begins an attempt to get an answer from `endpoint`, and writes the trace context and the correlation id into the
    /// headers that are about to be sent there.
    pub fn attempt(&mut self, endpoint: Arc<str>, https: bool, headers: &mut HeaderMap) -> &mut Attempt {
        let span = self.listener.worker.span_id();
        self.introduce(span, headers);
        let attempt = Attempt {
            span,
            endpoint,
            https,
            version: None,
            started: moment::now(),
            head: None,
            ended: None,
            status: None,
            error: None,
            reused: false,
        };
        if self.attempts.is_empty() {
            // Nearly always the only one.
            self.attempts = Vec::with_capacity(1);
        }
        self.attempts.push(attempt);
        let last = self.attempts.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "pushed above")]
        &mut self.attempts[last]
    }

    /// The last attempt begins only now, with these headers: hooks of plugins came between.
    pub fn begin_attempt(&mut self, headers: &mut HeaderMap) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        attempt.started = moment::now();
        let span = attempt.span;
        self.introduce(span, headers);
    }

    fn introduce(&self, span: SpanId, headers: &mut HeaderMap) {
        trace_context::inject(&self.trace, span, headers);
        let Correlation { id, header } = &self.correlation;
        headers.insert(header.clone(), id.to_value());
    }

    /// Both sides have said 101: from here on the exchange is a WebSocket session, and its bytes are the body sizes.
    pub fn switch(&mut self) {
        if self.switched.is_none() {
            self.websocket = true;
            self.switched = Some(Instant::now());
            self.with_metrics(RouteMetrics::websocket_opened);
            self.let_go_of_buffers();
        }
    }

    /// It is over, and with it the attempt that still goes on; what is left is to let it drop. One reading of the clock serves both.
    pub fn end(&mut self) {
        let now = moment::now();
        self.ended = Some(now);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.ended.get_or_insert(now);
        }
    }

    /// The status that the client was sent, or was about to be.
    pub fn status(&self) -> Option<StatusCode> {
        self.response.as_ref().map(|response| response.status)
    }

    /// From sending the request upstream to the response's head, for the attempt that had one.
    pub fn upstream_elapsed(&self) -> Option<Duration> {
        let attempt = self.attempts.last()?;
        Some(attempt.head?.duration_since(attempt.started))
    }

    /// As in the request line.
    pub fn protocol(&self) -> &'static str {
        match self.request.version {
            Version::HTTP_09 => "HTTP/0.9",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_3 => "HTTP/3",
            _ => "HTTP/1.1",
        }
    }
}

// === impl BreakerDecision ===

impl BreakerDecision {
    /// The word in log lines and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Probe => "probe",
            Self::Rejected => "rejected",
        }
    }
}

#[cfg(test)]
mod tests;
