//! The access log: one line for each exchange, built on the worker, written by a thread of its own.
//! It does not know when an exchange ends.
//!
//! `level` is `error` where the status is 5xx or the upstream, a plugin or the proxy itself failed, `warn` where the exchange
//! was refused or broken for another reason of the closed list (a limit, no route, the client), else `info`.

mod buffer;
mod json;
mod line;
mod logfmt;
mod redact;
mod stamp;
mod text;
mod writer;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::telemetry::config::{self, LogFormat, LogInclude};
use crate::telemetry::record::Record;

pub use buffer::LogBuffer;
pub(super) use json::push_string;
pub use line::Ending;
pub(super) use redact::redacted;
pub use stamp::Stamp;
pub(super) use stamp::push_decimal;
pub(super) use writer::{Counts, Output, Sender, Writer};

/// How lines of one configuration are written.
#[derive(Debug)]
pub struct AccessLog {
    format: LogFormat,
    service: Arc<str>,
    request_headers: Vec<Included>,
    response_headers: Vec<Included>,
    fields: Vec<(Arc<str>, Arc<str>)>,
    pub(super) redact_query: Arc<[Arc<str>]>,
}

/// A header that becomes a field.
#[derive(Debug)]
struct Included {
    key: Box<str>,
    name: http::HeaderName,
}

/// The keys that belong to the proxy. `request_header.` and `response_header.` are its own prefixes.
pub const RESERVED: &[&str] = &[
    "timestamp",
    "level",
    "message",
    "correlation_id",
    "trace_id",
    "span_id",
    "sampled",
    "listener",
    "route",
    "upstream",
    "endpoint",
    "client_address",
    "method",
    "host",
    "path",
    "query",
    "protocol",
    "status",
    "duration_ms",
    "upstream_ms",
    "request_bytes",
    "response_bytes",
    "attempts",
    "error",
    "service",
    "websocket",
    "limits",
    "breaker",
];

/// Whether nobody else may use this key.
pub fn is_reserved_field(key: &str) -> bool {
    RESERVED.contains(&key)
        || ["request_header.", "response_header.", "error.", "limits."].iter().any(|prefix| key.starts_with(prefix))
}

// === impl AccessLog ===

impl AccessLog {
    /// For the lines of one configuration.
    pub fn new(config: &config::AccessLog, service: &Arc<str>) -> Self {
        let mut log = Self {
            format: config.format,
            service: Arc::clone(service),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            fields: config.fields.clone(),
            redact_query: config.redact_query.clone().into(),
        };
        for include in &config.include {
            let (side, prefix, name) = match include {
                LogInclude::RequestHeader(name) => (&mut log.request_headers, "request_header", name),
                LogInclude::ResponseHeader(name) => (&mut log.response_headers, "response_header", name),
            };
            side.push(Included { key: format!("{prefix}.{name}").into(), name: name.clone() });
        }
        log
    }

    /// The request's headers that are written, before anything changes them.
    pub(super) fn capture(&self, headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
        self.request_headers.iter().map(|included| headers.get(&included.name).cloned()).collect()
    }

    /// Writes the exchange's line, with its line feed.
    pub(super) fn write(&self, record: &Record, ending: &Ending, stamp: &Stamp, out: &mut Vec<u8>) {
        match self.format {
            LogFormat::Json => {
                let mut json = json::Json::begin(out);
                line::fields(self, record, ending, stamp, &mut json);
                json.end();
            }
            LogFormat::Logfmt => {
                let mut logfmt = logfmt::Logfmt::begin(out);
                line::fields(self, record, ending, stamp, &mut logfmt);
                logfmt.end();
            }
            LogFormat::Text => text::write(self, record, ending, stamp, out),
        }
    }
}

#[cfg(test)]
mod tests;
