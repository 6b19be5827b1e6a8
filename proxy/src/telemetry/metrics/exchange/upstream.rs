//! The metrics of attempts to get an answer from an upstream.
//! It knows neither pools nor retries.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
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
    /// By the address of the endpoint's text, which says the same as the text and is looked up in no time, and by the labels.
    series: RefCell<HashMap<(usize, u32), Series, ByKey>>,
}

/// What is known of an attempt when it is over.
#[derive(Clone, Debug)]
pub struct ClientSample<'a> {
    pub method: &'a Method,
    /// `None` where there was no answer.
    pub status: Option<StatusCode>,
    pub error: Option<Reason>,
    /// As configured, `host:port`; the one text that all attempts at it have.
    pub endpoint: &'a Arc<str>,
    pub duration: Duration,
    /// Trace and span id, where the trace is sampled.
    pub exemplar: Option<(u128, u64)>,
}

#[derive(Debug)]
struct Series {
    duration: Histogram,
    /// Nothing else can have its address as long as it is here.
    _endpoint: Arc<str>,
}

// === impl UpstreamMetrics ===

impl UpstreamMetrics {
    /// The metrics of the upstream with this name.
    pub fn new(catalogue: &Catalogue, shard: &Shard, upstream: &str) -> Self {
        Self {
            catalogue: catalogue.clone(),
            shard: shard.clone(),
            upstream: upstream.into(),
            series: RefCell::default(),
        }
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.upstream
    }

    /// Counts an attempt that is over. Once for each attempt.
    pub fn observe(&self, sample: &ClientSample<'_>) {
        let method = labels::method_index(sample.method);
        let status = labels::status_code(sample.status);
        let error = sample.error.map_or(0, |reason| 1 + reason as u32);
        let key = u32::from(method) | u32::from(status) << 8 | error << 18;
        let address = Arc::as_ptr(sample.endpoint).cast::<u8>().addr();
        let mut series = self.series.borrow_mut();
        let Series { duration, .. } = series.entry((address, key)).or_insert_with(|| {
            let (host, port) = parts(sample.endpoint);
            let values = [
                labels::METHODS.get(usize::from(method)).copied().unwrap_or(labels::OTHER),
                &labels::status_text(status),
                // To whoever sent the request, a 4xx is a failure too.
                &labels::error_type(sample.error, status, 400),
                host,
                port,
                &self.upstream,
            ];
            let duration = self.shard.histogram(&self.catalogue.http.client_request_duration, &values);
            Series { duration, _endpoint: Arc::clone(sample.endpoint) }
        });
        record(duration, sample.duration, sample.exemplar);
    }

    /// How many attempts are under way at an endpoint (`host:port`); keep the handle.
    pub fn active_requests(&self, endpoint: &str) -> Gauge {
        let (host, port) = parts(endpoint);
        self.shard.gauge(&self.catalogue.http.client_active_requests, &[host, port, &self.upstream])
    }

    /// How many connections to an endpoint (`host:port`) are open and busy, and open and idle; keep the handles.
    pub fn open_connections(&self, endpoint: &str) -> (Gauge, Gauge) {
        let (host, port) = parts(endpoint);
        let family = &self.catalogue.http.client_open_connections;
        let gauge = |state| self.shard.gauge(family, &[state, host, port, &self.upstream]);
        (gauge("active"), gauge("idle"))
    }
}

/// Host and port of an endpoint.
fn parts(endpoint: &str) -> (&str, &str) {
    let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}
