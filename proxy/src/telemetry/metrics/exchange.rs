//! The metrics of exchanges, by listener, route and upstream: labels of a request to the series they belong to.
//! It does not know when an exchange begins or ends, nor what a record is.
//!
//! The labels that come from the request (method, status, version, scheme, error) are few and closed. Each combination is
//! resolved at its first sight on a worker and found again by one packed integer, without a lock.

mod labels;
mod listener;
mod upstream;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode, Version};

use crate::error::Reason;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Counter, Gauge, Histogram, Shard};

use labels::{ByKey, Server};
pub use listener::{Active, ListenerMetrics};
pub use upstream::{ClientSample, UpstreamMetrics};

/// One worker's metrics of the exchanges of one route on one listener. Made with a view.
#[derive(Debug)]
pub struct RouteMetrics {
    catalogue: Catalogue,
    shard: Shard,
    listener: Box<str>,
    template: Box<str>,
    route: Box<str>,
    upstream: Option<UpstreamMetrics>,
    server: RefCell<HashMap<u32, ServerSeries, ByKey>>,
    /// By the number of the reason.
    errors: Box<[OnceCell<Counter>]>,
    /// As many as the route has limits.
    limits: RefCell<Vec<(Arc<str>, Decisions)>>,
    websocket: OnceCell<WebSocket>,
    retries: OnceCell<Counter>,
}

/// What is known of an exchange when it is over.
#[derive(Clone, Debug)]
pub struct ServerSample<'a> {
    pub method: &'a Method,
    /// `None` where the client left before there was an answer.
    pub status: Option<StatusCode>,
    pub version: Version,
    pub https: bool,
    pub error: Option<Reason>,
    pub duration: Duration,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Trace and span id, where the trace is sampled.
    pub exemplar: Option<(u128, u64)>,
}

#[derive(Debug)]
struct ServerSeries {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
}

#[derive(Debug)]
struct Decisions {
    allowed: Counter,
    limited: Counter,
}

#[derive(Debug)]
struct WebSocket {
    sessions: Counter,
    active: Gauge,
    duration: Histogram,
    received: Counter,
    transmitted: Counter,
}

// === impl RouteMetrics ===

impl RouteMetrics {
    /// The metrics of a route; all names are empty where no route matched, `upstream` where there is none.
    pub fn new(
        catalogue: &Catalogue,
        shard: &Shard,
        listener: &str,
        route_template: &str,
        route_name: &str,
        upstream: &str,
    ) -> Self {
        Self {
            catalogue: catalogue.clone(),
            shard: shard.clone(),
            listener: listener.into(),
            template: route_template.into(),
            route: route_name.into(),
            upstream: (!upstream.is_empty()).then(|| UpstreamMetrics::new(catalogue, shard, upstream)),
            server: RefCell::default(),
            errors: Reason::ALL.iter().map(|_| OnceCell::new()).collect(),
            limits: RefCell::default(),
            websocket: OnceCell::new(),
            retries: OnceCell::new(),
        }
    }

    /// Counts an exchange that is over: its duration, its sizes, and its error where there is one. Once for each exchange.
    pub fn observe(&self, sample: &ServerSample<'_>) {
        let labels = Server::new(sample.method, sample.status, sample.version, sample.https, sample.error);
        let mut table = self.server.borrow_mut();
        let series = table.entry(labels.key()).or_insert_with(|| self.resolve(&labels));
        record(&series.duration, sample.duration, sample.exemplar);
        series.request_size.record(sample.request_bytes as f64);
        series.response_size.record(sample.response_bytes as f64);
        if let Some(reason) = sample.error {
            self.count_error(reason);
        }
    }

    /// Counts an attempt to get an answer from the route's upstream.
    pub fn observe_attempt(&self, sample: &ClientSample<'_>) {
        if let Some(upstream) = &self.upstream {
            upstream.observe(sample);
        }
    }

    /// Counts what a limit said.
    pub fn count_limit(&self, limit: &Arc<str>, allowed: bool) {
        let mut limits = self.limits.borrow_mut();
        let known = limits.iter().position(|(name, _)| Arc::ptr_eq(name, limit) || name == limit);
        let index = known.unwrap_or_else(|| {
            let family = &self.catalogue.admission.limit_decisions;
            let decision = |decision| self.shard.counter(family, &[limit, decision]);
            limits.push((limit.clone(), Decisions { allowed: decision("allowed"), limited: decision("limited") }));
            limits.len() - 1
        });
        if let Some((_, decisions)) = limits.get(index) {
            if allowed { decisions.allowed.inc() } else { decisions.limited.inc() }
        }
    }

    /// Counts a retry on a fresh connection.
    pub fn count_retry(&self) {
        let upstream = self.upstream.as_ref().map_or("", UpstreamMetrics::name);
        self.retries.get_or_init(|| self.shard.counter(&self.catalogue.http.retries, &[upstream])).inc();
    }

    /// Counts a WebSocket session that was opened; [`RouteMetrics::websocket_closed`] must follow once.
    pub fn websocket_opened(&self) {
        let websocket = self.websocket();
        websocket.sessions.inc();
        websocket.active.inc();
    }

    /// Counts the end of a WebSocket session: how long it was open, and the bytes from and to the client.
    pub fn websocket_closed(&self, open: Duration, received: u64, transmitted: u64) {
        let websocket = self.websocket();
        websocket.active.dec();
        websocket.duration.record(open.as_secs_f64());
        websocket.received.add(received);
        websocket.transmitted.add(transmitted);
    }

    fn count_error(&self, reason: Reason) {
        if let Some(cell) = self.errors.get(reason as usize) {
            let labels = [reason.source().as_str(), reason.as_str(), &self.route];
            cell.get_or_init(|| self.shard.counter(&self.catalogue.http.errors, &labels)).inc();
        }
    }

    fn websocket(&self) -> &WebSocket {
        self.websocket.get_or_init(|| {
            let http = &self.catalogue.http;
            WebSocket {
                sessions: self.shard.counter(&http.websocket_sessions, &[&self.route]),
                active: self.shard.gauge(&http.websocket_active, &[&self.route]),
                duration: self.shard.histogram(&http.websocket_duration, &[&self.route]),
                received: self.shard.counter(&http.websocket_io, &[&self.route, "receive"]),
                transmitted: self.shard.counter(&http.websocket_io, &[&self.route, "transmit"]),
            }
        })
    }

    fn resolve(&self, labels: &Server) -> ServerSeries {
        let Server { method, version, https: _, error: _, status } = labels;
        let values = [
            labels::METHODS.get(usize::from(*method)).copied().unwrap_or(labels::OTHER),
            &labels::status_text(*status),
            labels::VERSIONS.get(usize::from(*version)).copied().unwrap_or_default(),
            labels.scheme(),
            &labels.error_type(),
            &self.template,
            &self.listener,
        ];
        let http = &self.catalogue.http;
        ServerSeries {
            duration: self.shard.histogram(&http.server_request_duration, &values),
            request_size: self.shard.histogram(&http.server_request_body_size, &values),
            response_size: self.shard.histogram(&http.server_response_body_size, &values),
        }
    }
}

fn record(histogram: &Histogram, duration: Duration, exemplar: Option<(u128, u64)>) {
    let seconds = duration.as_secs_f64();
    match exemplar {
        Some((trace_id, span_id)) => histogram.record_with_exemplar(seconds, trace_id, span_id),
        None => histogram.record(seconds),
    };
}

#[cfg(test)]
mod tests;
