//! The metrics of a listener's requests before a route is known.
//! It does not know when a request begins or ends.

use std::cell::OnceCell;

use ::http::Method;

use super::labels::{METHODS, OTHER, method_index};
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Gauge, Shard};

/// One worker's metrics of one listener. Made with a view.
#[derive(Debug)]
pub struct ListenerMetrics {
    catalogue: Catalogue,
    shard: Shard,
    listener: Box<str>,
    /// By [`Active`].
    active: Box<[OnceCell<Gauge>]>,
}

/// Which of a listener's gauges a request under way was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active(u8);

// === impl ListenerMetrics ===

impl ListenerMetrics {
    /// The metrics of the listener with this name.
    pub fn new(catalogue: &Catalogue, shard: &Shard, listener: &str) -> Self {
        Self {
            catalogue: catalogue.clone(),
            shard: shard.clone(),
            listener: listener.into(),
            active: (0..METHODS.len() * 2).map(|_| OnceCell::new()).collect(),
        }
    }

    /// Counts a request as under way. [`ListenerMetrics::leave`] must follow once, on any value for the same listener.
    pub fn enter(&self, method: &Method, https: bool) -> Active {
        let active = Active(method_index(method) * 2 + u8::from(https));
        self.with(active, Gauge::inc);
        active
    }

    /// Counts a request as over.
    pub fn leave(&self, active: Active) {
        self.with(active, Gauge::dec);
    }

    fn with(&self, active: Active, change: impl Fn(&Gauge)) {
        let Some(cell) = self.active.get(usize::from(active.0)) else { return };
        change(cell.get_or_init(|| {
            let method = METHODS.get(usize::from(active.0 / 2)).copied().unwrap_or(OTHER);
            let scheme = if active.0 % 2 == 1 { "https" } else { "http" };
            self.shard.gauge(&self.catalogue.http.server_active_requests, &[method, scheme, &self.listener])
        }));
    }
}
