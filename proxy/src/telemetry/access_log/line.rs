//! What stands in an access log line, in order; once for all formats.
//! It knows no format.

use std::time::{Duration, SystemTime};

use super::{AccessLog, Included, redact, stamp::Stamp};
use crate::error::{Reason, Source};
use crate::telemetry::record::{Record, Value};
use crate::telemetry::trace_context::hex_digits;

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
    Own(&'static Key),
    Foreign(&'a str),
}

/// A name of our own: letters, digits, `_` and `.`, which need no escaping.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    /// As it stands in JSON behind another field, with the colon.
    pub json: &'static str,
}

/// One of our own names.
macro_rules! own {
    ($name:literal) => {{
        use $crate::telemetry::access_log::line::{Key, Name};
        Name::Own(&Key { name: $name, json: concat!(",\"", $name, "\":") })
    }};
}
pub(super) use own;

/// A format takes fields one after the other.
pub(super) trait Fields {
    /// Bytes from outside: escaped.
    fn text(&mut self, name: Name<'_>, value: &[u8]);
    /// Words from outside with a space between each, at least two.
    fn phrase(&mut self, name: Name<'_>, words: &[&[u8]]);
    /// A word that needs no escaping.
    fn word(&mut self, name: Name<'_>, value: &[u8]);
    /// A word that needs no escaping, written where it goes.
    fn written(&mut self, name: Name<'_>, write: impl FnOnce(&mut Vec<u8>));
    fn unsigned(&mut self, name: Name<'_>, value: u64);
    fn signed(&mut self, name: Name<'_>, value: i64);
    /// `None` in its place where it is not finite.
    fn float(&mut self, name: Name<'_>, value: f64);
    fn boolean(&mut self, name: Name<'_>, value: bool);
    fn milliseconds(&mut self, name: Name<'_>, value: Duration);
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
fn message(record: &Record, to: &mut impl Fields) {
    let method = record.request.method.as_str().as_bytes();
    let status = record.status();
    let outcome = match (&status, record.error) {
        (Some(status), _) => status.as_str(),
        (None, Some(reason)) => reason.as_str(),
        (None, None) => "-",
    };
    match &record.route {
        Some(route) => to.phrase(own!("message"), &[method, route.template.as_bytes(), outcome.as_bytes()]),
        None => to.phrase(own!("message"), &[method, outcome.as_bytes()]),
    }
}

/// Hands every field of the line to a format.
pub(super) fn fields(log: &AccessLog, record: &Record, ending: &Ending, stamp: &Stamp, to: &mut impl Fields) {
    let optional = |to: &mut _, name, value: Option<&str>| match value {
        Some(value) => Fields::text(to, name, value.as_bytes()),
        None => Fields::none(to, name),
    };
    to.written(own!("timestamp"), |out| stamp.push(ending.at, out));
    to.word(own!("level"), level(record).as_bytes());
    message(record, to);
    to.text(own!("correlation_id"), record.correlation.id.as_bytes());
    to.written(own!("trace_id"), |out| out.extend_from_slice(&hex_digits(record.trace.trace_id)));
    to.written(own!("span_id"), |out| out.extend_from_slice(&record.trace.span.digits()));
    to.boolean(own!("sampled"), ending.sampled);
    to.text(own!("listener"), record.listener.name.as_bytes());
    let route = record.route.as_deref();
    optional(to, own!("route"), route.map(|route| &*route.name));
    optional(to, own!("upstream"), route.map(|route| &*route.upstream));
    optional(to, own!("endpoint"), record.attempts.last().map(|attempt| &*attempt.endpoint));
    to.written(own!("client_address"), |out| address(record, out));
    // A token by RFC 9110: nothing in it needs escaping.
    to.word(own!("method"), record.request.method.as_str().as_bytes());
    to.text(own!("host"), record.request.host.as_bytes());
    to.text(own!("path"), record.request.uri.path().as_bytes());
    if let Some(query) = record.request.uri.query() {
        let mut text = Vec::with_capacity(query.len());
        redact::push_redacted(query, &log.redact_query, &mut text);
        to.text(own!("query"), &text);
    }
    to.word(own!("protocol"), record.protocol().as_bytes());
    match record.status() {
        Some(status) => to.unsigned(own!("status"), status.as_u16().into()),
        None => to.none(own!("status")),
    }
    to.milliseconds(own!("duration_ms"), ending.duration);
    match record.upstream_elapsed() {
        Some(elapsed) => to.milliseconds(own!("upstream_ms"), elapsed),
        None => to.none(own!("upstream_ms")),
    }
    to.unsigned(own!("request_bytes"), record.request_bytes);
    to.unsigned(own!("response_bytes"), record.response_bytes);
    to.unsigned(own!("attempts"), record.attempts.len() as u64);
    match record.error {
        None => to.none(own!("error")),
        Some(reason) => {
            let members = [("source", reason.source().as_str()), ("reason", reason.as_str())];
            to.group(own!("error"), members.into_iter());
        }
    }
    to.text(own!("service"), log.service.as_bytes());
    details(log, record, to);
}

/// What not every line has.
pub(super) fn details(log: &AccessLog, record: &Record, to: &mut impl Fields) {
    if record.websocket {
        to.boolean(own!("websocket"), true);
    }
    if !record.limits.is_empty() {
        let decisions = record.limits.iter();
        to.group(
            own!("limits"),
            decisions.map(|(name, allowed)| (&**name, if *allowed { "allowed" } else { "limited" })),
        );
    }
    if let Some(breaker) = record.breaker {
        to.word(own!("breaker"), breaker.as_str().as_bytes());
    }
    headers(log, record, to);
    for (key, value) in &log.fields {
        if !record.fields.iter().any(|field| *field.key == **key) {
            to.text(Name::Foreign(key), value.as_bytes());
        }
    }
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
