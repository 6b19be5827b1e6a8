//! Spans on the exporter's thread: gathered into batches, sent by size or time, counted exactly.
//! It does not know how they travel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::time::{self, MissedTickBehavior};

use super::{Counts, Failure, Order, Settings, finish_ordered};
use crate::telemetry::outage::Watch;
use crate::telemetry::spans::Trail;

/// Takes finished exchanges until nobody makes any, or the order to finish.
pub(super) struct Traces {
    trails: UnboundedReceiver<Vec<Trail>>,
    waiting: Arc<AtomicUsize>,
    counts: Counts,
    orders: watch::Receiver<Order>,
    interval: Duration,
    timeout: Duration,
    scope: InstrumentationScope,
    batch: Vec<SpanData>,
    watch: Watch,
}

/// Spans in one request at most, but for those of one exchange that go together.
const BATCH: usize = 512;

// === impl Traces ===

impl Traces {
    pub(super) fn new(
        trails: UnboundedReceiver<Vec<Trail>>,
        waiting: Arc<AtomicUsize>,
        (counts, watch): (Counts, Watch),
        orders: watch::Receiver<Order>,
        settings: &Settings,
    ) -> Self {
        let scope = InstrumentationScope::builder("tidegate").with_version(env!("CARGO_PKG_VERSION")).build();
        let (interval, timeout) = (settings.interval, settings.otlp.timeout);
        Self { trails, waiting, counts, orders, interval, timeout, scope, batch: Vec::new(), watch }
    }

    pub(super) async fn run(mut self, exporter: SpanExporter, done: oneshot::Sender<()>) {
        // A zero interval would panic.
        let mut tick = time::interval(self.interval.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut orders = self.orders.clone();
        loop {
            tokio::select! {
                trails = self.trails.recv() => match trails {
                    Some(trails) => self.take(trails, &exporter).await,
                    None => break,
                },
                _ = tick.tick() => self.send(&exporter).await,
                _ = finish_ordered(&mut orders) => break,
            }
        }
        self.trails.close();
        while let Ok(trails) = self.trails.try_recv() {
            self.take(trails, &exporter).await;
        }
        self.send(&exporter).await;
        // Nobody listens where metrics are not pushed.
        let _ = done.send(());
    }

    async fn take(&mut self, trails: Vec<Trail>, exporter: &SpanExporter) {
        for trail in trails {
            trail.grow(&self.scope, &mut self.batch);
            if self.batch.len() >= BATCH {
                self.send(exporter).await;
            }
        }
    }

    async fn send(&mut self, exporter: &SpanExporter) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let spans = batch.len();
        self.watch.begin();
        let result = self.export(exporter, batch).await;
        self.counts.count(result, spans as u64);
        self.waiting.fetch_sub(spans, Relaxed);
        match result {
            Ok(()) => {
                if self.watch.succeed() {
                    tracing::info!("spans reach the collector again");
                }
            }
            Err(failure) => {
                if self.watch.fail(failure.as_str()) {
                    tracing::warn!(reason = failure.as_str(), spans, "spans do not reach the collector");
                }
            }
        }
    }

    /// The exporter tries again itself, within `timeout` for all tries; the order to finish bounds it once more.
    async fn export(&mut self, exporter: &SpanExporter, batch: Vec<SpanData>) -> Result<(), Failure> {
        let given_up = async {
            let deadline = finish_ordered(&mut self.orders).await;
            time::sleep_until(reserve(deadline).into()).await;
        };
        tokio::select! {
            biased;
            result = time::timeout(self.timeout, exporter.export(batch)) => match result {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::of(&error)),
                Err(_) => Err(Failure::Timeout),
            },
            () = given_up => Err(Failure::Shutdown),
        }
    }
}

/// Leaves a second of the time for the last push of metrics, which then knows how the spans went.
fn reserve(deadline: Instant) -> Instant {
    deadline.checked_sub(Duration::from_secs(1)).unwrap_or(deadline)
}
