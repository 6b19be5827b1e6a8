//! From a finished exchange to its spans: the server span, a client span for each attempt, and the plugins' spans.
//! It runs on the exporter's thread and sends nothing.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tidegate_abi::SpanStatus;

use super::attributes;
use super::trail::Trail;
use crate::telemetry::record::{Attempt, CallOut, ChildSpan, SpanDetail};
use crate::telemetry::trace_context;

/// What all spans of one exchange have in common.
struct Tree<'a> {
    trail: &'a Trail,
    scope: &'a InstrumentationScope,
    flags: TraceFlags,
    state: TraceState,
    ended: Instant,
}

// === impl Trail ===

impl Trail {
    /// Adds the exchange's spans.
    pub(in crate::telemetry) fn grow(mut self, scope: &InstrumentationScope, into: &mut Vec<SpanData>) {
        let (detail, children, attempts) =
            (std::mem::take(&mut self.detail), std::mem::take(&mut self.children), std::mem::take(&mut self.attempts));
        let call_outs = std::mem::take(&mut self.call_outs);
        let state = self.trace.state.as_ref().and_then(|state| state.to_str().ok());
        let tree = Tree {
            scope,
            // Whoever exports a span has sampled it, also where only the outcome said so.
            flags: TraceFlags::SAMPLED,
            // OpenTelemetry's rules are a little stricter than W3C's; a state that does not pass is left out.
            state: state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default(),
            ended: self.started + self.duration,
            trail: &self,
        };
        into.push(tree.server(detail));
        let ids: Vec<_> = children.iter().map(|child| child.id).collect();
        for (resend, attempt) in attempts.iter().enumerate() {
            into.push(tree.client(attempt, resend));
        }
        for call in &call_outs {
            into.push(tree.call_out(call));
        }
        for child in children {
            let parent = child.parent.and_then(|parent| ids.get(usize::from(parent))).copied();
            into.push(tree.child(child, parent.unwrap_or(self.trace.span)));
        }
    }
}

// === impl Tree ===

impl Tree<'_> {
    fn server(&self, detail: SpanDetail) -> SpanData {
        let trail = self.trail;
        let name = match &trail.route {
            Some(route) => format!("{} {}", attributes::method_name(&trail.method), route.template),
            None => attributes::method_name(&trail.method).to_owned(),
        };
        let failed = trail.status.is_some_and(|status| status.is_server_error())
            || trail.status.is_none() && trail.error.is_some();
        let description = trail.error.map(|reason| reason.describe().trim_ascii()).unwrap_or_default();
        let own = if failed { Status::error(description) } else { Status::Unset };
        let mut span = self.span(trail.trace.span, name, SpanKind::Server, (trail.started, Some(self.ended)));
        span.attributes = attributes::server(trail);
        span.status = own;
        if let Some(parent) = trail.trace.parent {
            span.parent_span_id = id(parent);
            span.parent_span_is_remote = true;
        }
        self.describe(&mut span, detail);
        span
    }

    fn client(&self, attempt: &Attempt, resend: usize) -> SpanData {
        let name = attributes::method_name(&self.trail.method).to_owned();
        let mut span = self.span(attempt.span, name, SpanKind::Client, (attempt.started, attempt.ended));
        span.parent_span_id = id(self.trail.trace.span);
        span.attributes = attributes::client(self.trail, attempt, resend);
        if attributes::attempt_error(attempt).is_some() {
            span.status = Status::error(attempt.error.map(|reason| reason.describe().trim_ascii()).unwrap_or_default());
        }
        span
    }

    fn call_out(&self, call: &CallOut) -> SpanData {
        let name = attributes::method_name(&call.method).to_owned();
        let mut span = self.span(call.span, name, SpanKind::Client, (call.started, call.ended));
        span.parent_span_id = id(self.trail.trace.span);
        span.attributes = attributes::call_out(call);
        if attributes::call_out_error(call).is_some() {
            let reason = call.outcome.and_then(Result::err);
            span.status = Status::error(reason.map(|reason| reason.describe().trim_ascii()).unwrap_or_default());
        }
        span
    }

    fn child(&self, child: ChildSpan, parent: trace_context::SpanId) -> SpanData {
        let ChildSpan { id: own, parent: _, plugin: _, plugin_name, name, started, ended, detail } = child;
        let mut span = self.span(own, String::from(name), SpanKind::Internal, (started, ended));
        span.parent_span_id = id(parent);
        span.attributes.push(KeyValue::new("tidegate.plugin", plugin_name.to_string()));
        self.describe(&mut span, detail);
        span
    }

    /// A span that has not ended ends with the exchange.
    fn span(
        &self,
        own: trace_context::SpanId,
        name: String,
        kind: SpanKind,
        (started, ended): (Instant, Option<Instant>),
    ) -> SpanData {
        let trace_id = TraceId::from(self.trail.trace.trace_id);
        SpanData {
            span_context: SpanContext::new(trace_id, id(own), self.flags, false, self.state.clone()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: Cow::Owned(name),
            start_time: self.time(started),
            end_time: self.time(ended.unwrap_or(self.ended)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Adds what plugins gave to a span; a status of theirs stands before ours.
    fn describe(&self, span: &mut SpanData, detail: SpanDetail) {
        let SpanDetail { attributes, events, status } = detail;
        for attribute in attributes::plugin(attributes) {
            match span.attributes.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => known.value = attribute.value,
                None => span.attributes.push(attribute),
            }
        }
        let events = events.into_iter().map(|(at, name)| Event::new(String::from(name), self.time(at), Vec::new(), 0));
        span.events.events.extend(events);
        match status {
            Some((SpanStatus::Ok, _)) => span.status = Status::Ok,
            Some((SpanStatus::Error, description)) => span.status = Status::error(String::from(description)),
            Some((SpanStatus::Unset, _)) | None => {}
        }
    }

    fn time(&self, at: Instant) -> SystemTime {
        self.trail.started_at + at.saturating_duration_since(self.trail.started)
    }
}

fn id(span: trace_context::SpanId) -> SpanId {
    SpanId::from(span.0)
}
