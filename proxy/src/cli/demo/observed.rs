//! All that has arrived so far: the last scrape, spans and metrics over OTLP, lines of the access log.
//! It does not know how it is shown or judged.

use std::time::Instant;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::scrape::Samples;
use super::tail::LogFile;
use super::trace::{Kinds, Trace};
use super::window::{Seen, Window};

/// The metric of the request classifier, as a scrape and as OTLP name it.
pub(super) const SCRAPED: &str = "requests_by_kind_total";
pub(super) const PUSHED: &str = "requests_by_kind";

/// What has arrived.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) scrape: Option<Samples>,
    pub(super) spans: u64,
    pub(super) kinds: Kinds,
    pub(super) trace: Option<Trace>,
    /// Metrics that were pushed, counted once each time.
    pub(super) metrics: u64,
    /// The plugin's metric was among them.
    pub(super) plugin_metric: bool,
    pub(super) log: Log,
    pub(super) window: Window,
}

/// What the access log said.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: u64,
    pub(super) with_correlation: u64,
    /// With the plugin's field.
    pub(super) with_kind: u64,
    /// As it was written.
    pub(super) latest: Option<String>,
}

// === impl Observed ===

impl Observed {
    pub(super) fn take_spans(&mut self, spans: &[Span]) {
        let Kinds { server, plugin, client } = Kinds::of(spans);
        self.spans += spans.len() as u64;
        self.kinds.server += server;
        self.kinds.plugin += plugin;
        self.kinds.client += client;
        self.trace = Trace::latest(spans).or(self.trace.take());
    }

    pub(super) fn take_metrics(&mut self, names: impl Iterator<Item = String>) {
        for name in names {
            self.metrics += 1;
            self.plugin_metric |= name == PUSHED;
        }
    }

    /// Reads what is new in the log.
    pub(super) fn read(&mut self, file: &mut LogFile) {
        // A file that cannot be read is a log that did not arrive.
        for line in file.lines().unwrap_or_default() {
            self.take_line(line, Instant::now());
        }
    }

    fn take_line(&mut self, line: String, at: Instant) {
        let Ok(fields) = serde_json::from_str::<Value>(&line) else { return };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        self.log.lines += 1;
        self.log.with_correlation += u64::from(text("correlation_id"));
        self.log.with_kind += u64::from(text("kind"));
        let duration = fields.get("duration_ms").and_then(Value::as_f64);
        let status = fields.get("status").and_then(Value::as_u64);
        // The duration of a WebSocket is that of a conversation.
        let websocket = fields.get("websocket").and_then(Value::as_bool).unwrap_or_default();
        if let (Some(duration_ms), false) = (duration, websocket) {
            self.window.push(Seen { at, duration_ms, status: status.unwrap_or_default() });
        }
        self.log.latest = Some(line);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_lines_and_the_fields_on_them() {
        let mut observed = Observed::default();
        let now = Instant::now();
        observed.take_line(r#"{"correlation_id":"1","kind":"api","status":200,"duration_ms":2.5}"#.to_owned(), now);
        observed.take_line(r#"{"correlation_id":"2","status":101,"duration_ms":9e9,"websocket":true}"#.to_owned(), now);
        observed.take_line("{torn".to_owned(), now);
        let Log { lines, with_correlation, with_kind, .. } = observed.log;
        assert_eq!((lines, with_correlation, with_kind), (2, 2, 1));
        let figures = observed.window.figures(now + Duration::from_secs(1)).unwrap();
        assert_eq!((figures.per_second, figures.p99_ms), (1.0, 2.5));
    }
}
