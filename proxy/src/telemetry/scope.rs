//! What a worker, a listener and a route bring to each record: names, metric handles, and where its outputs go.
//! It does not know when an exchange begins or ends.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::telemetry::access_log::{LogBuffer, Sender, Stamp};
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::exchange::{ListenerMetrics, RouteMetrics};
use crate::telemetry::metrics::{Conflict, Registry, Shard};
use crate::telemetry::outputs::{Current, Outputs};
use crate::telemetry::sampling::Sampler;
use crate::telemetry::spans::SpanBuffer;
use crate::telemetry::trace_context::SpanId;

/// One worker's part of telemetry, for all of its life; made on the control thread, moved to the worker.
pub struct WorkerScope {
    shard: Shard,
    catalogue: Catalogue,
    current: Current,
    pub(super) random: RefCell<SmallRng>,
    pub(super) log: LogBuffer,
    pub(super) spans: SpanBuffer,
    pub(super) stamp: Stamp,
}

/// A listener in one version of the configuration.
#[derive(Debug)]
pub struct ListenerScope {
    pub name: Arc<str>,
    pub(super) worker: Rc<WorkerScope>,
    /// The outputs of the version: an exchange that began with them ends with them.
    pub(super) outputs: Arc<Outputs>,
    pub(super) metrics: ListenerMetrics,
    /// For exchanges that no route matched.
    pub(super) unmatched: RouteMetrics,
}

/// A route in one version of the configuration.
#[derive(Debug)]
pub struct RouteScope {
    pub name: Arc<str>,
    /// The value of `http.route`.
    pub template: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    worker: Rc<WorkerScope>,
    /// By listener, from its first exchange on.
    metrics: RefCell<Vec<(Arc<str>, Rc<RouteMetrics>)>>,
}

// === impl WorkerScope ===

impl WorkerScope {
    pub(super) fn new(shard: Shard, catalogue: Catalogue, current: Current, log: LogBuffer) -> Self {
        Self {
            shard,
            catalogue,
            current,
            random: RefCell::new(SmallRng::from_os_rng()),
            log,
            spans: SpanBuffer::default(),
            stamp: Stamp::default(),
        }
    }

    /// A worker whose records are only counted: for what wants a record and no telemetry, as benchmarks do.
    ///
    /// # Errors
    /// A name of the proxy's own metrics is taken by something else.
    pub fn silent(registry: &Registry) -> Result<Self, Conflict> {
        let catalogue = Catalogue::new(registry)?;
        let outputs = Outputs { sampler: Sampler::never(), log: None, spans: None };
        let log = LogBuffer::new(Sender::nowhere());
        Ok(Self::new(registry.shard(), catalogue, Current::new(outputs), log))
    }

    /// The worker's shard of the metrics, for everything else that it counts.
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The metrics there are.
    pub const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// A span id of its own.
    pub fn span_id(&self) -> SpanId {
        // Zero is not an id.
        SpanId(self.random.borrow_mut().random::<NonZeroU64>().get())
    }

    /// Hands over what has gathered: log lines and spans. To be called every 20 ms or so.
    pub fn flush(&self) {
        self.log.flush();
        self.spans.flush();
    }
}

impl fmt::Debug for WorkerScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerScope").finish_non_exhaustive()
    }
}

// === impl ListenerScope ===

impl ListenerScope {
    /// The scope of the listener with this name, with the outputs as they are configured now.
    pub fn new(worker: &Rc<WorkerScope>, name: &Arc<str>) -> Rc<Self> {
        Rc::new(Self {
            name: Arc::clone(name),
            outputs: worker.current.get(),
            metrics: ListenerMetrics::new(&worker.catalogue, &worker.shard, name),
            unmatched: RouteMetrics::new(&worker.catalogue, &worker.shard, name, "", "", ""),
            worker: Rc::clone(worker),
        })
    }
}

// === impl RouteScope ===

impl RouteScope {
    /// The scope of a route, all listeners together.
    pub fn new(worker: &Rc<WorkerScope>, name: &Arc<str>, template: &str, upstream: &str) -> Rc<Self> {
        Rc::new(Self {
            name: Arc::clone(name),
            template: template.into(),
            upstream: upstream.into(),
            worker: Rc::clone(worker),
            metrics: RefCell::default(),
        })
    }

    /// The metrics of the route's exchanges on a listener.
    pub(super) fn metrics(&self, listener: &ListenerScope) -> Rc<RouteMetrics> {
        let mut all = self.metrics.borrow_mut();
        if let Some((_, metrics)) = all.iter().find(|(name, _)| Arc::ptr_eq(name, &listener.name)) {
            return Rc::clone(metrics);
        }
        let WorkerScope { catalogue, shard, .. } = &*self.worker;
        let metrics =
            Rc::new(RouteMetrics::new(catalogue, shard, &listener.name, &self.template, &self.name, &self.upstream));
        all.push((Arc::clone(&listener.name), Rc::clone(&metrics)));
        metrics
    }
}
