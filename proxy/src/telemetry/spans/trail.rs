//! What spans are built from: the parts of a record that outlive it.
//! It is cheap to make and knows nothing of OpenTelemetry.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Version};

use crate::error::Reason;
use crate::telemetry::access_log::{Ending, redacted};
use crate::telemetry::record::{Attempt, BreakerDecision, CallOut, ChildSpan, Record, SpanDetail};
use crate::telemetry::trace_context::TraceContext;

/// A finished exchange, on its way to the exporter's thread.
#[derive(Debug)]
pub struct Trail {
    pub(super) trace: TraceContext,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    pub(super) duration: Duration,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) https: bool,
    pub(super) host: Box<str>,
    pub(super) port: Option<u16>,
    pub(super) path: Box<str>,
    pub(super) query: Option<Box<str>>,
    /// Path and query as they were sent upstream, where those are others.
    pub(super) sent: Option<Box<str>>,
    pub(super) user_agent: Option<Box<str>>,
    pub(super) peer: SocketAddr,
    pub(super) client: IpAddr,
    pub(super) correlation: Box<str>,
    pub(super) listener: Arc<str>,
    pub(super) route: Option<Route>,
    pub(super) status: Option<StatusCode>,
    pub(super) error: Option<Reason>,
    pub(super) limits: Vec<(Arc<str>, bool)>,
    pub(super) breaker: Option<BreakerDecision>,
    pub(super) websocket: bool,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) attempts: Vec<Attempt>,
    pub(super) detail: SpanDetail,
    pub(super) children: Vec<ChildSpan>,
    pub(super) call_outs: Vec<CallOut>,
}

#[derive(Debug)]
pub(super) struct Route {
    pub name: Arc<str>,
    pub template: Arc<str>,
    pub upstream: Arc<str>,
}

/// The longest text from a client in an attribute, in bytes: what waits for the collector stays bounded.
const MAX_TEXT: usize = 2048;

// === impl Trail ===

impl Trail {
    /// Takes what is needed; what is copied would otherwise hold the connection's read buffer.
    pub(in crate::telemetry) fn of(record: &mut Record, ending: &Ending) -> Self {
        let redact = record.listener.outputs.spans.as_ref().map(|queue| Arc::clone(&queue.redact_query));
        let query =
            redacted(record.request.uri.query(), redact.as_deref().unwrap_or_default()).map(|query| bounded(&query));
        let sent = record.sent.target.take().map(|target| {
            let query = redacted(target.query(), redact.as_deref().unwrap_or_default());
            bounded(&with_query(target.path(), query.as_deref()))
        });
        let agent = |value: &HeaderValue| bounded(&String::from_utf8_lossy(value.as_bytes()));
        Self {
            started: record.started,
            started_at: record.started_at,
            duration: ending.duration,
            method: std::mem::take(&mut record.request.method),
            version: record.request.version,
            https: record.request.https,
            host: (&*record.request.host).into(),
            port: record.captured.port,
            path: bounded(record.request.uri.path()),
            query,
            sent,
            user_agent: record.captured.user_agent.as_ref().map(agent),
            peer: record.peer,
            client: record.client,
            correlation: (*record.correlation.id).into(),
            listener: Arc::clone(&record.listener.name),
            route: record.route.as_ref().map(|route| Route {
                name: Arc::clone(&route.name),
                template: Arc::clone(&route.template),
                upstream: Arc::clone(&route.upstream),
            }),
            status: record.status(),
            error: record.error,
            limits: std::mem::take(&mut record.limits),
            breaker: record.breaker,
            websocket: record.websocket,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            attempts: std::mem::take(&mut record.attempts),
            detail: std::mem::take(&mut record.span),
            children: std::mem::take(&mut record.spans),
            call_outs: std::mem::take(&mut record.call_outs),
            trace: TraceContext {
                state: record.trace.state.as_ref().and_then(|state| HeaderValue::from_bytes(state.as_bytes()).ok()),
                ..record.trace.clone()
            },
        }
    }

    /// How many spans it becomes.
    pub(in crate::telemetry) fn spans(&self) -> usize {
        1 + self.attempts.len() + self.children.len() + self.call_outs.len()
    }
}

pub(super) fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn bounded(text: &str) -> Box<str> {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default().into()
}
