//! The exporter: a thread of its own that sends spans and metrics to the collector.
//! Nothing that the collector does, or does not do, reaches a worker.

mod http;
mod metrics;
mod tls;
mod traces;
mod transport;

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::OTelSdkError;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};

use crate::telemetry::Error;
use crate::telemetry::config::{self, Otlp};
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Counter, Family, Registry};
use crate::telemetry::outage::Watch;
use crate::telemetry::spans::SpanQueue;

use transport::Transport;

/// What an exporter depends on: while it stays the same over a reload, the exporter goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    otlp: Otlp,
    /// Spans that may wait.
    queue: usize,
    interval: Duration,
    /// `None` pushes no metrics.
    metrics_interval: Option<Duration>,
    resource: Vec<(Arc<str>, Arc<str>)>,
    redact_query: Arc<[Arc<str>]>,
}

/// A running exporter, seen from the control thread.
#[derive(Debug)]
pub(super) struct Exporter {
    settings: Settings,
    queue: Arc<SpanQueue>,
    /// Of spans and of metrics.
    watches: [Watch; 2],
    orders: watch::Sender<Order>,
    finished: mpsc::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

/// What the control thread wants of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    /// Another one pushes the metrics now; this one sends spans until nobody makes any.
    Retire,
    /// Be done by then.
    Finish(Instant),
}

/// Why something did not get out: the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Timeout,
    Rejected,
    Unreachable,
    Shutdown,
}

/// What became of spans or pushes.
#[derive(Clone, Debug)]
struct Counts {
    exported: Counter,
    timeout: Counter,
    rejected: Counter,
    unreachable: Counter,
    shutdown: Counter,
}

// === impl Settings ===

impl Settings {
    /// `None` where there is no collector.
    pub(super) fn of(config: &config::Telemetry) -> Option<Self> {
        let service = &config.service;
        let own = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
        let mut resource = vec![own("service.name", &service.name), own("service.version", env!("CARGO_PKG_VERSION"))];
        resource.extend(service.namespace.as_deref().map(|namespace| own("service.namespace", namespace)));
        resource.push(own("service.instance.id", instance_id()));
        resource.retain(|(key, _)| !service.attributes.iter().any(|(other, _)| other == key));
        resource.extend(service.attributes.iter().cloned());
        let redact_query = match &config.access_log {
            Some(log) => log.redact_query.clone(),
            None => config::REDACTED_QUERY.map(Arc::from).into(),
        };
        Some(Self {
            otlp: config.otlp.clone()?,
            queue: config.traces.queue,
            interval: config.traces.interval,
            metrics_interval: config.metrics.otlp.then_some(config.metrics.interval),
            resource,
            redact_query: redact_query.into(),
        })
    }
}

/// A random UUID for this process: two proxies of one name are two sources of the same metrics.
fn instance_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        // Version 4, variant 1 (RFC 9562, 5.4).
        let bits =
            SmallRng::from_os_rng().random::<u128>() & !(0xf000 << 64 | 0xc000 << 48) | 0x4000 << 64 | 0x8000 << 48;
        let hex = format!("{bits:032x}");
        [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default()).join("-")
    });
    &ID
}

/// Whether there can be an exporter with these settings.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    runtime.block_on(async { Transport::new(settings).map(drop) })
}

// === impl Exporter ===

impl Exporter {
    /// Starts the thread. Whether the collector is there is not looked at.
    pub(super) fn start(settings: Settings, registry: &Registry, catalogue: &Catalogue) -> Result<Self, Error> {
        let (sender, trails) = async_mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let span_counts = Counts::new(registry, &catalogue.runtime.telemetry_spans);
        let queue_full = registry.shared().counter(&catalogue.runtime.telemetry_spans, &["dropped", "queue_full"]);
        let spans = Watch::new(span_counts.lost().into_iter().chain([queue_full.clone()]).collect());
        let pushes = Watch::new(Vec::new());
        let watches = [spans.clone(), pushes.clone()];
        let queue = SpanQueue::new(
            sender,
            Arc::clone(&waiting),
            settings.queue,
            (queue_full, span_counts.shutdown.clone()),
            Arc::clone(&settings.redact_query),
        );
        let (orders, heard) = watch::channel(Order::Run);
        let (done, finished) = mpsc::sync_channel(1);
        let (ready, started) = mpsc::sync_channel(1);
        let traces = traces::Traces::new(trails, waiting, (span_counts, spans), heard.clone(), &settings);
        let metric_counts = Counts::new(registry, &catalogue.runtime.telemetry_metric_exports);
        let metrics = metrics::Metrics::new(registry.clone(), (metric_counts, pushes), heard, &settings);
        let its = settings.clone();
        let thread = thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                run(&its, traces, metrics, &ready);
                // Nobody listens where it ended on its own.
                let _ = done.send(());
            })
            .map_err(Error::Thread)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { settings, queue: Arc::new(queue), watches, orders, finished, thread }),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => Err(Error::Thread(std::io::Error::other("the exporter ended at once"))),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) const fn queue(&self) -> &Arc<SpanQueue> {
        &self.queue
    }

    /// Whether spans, and metrics, get out.
    pub(super) fn watches(&self) -> [Watch; 2] {
        self.watches.clone()
    }

    /// Ends it with the last exchange that has its queue; metrics are not pushed any more.
    pub(super) fn retire(self) -> Retired {
        self.order(Order::Retire)
    }

    /// Tells it to be done by then.
    pub(super) fn finish(self, deadline: Instant) -> Retired {
        self.order(Order::Finish(deadline))
    }

    fn order(self, order: Order) -> Retired {
        let Self { settings: _, queue: _, watches: _, orders, finished, thread } = self;
        orders.send_replace(order);
        Retired { orders, finished, thread }
    }
}

