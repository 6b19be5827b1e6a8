//! The record of one exchange: filled as the exchange goes, emitted exactly once, when it is dropped.
//! It does not know who fills it, nor where its outputs go.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::error::Reason;
use crate::telemetry::trace_context::{SpanId, TraceContext};

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
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// One for each time the request was sent, or tried to be sent, upstream.
    pub attempts: Vec<Attempt>,
    /// The first thing that went wrong.
    pub error: Option<Reason>,
    /// What the limits said, in order: `(limit, allowed)`.
    pub limits: Vec<(Arc<str>, bool)>,
    /// Whether the client and the upstream both said 101.
    pub websocket: bool,
    /// Set by plugins; the proxy's own names are refused when they are added.
    pub fields: Vec<Field>,
    /// Attributes, events and status that plugins gave to the exchange's own span.
    pub span: SpanDetail,
    /// Child spans of plugins.
    pub spans: Vec<ChildSpan>,
}

/// The request as the exchange sees it. The headers are taken when they are sent upstream, unless someone needs them later.
#[derive(Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    /// As received: origin form, or absolute form over HTTP/2.
    pub uri: Uri,
    pub version: Version,
    /// Whether the client spoke TLS.
    pub https: bool,
    /// Without the port, lower case.
    pub host: Box<str>,
    pub headers: HeaderMap,
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
    pub id: Box<str>,
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
}

/// What a listener says about its exchanges.
#[derive(Debug)]
pub struct ListenerScope {
    pub name: Arc<str>,
}

/// What a route says about its exchanges.
#[derive(Debug)]
pub struct RouteScope {
    pub name: Arc<str>,
    /// The value of `http.route`.
    pub template: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
}
