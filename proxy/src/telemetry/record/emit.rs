//! How a record ends: exactly once, when it is dropped, into metrics, the access log and spans.
//! It does not know why the exchange is over.

use std::time::{Duration, Instant};

use super::{Attempt, Record, RouteMetrics};
use crate::telemetry::access_log::Ending;
use crate::telemetry::metrics::exchange::{ClientSample, ServerSample};
use crate::telemetry::spans::Trail;

impl Drop for Record {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(Instant::now);
        let duration = now.duration_since(self.started);
        // A session is not slow because it lasts.
        let response = self.switched.map_or(duration, |switched| switched.duration_since(self.started));
        let failed = self.error.is_some() || self.status().is_some_and(|status| status.is_server_error());
        let outputs = &self.listener.outputs;
        let late = outputs.spans.is_some() && outputs.sampler.outcome(failed, response);
        let ending = Ending { at: self.started_at + duration, duration, sampled: self.trace.sampled || late };

        self.listener.metrics.leave(self.active);
        self.with_metrics(|metrics| self.count(metrics, now, response, ending.sampled));
        let worker = std::rc::Rc::clone(&self.listener.worker);
        if let Some(log) = &self.listener.outputs.log {
            worker.log.line(|out| log.write(self, &ending, &worker.stamp, out));
        }
        if ending.sampled
            && let Some(queue) = self.listener.outputs.spans.clone()
        {
            worker.spans.push(&queue, Trail::of(self, &ending));
        }
    }
}

impl Record {
    pub(super) fn with_metrics(&self, update: impl FnOnce(&RouteMetrics)) {
        match &self.route {
            Some(route) => update(&route.metrics(&self.listener)),
            None => update(&self.listener.unmatched),
        }
    }

    fn count(&self, metrics: &RouteMetrics, now: Instant, response: Duration, sampled: bool) {
        let exemplar = |span: u64| sampled.then_some((self.trace.trace_id, span));
        metrics.observe(&ServerSample {
            method: &self.request.method,
            status: self.status(),
            version: self.request.version,
            https: self.request.https,
            error: self.error,
            duration: response,
            // The bytes of a session are counted as its own.
            request_bytes: if self.websocket { 0 } else { self.request_bytes },
            response_bytes: if self.websocket { 0 } else { self.response_bytes },
            exemplar: exemplar(self.trace.span.0),
        });
        for (index, attempt) in self.attempts.iter().enumerate() {
            let Attempt { span, endpoint, started, head, ended, status, error, https: _, version: _, reused: _ } =
                attempt;
            // As above: the attempt that became a session ended with its 101.
            let ended = if self.websocket { head.or(*ended) } else { *ended };
            metrics.observe_attempt(&ClientSample {
                method: &self.request.method,
                status: *status,
                error: *error,
                endpoint,
                duration: ended.unwrap_or(now).duration_since(*started),
                exemplar: exemplar(span.0),
            });
            if index > 0 {
                metrics.count_retry();
            }
        }
        for (limit, allowed) in &self.limits {
            metrics.count_limit(limit, *allowed);
        }
        if let Some(switched) = self.switched {
            metrics.websocket_closed(now.duration_since(switched), self.request_bytes, self.response_bytes);
        }
    }
}
