//! The metrics of attempts to get an answer from an upstream.
//! It knows neither pools nor retries.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use ::http::{Method, StatusCode};

use super::labels::{self, ByKey};
use super::record;
use crate::error::Reason;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Gauge, Histogram, Shard};

/// One worker's metrics of one upstream. Made with a view.
#[derive(Debug)]
pub struct UpstreamMetrics {
    catalogue: Catalogue,
    shard: Shard,
    upstream: Box<str>,
    endpoints: RefCell<HashMap<Box<str>, Endpoint, ByKey>>,
}

/// What is known of an attempt when it is over.
#[derive(Clone, Debug)]
pub struct ClientSample<'a> {
    pub method: &'a Method,
    /// `None` where there was no answer.
    pub status: Option<StatusCode>,
    pub error: Option<Reason>,
    /// As configured, `host:port`.
    pub endpoint: &'a str,
    pub duration: Duration,
    /// Trace and span id, where the trace is sampled.
    pub exemplar: Option<(u128, u64)>,
}

#[derive(Debug, Default)]
struct Endpoint {
    host: Box<str>,
    port: Box<str>,
    durations: HashMap<u32, Histogram, ByKey>,
}

/// Endpoints are names of the configuration. Should they ever be more than this, the rest share one series.
const MAX_ENDPOINTS: usize = 1024;

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    /// The metrics of the upstream with this name.
    pub fn new(catalogue: &Catalogue, shard: &Shard, upstream: &str) -> Self {
        Self {
            catalogue: catalogue.clone(),
            shard: shard.clone(),
            upstream: upstream.into(),
            endpoints: RefCell::default(),
        }
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.upstream
    }

    /// Counts an attempt that is over. Once for each attempt.
    pub fn observe(&self, sample: &ClientSample<'_>) {
        let mut endpoints = self.endpoints.borrow_mut();
        let name = if endpoints.len() < MAX_ENDPOINTS || endpoints.contains_key(sample.endpoint) {
            sample.endpoint
        } else {
            labels::OTHER
        };
        // Two look-ups, so that the name is copied only at its first sight.
        if !endpoints.contains_key(name) {
            endpoints.insert(name.into(), Endpoint::new(name));
        }
        let Some(endpoint) = endpoints.get_mut(name) else { return };
        let Endpoint { host, port, durations } = endpoint;
        let method = labels::method_index(sample.method);
        let status = labels::status_code(sample.status);
        let error = sample.error.map_or(0, |reason| 1 + reason as u32);
        let key = u32::from(method) | u32::from(status) << 8 | error << 18;
        let duration = durations.entry(key).or_insert_with(|| {
            let values = [
                labels::METHODS.get(usize::from(method)).copied().unwrap_or(labels::OTHER),
                &labels::status_text(status),
                // To whoever sent the request, a 4xx is a failure too.
                &labels::error_type(sample.error, status, 400),
                host,
                port,
                &self.upstream,
            ];
            self.shard.histogram(&self.catalogue.http.client_request_duration, &values)
        });
        record(duration, sample.duration, sample.exemplar);
    }

    /// How many attempts are under way at an endpoint (`host:port`); keep the handle.
    pub fn active_requests(&self, endpoint: &str) -> Gauge {
        let Endpoint { host, port, .. } = Endpoint::new(endpoint);
        self.shard.gauge(&self.catalogue.http.client_active_requests, &[&host, &port, &self.upstream])
    }

    /// How many connections to an endpoint (`host:port`) are open and busy, and open and idle; keep the handles.
    pub fn open_connections(&self, endpoint: &str) -> (Gauge, Gauge) {
        let Endpoint { host, port, .. } = Endpoint::new(endpoint);
        let family = &self.catalogue.http.client_open_connections;
        let gauge = |state| self.shard.gauge(family, &[state, &host, &port, &self.upstream]);
        (gauge("active"), gauge("idle"))
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(endpoint: &str) -> Self {
        let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self { host: host.into(), port: port.into(), durations: HashMap::default() }
    }
}
