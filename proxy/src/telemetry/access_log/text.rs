//! A line for people: the main facts first, then what is left as pairs.
//! It is not meant to be parsed.

use super::line::{self, Ending, Fields, own};
use super::logfmt::Logfmt;
use super::stamp::{Stamp, push_decimal, push_milliseconds};
use super::{AccessLog, json, redact};
use crate::telemetry::record::Record;

/// Writes the line, with its line feed: `time level client "METHOD path protocol" status bytes duration id route key=value ...`.
pub(super) fn write(log: &AccessLog, record: &Record, ending: &Ending, stamp: &Stamp, out: &mut Vec<u8>) {
    stamp.push(ending.at, out);
    out.push(b' ');
    out.extend_from_slice(line::level(record).as_bytes());
    out.push(b' ');
    line::address(record, out);
    let mut request = Vec::with_capacity(128);
    request.extend_from_slice(record.request.method.as_str().as_bytes());
    request.push(b' ');
    request.extend_from_slice(record.request.uri.path().as_bytes());
    if let Some(query) = record.request.uri.query() {
        request.push(b'?');
        redact::push_redacted(query, &log.redact_query, &mut request);
    }
    request.push(b' ');
    request.extend_from_slice(record.protocol().as_bytes());
    out.push(b' ');
    json::push_string(out, &request);
    out.push(b' ');
    match record.status() {
        Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
        None => out.push(b'-'),
    }
    out.push(b' ');
    push_decimal(out, record.response_bytes);
    out.extend_from_slice(b"B ");
    push_milliseconds(out, ending.duration);
    out.extend_from_slice(b"ms");
    let mut pairs = Logfmt::go_on(out);
    pairs.text(own!("correlation_id"), record.correlation.id.as_bytes());
    pairs.text(own!("host"), record.request.host.as_bytes());
    if let Some(route) = &record.route {
        pairs.text(own!("route"), route.name.as_bytes());
    }
    if let Some(attempt) = record.attempts.last() {
        pairs.text(own!("endpoint"), attempt.endpoint.as_bytes());
    }
    if let Some(reason) = record.error {
        pairs.word(own!("error"), reason.as_str().as_bytes());
    }
    line::details(log, record, &mut pairs);
    pairs.end();
}
