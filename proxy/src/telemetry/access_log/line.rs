//! What stands in an access log line, in order; once for all formats.
//! It knows no format.

use std::time::{Duration, SystemTime};

use super::{AccessLog, Included, redact, stamp::Stamp};
use crate::error::{Reason, Source};
use crate::telemetry::record::{Record, Value};

/// What is known of an exchange only when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub at: SystemTime,
    pub duration: Duration,
    /// The decision at the head, or that of the outcome.
    pub sampled: bool,
}

/// The name of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    /// Letters, digits, `_` and `.`: needs no escaping.
    Own(&'static str),
    Foreign(&'a str),
}

/// A format takes fields one after the other.
pub(super) trait Fields {
    /// Bytes from outside: escaped.
    fn text(&mut self, name: Name<'_>, value: &[u8]);
    /// A word of our own that needs no escaping.
    fn word(&mut self, name: Name<'_>, value: &[u8]);
    fn unsigned(&mut self, name: Name<'_>, value: u64);
    fn signed(&mut self, name: Name<'_>, value: i64);
    /// `None` in its place where it is not finite.
    fn float(&mut self, name: Name<'_>, value: f64);
    fn boolean(&mut self, name: Name<'_>, value: bool);
    fn milliseconds(&mut self, name: Name<'_>, value: Duration);
    fn timestamp(&mut self, name: Name<'_>, at: SystemTime, stamp: &Stamp);
    /// `digits` hexadecimal digits.
    fn hex(&mut self, name: Name<'_>, value: u128, digits: usize);
    fn none(&mut self, name: Name<'_>);
    /// Words under a common name.
    fn group<'a>(&mut self, name: Name<'_>, members: impl Iterator<Item = (&'a str, &'static str)>);
}

/// The level, as the module's page says.
pub(super) fn level(record: &Record) -> &'static str {
    let status = record.status().map_or(0, |status| status.as_u16());
    match record.error {
        _ if status >= 500 => "error",
        Some(Reason::Internal) => "error",
        Some(reason) if matches!(reason.source(), Source::Upstream | Source::Plugin) => "error",
        Some(_) => "warn",
        None => "info",
    }
}

/// `GET /users/{id} 200`; the reason stands in for a status that never was. Never a raw path.
pub(super) fn message(record: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(record.request.method.as_str().as_bytes());
    if let Some(route) = &record.route {
        out.push(b' ');
        out.extend_from_slice(route.template.as_bytes());
    }
    out.push(b' ');
    match (record.status(), record.error) {
        (Some(status), _) => out.extend_from_slice(status.as_str().as_bytes()),
        (None, Some(reason)) => out.extend_from_slice(reason.as_str().as_bytes()),
        (None, None) => out.push(b'-'),
    }
}

/// Hands every field of the line to a format.
pub(super) fn fields(log: &AccessLog, record: &Record, ending: &Ending, stamp: &Stamp, to: &mut impl Fields) {
    use Name::Own;
    let optional = |to: &mut _, name, value: Option<&str>| match value {
        Some(value) => Fields::text(to, Own(name), value.as_bytes()),
        None => Fields::none(to, Own(name)),
    };
    to.timestamp(Own("timestamp"), ending.at, stamp);
    to.word(Own("level"), level(record).as_bytes());
    let mut text = Vec::with_capacity(64);
    message(record, &mut text);
    to.text(Own("message"), &text);
    to.text(Own("correlation_id"), record.correlation.id.as_bytes());
    to.hex(Own("trace_id"), record.trace.trace_id, 32);
    to.hex(Own("span_id"), record.trace.span.0.into(), 16);
    to.boolean(Own("sampled"), ending.sampled);
    to.text(Own("listener"), record.listener.name.as_bytes());
    let route = record.route.as_deref();
    optional(to, "route", route.map(|route| &*route.name));
    optional(to, "upstream", route.map(|route| &*route.upstream));
    optional(to, "endpoint", record.attempts.last().map(|attempt| &*attempt.endpoint));
    text.clear();
    address(record, &mut text);
    to.word(Own("client_address"), &text);
    to.text(Own("method"), record.request.method.as_str().as_bytes());
    to.text(Own("host"), record.request.host.as_bytes());
    to.text(Own("path"), record.request.uri.path().as_bytes());
    if let Some(query) = record.request.uri.query() {
        text.clear();
        redact::push_redacted(query, &log.redact_query, &mut text);
        to.text(Own("query"), &text);
    }
    to.word(Own("protocol"), record.protocol().as_bytes());
    match record.status() {
        Some(status) => to.unsigned(Own("status"), status.as_u16().into()),
        None => to.none(Own("status")),
    }
    to.milliseconds(Own("duration_ms"), ending.duration);
    match record.upstream_elapsed() {
        Some(elapsed) => to.milliseconds(Own("upstream_ms"), elapsed),
        None => to.none(Own("upstream_ms")),
    }
    to.unsigned(Own("request_bytes"), record.request_bytes);
    to.unsigned(Own("response_bytes"), record.response_bytes);
    to.unsigned(Own("attempts"), record.attempts.len() as u64);
    match record.error {
        None => to.none(Own("error")),
        Some(reason) => {
            let members = [("source", reason.source().as_str()), ("reason", reason.as_str())];
            to.group(Own("error"), members.into_iter());
        }
    }
    to.text(Own("service"), log.service.as_bytes());
    details(log, record, to);
}

/// What not every line has.
pub(super) fn details(log: &AccessLog, record: &Record, to: &mut impl Fields) {
    use Name::Own;
    if record.websocket {
        to.boolean(Own("websocket"), true);
    }
    if !record.limits.is_empty() {
        let decisions = record.limits.iter();
        to.group(
            Own("limits"),
            decisions.map(|(name, allowed)| (&**name, if *allowed { "allowed" } else { "limited" })),
        );
    }
    if let Some(breaker) = record.breaker {
        to.word(Own("breaker"), breaker.as_str().as_bytes());
    }
    headers(log, record, to);
    plugin_fields(record, to);
}

fn headers(log: &AccessLog, record: &Record, to: &mut impl Fields) {
    let captured = record.captured.headers.iter().map(Option::as_ref);
    let requested = log.request_headers.iter().zip(captured);
    let response = record.response.as_ref().map(|response| &response.headers);
    let answered = log
        .response_headers
        .iter()
        .map(|included| (included, response.and_then(|headers| headers.get(&included.name))));
    for (Included { key, .. }, value) in requested.chain(answered) {
        if let Some(value) = value {
            to.text(Name::Foreign(key), value.as_bytes());
        }
    }
}

/// A key that was set again has its last value.
fn plugin_fields(record: &Record, to: &mut impl Fields) {
    for (index, field) in record.fields.iter().enumerate() {
        if record.fields.iter().skip(index + 1).any(|later| later.key == field.key) {
            continue;
        }
        let name = Name::Foreign(&field.key);
        match &field.value {
            Value::Text(value) => to.text(name, value.as_bytes()),
            Value::Int(value) => to.signed(name, *value),
            Value::Float(value) => to.float(name, *value),
            Value::Bool(value) => to.boolean(name, *value),
        }
    }
}

pub(super) fn address(record: &Record, out: &mut Vec<u8>) {
    use std::io::Write as _;
    match record.client {
        std::net::IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                super::push_decimal(out, octet.into());
            }
        }
        // Writing to memory does not fail.
        std::net::IpAddr::V6(address) => _ = write!(out, "{address}"),
    }
}
