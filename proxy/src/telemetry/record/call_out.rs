//! The requests that plugins made of their own for an exchange: each is a client span below the exchange's.
//! It sends nothing.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, StatusCode};

use crate::error::Reason;
use crate::moment;
use crate::telemetry::access_log::redacted;
use crate::telemetry::record::Record;
use crate::telemetry::trace_context::SpanId;

/// A plugin's own request to an upstream, made for an exchange.
#[derive(Clone, Debug)]
pub struct CallOut {
    pub span: SpanId,
    pub plugin: Arc<str>,
    pub upstream: Arc<str>,
    pub method: Method,
    pub path: Box<str>,
    /// Without what is redacted in logs.
    pub query: Option<Box<str>>,
    /// Whether the upstream is spoken to over TLS.
    pub https: bool,
    pub started: Instant,
    /// One that has not ended was given up by the plugin, or with the exchange.
    pub ended: Option<Instant>,
    /// The last one that was asked, `host:port`.
    pub endpoint: Option<Arc<str>>,
    /// The status it was answered with, or why it was not.
    pub outcome: Option<Result<StatusCode, Reason>>,
}

impl Record {
    /// Begins a call-out, and writes the trace context and the correlation id into its headers.
    pub fn call_out<B>(
        &mut self,
        plugin: &Arc<str>,
        (upstream, https): (&Arc<str>, bool),
        request: &mut Request<B>,
    ) -> SpanId {
        let span = self.listener.worker.span_id();
        self.introduce(span, request.headers_mut());
        let query = self
            .listener
            .outputs
            .spans
            .as_ref()
            .and_then(|spans| redacted(request.uri().query(), &spans.redact_query))
            .map(Into::into);
        self.call_outs.push(CallOut {
            span,
            plugin: Arc::clone(plugin),
            upstream: Arc::clone(upstream),
            method: request.method().clone(),
            path: request.uri().path().into(),
            query,
            https,
            started: moment::now(),
            ended: None,
            endpoint: None,
            outcome: None,
        });
        span
    }

    /// Says what became of a call-out.
    pub fn call_out_ended(&mut self, span: SpanId, endpoint: Option<Arc<str>>, outcome: Result<StatusCode, Reason>) {
        if let Some(call) = self.call_outs.iter_mut().find(|call| call.span == span) {
            call.ended = Some(moment::now());
            call.endpoint = endpoint;
            call.outcome = Some(outcome);
        }
    }
}
