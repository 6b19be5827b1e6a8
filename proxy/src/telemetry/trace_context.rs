//! Trace and span ids, and the headers that carry them.
//! It decides nothing about sampling.

/// Eight bytes that are not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

/// Where an exchange stands in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    /// The exchange's own (server) span.
    pub span: SpanId,
    /// The caller's span, where there was a valid one.
    pub parent: Option<SpanId>,
    /// The decision at the head of the exchange; the outcome may still add the trace.
    pub sampled: bool,
    /// `tracestate`, handed on as received.
    pub state: Option<http::HeaderValue>,
}
