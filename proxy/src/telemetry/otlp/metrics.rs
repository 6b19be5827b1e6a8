//! Metrics on the exporter's thread: the registry's snapshot, pushed now and then and once more at the end.
//! It does not know how they travel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::{self, MissedTickBehavior};

use super::transport::MetricSender;
use super::{Counts, Failure, Order, Settings, finish_ordered};
use crate::telemetry::metrics::Registry;
use crate::telemetry::outage::Watch;

/// Pushes until another exporter does, or the order to finish.
pub(super) struct Metrics {
    registry: Registry,
    counts: Counts,
    orders: watch::Receiver<Order>,
    interval: Option<Duration>,
    timeout: Duration,
    resource: Vec<(Arc<str>, Arc<str>)>,
    watch: Watch,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(
        registry: Registry,
        (counts, watch): (Counts, Watch),
        orders: watch::Receiver<Order>,
        settings: &Settings,
    ) -> Self {
        Self {
            registry,
            counts,
            orders,
            interval: settings.metrics_interval,
            timeout: settings.otlp.timeout,
            resource: settings.resource.clone(),
            watch,
        }
    }

    /// The last push comes after the last spans, so that it has their counts.
    pub(super) async fn run(mut self, sender: MetricSender, spans_done: oneshot::Receiver<()>) {
        let Some(interval) = self.interval else { return };
        let interval = interval.max(Duration::from_millis(1));
        let mut tick = time::interval_at(time::Instant::now() + interval, interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut orders = self.orders.clone();
        let deadline = loop {
            let ordered = async {
                match orders.wait_for(|order| *order != Order::Run).await.map(|order| *order) {
                    Ok(order) => order,
                    Err(_) => Order::Retire,
                }
            };
            tokio::select! {
                order = ordered => match order {
                    Order::Finish(deadline) => break deadline,
                    Order::Retire | Order::Run => return,
                },
                _ = tick.tick() => self.push(&sender).await,
            }
        };
        // Dropped without a word is done as well.
        let _ = time::timeout_at(deadline.into(), spans_done).await;
        self.push(&sender).await;
    }

    async fn push(&mut self, sender: &MetricSender) {
        let request = self.registry.gather().otlp(&self.resource);
        let mut orders = self.orders.clone();
        self.watch.begin();
        let given_up = async {
            let deadline = finish_ordered(&mut orders).await;
            if deadline > Instant::now() {
                time::sleep_until(deadline.into()).await;
            }
        };
        let result = tokio::select! {
            biased;
            result = time::timeout(self.timeout, sender.send(request)) => result.unwrap_or(Err(Failure::Timeout)),
            () = given_up => Err(Failure::Timeout),
        };
        self.counts.count(result, 1);
        match result {
            Ok(()) => {
                if self.watch.succeed() {
                    tracing::info!("metrics reach the collector again");
                }
            }
            Err(failure) => {
                if self.watch.fail(failure.as_str()) {
                    tracing::warn!(reason = failure.as_str(), "metrics do not reach the collector");
                }
            }
        }
    }
}