/// An exporter whose version of the configuration is over.
#[derive(Debug)]
pub(super) struct Retired {
    orders: watch::Sender<Order>,
    finished: mpsc::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

// === impl Retired ===

impl Retired {
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Tells it to be done by then.
    pub(super) fn finish(&self, deadline: Instant) {
        self.orders.send_replace(Order::Finish(deadline));
    }

    /// Waits until it is, or the time is up.
    pub(super) fn join(self, deadline: Instant) {
        // A little longer than it has itself, so that it can count what it gives up.
        let bound = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(200);
        let _ = self.finished.recv_timeout(bound);
    }
}

/// The thread.
fn run(
    settings: &Settings,
    traces: traces::Traces,
    metrics: metrics::Metrics,
    ready: &mpsc::SyncSender<Result<(), Error>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(Error::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        let Transport { spans, metrics: sender } = match Transport::new(settings) {
            Ok(transport) => transport,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        let (spans_done, after_spans) = oneshot::channel();
        // Two tasks, so that a collector that hangs on one holds up only that.
        tokio::join!(traces.run(spans, spans_done), metrics.run(sender, after_spans));
    });
    // A name look-up that hangs is not waited for.
    runtime.shutdown_background();
}

/// Waits for the order to finish; gives the deadline.
async fn finish_ordered(orders: &mut watch::Receiver<Order>) -> Instant {
    match orders.wait_for(|order| matches!(order, Order::Finish(_))).await.map(|order| *order) {
        Ok(Order::Finish(deadline)) => deadline,
        // Whoever gives orders is gone without a last one.
        Ok(Order::Run | Order::Retire) | Err(_) => std::future::pending().await,
    }
}

// === impl Failure ===

impl Failure {
    /// OpenTelemetry's exporter says what happened only in words. An attempt that we saw ourselves says it better.
    fn of(error: &OTelSdkError) -> Self {
        match error {
            OTelSdkError::Timeout(_) => Self::Timeout,
            OTelSdkError::AlreadyShutdown => Self::Shutdown,
            OTelSdkError::InternalFailure(text) => {
                let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
                if says(&["DeadlineExceeded", "Cancelled", "Timeout"]) {
                    Self::Timeout
                } else if says(&["Unavailable", "network error", "transport error"]) {
                    Self::Unreachable
                } else {
                    Self::Rejected
                }
            }
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Shutdown => "shutdown",
        }
    }
}

// === impl Counts ===

impl Counts {
    fn new(registry: &Registry, family: &Family) -> Self {
        let shared = registry.shared();
        let dropped = |failure: Failure| shared.counter(family, &["dropped", failure.as_str()]);
        Self {
            exported: shared.counter(family, &["exported", ""]),
            timeout: dropped(Failure::Timeout),
            rejected: dropped(Failure::Rejected),
            unreachable: dropped(Failure::Unreachable),
            shutdown: dropped(Failure::Shutdown),
        }
    }

    /// What a collector can be the cause of.
    fn lost(&self) -> [Counter; 3] {
        [self.timeout.clone(), self.rejected.clone(), self.unreachable.clone()]
    }

    fn count(&self, result: Result<(), Failure>, amount: u64) {
        let counter = match result {
            Ok(()) => &self.exported,
            Err(Failure::Timeout) => &self.timeout,
            Err(Failure::Rejected) => &self.rejected,
            Err(Failure::Unreachable) => &self.unreachable,
            Err(Failure::Shutdown) => &self.shutdown,
        };
        counter.add(amount);
    }
}

#[cfg(test)]
mod tests;
