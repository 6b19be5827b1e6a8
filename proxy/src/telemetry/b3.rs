//! B3 propagation, in one header or in several: read where a request has it, and written in the same form.
//! It is not what a trace is known by; that is W3C trace context.
//!
//! <https://github.com/openzipkin/b3-propagation>

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::trace_context::{SpanId, TraceContext, hex, push_hex, span_id};

/// How B3 stands in the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `b3`.
    Single,
    /// `x-b3-traceid` and its like.
    Multi,
    /// As [`Form::Single`], with the debug flag: whoever sees it keeps the trace.
    SingleDebug,
    /// As [`Form::Multi`], with the debug flag.
    MultiDebug,
}

/// What B3 said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Trace id and the caller's span, where both are valid.
    pub ids: Option<(u128, SpanId)>,
    /// `None` leaves the decision to us.
    pub decision: Option<bool>,
}

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Whether B3 knows the header.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    name == B3 || name.as_str().starts_with("x-b3-")
}

/// Which form the headers have, valid or not; the single header wins.
pub fn form(headers: &HeaderMap) -> Option<Form> {
    if let Some(value) = headers.get(B3) {
        let mut fields = value.as_bytes().split(|byte| *byte == b'-');
        let state = if value.len() == 1 { fields.next() } else { fields.nth(2) };
        return Some(if state == Some(b"d") { Form::SingleDebug } else { Form::Single });
    }
    if headers.get(FLAGS).is_some_and(|flags| flags == "1") {
        return Some(Form::MultiDebug);
    }
    let any = [TRACE_ID, SPAN_ID, SAMPLED].iter().any(|name| headers.contains_key(name));
    any.then_some(Form::Multi)
}

/// Reads the headers, which have this form.
pub fn extract(form: Form, headers: &HeaderMap) -> Read {
    match form {
        Form::Single | Form::SingleDebug => single(headers),
        Form::Multi | Form::MultiDebug => multi(form, headers),
    }
}

/// Writes a context whose upstream's parent is `span`, in place of the one that was there.
pub(super) fn inject(form: Form, context: &TraceContext, span: SpanId, headers: &mut HeaderMap) {
    let state = HeaderValue::from_static(if context.sampled { "1" } else { "0" });
    let hex = |number: u128, digits| {
        let mut text = Vec::with_capacity(32);
        push_hex(&mut text, number, digits);
        text
    };
    match form {
        Form::Single | Form::SingleDebug => {
            let mut text = hex(context.trace_id, 32);
            text.push(b'-');
            push_hex(&mut text, span.0.into(), 16);
            text.push(b'-');
            text.extend_from_slice(if form == Form::SingleDebug { b"d" } else { state.as_bytes() });
            text.push(b'-');
            push_hex(&mut text, context.span.0.into(), 16);
            set(headers, B3, &text);
        }
        Form::Multi | Form::MultiDebug => {
            set(headers, TRACE_ID, &hex(context.trace_id, 32));
            set(headers, SPAN_ID, &hex(span.0.into(), 16));
            set(headers, PARENT, &hex(context.span.0.into(), 16));
            // Debug implies sampled, which is then not written.
            if form == Form::Multi {
                headers.insert(SAMPLED, state);
            } else {
                headers.remove(SAMPLED);
            }
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, digits: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(digits) {
        headers.insert(name, value);
    }
}

fn single(headers: &HeaderMap) -> Read {
    let mut values = headers.get_all(B3).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Read::default() };
    let fields: Vec<_> = value.as_bytes().split(|byte| *byte == b'-').collect();
    let read = |trace, span, state: Option<&[u8]>| {
        let ids = Option::zip(trace_id(trace), span_id(span));
        let decision = state.map(decide);
        // Any field that is not valid makes all of it invalid.
        match (ids, decision) {
            (None, _) | (_, Some(None)) => Read::default(),
            (ids, decision) => Read { ids, decision: decision.flatten() },
        }
    };
    match fields.as_slice() {
        [state] => Read { ids: None, decision: decide(state) },
        [trace, span] => read(trace, span, None),
        [trace, span, state] => read(trace, span, Some(state)),
        [trace, span, state, parent] if span_id(parent).is_some() => read(trace, span, Some(state)),
        _ => Read::default(),
    }
}

fn multi(form: Form, headers: &HeaderMap) -> Read {
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.as_bytes()),
            _ => None,
        }
    };
    let ids = Option::zip(one(TRACE_ID).and_then(trace_id), one(SPAN_ID).and_then(span_id));
    let decision = if form == Form::MultiDebug { Some(true) } else { one(SAMPLED).and_then(decide) };
    Read { ids, decision }
}

fn trace_id(digits: &[u8]) -> Option<u128> {
    let valid = matches!(digits.len(), 16 | 32);
    hex(digits).filter(|id| valid && *id != 0)
}

/// `true` and `false` are what the first implementations wrote.
fn decide(state: &[u8]) -> Option<bool> {
    match state {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
