//! The registry as a `Collector` of the `prometheus` crate, which writes the classic text format.
//! It knows no HTTP.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::histogram::Observations;
use super::snapshot::{Measured, Point, Value};
use super::{Kind, Registry, Snapshot};

/// A registry, as one collector.
pub(super) struct Classic {
    registry: Registry,
    /// One description that stands for all: which families there are changes when plugins are loaded.
    all: Desc,
}

// === impl Classic ===

impl Classic {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Everything that Tidegate and its plugins measure.".to_owned();
        let all = Desc::new("tidegate".to_owned(), help, Vec::new(), HashMap::new())?;
        Ok(Self { registry: registry.clone(), all })
    }
}

impl Collector for Classic {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.all]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        families(&self.registry.gather())
    }
}

/// The snapshot in the types of the `prometheus` crate.
pub(super) fn families(snapshot: &Snapshot) -> Vec<proto::MetricFamily> {
    snapshot.families.iter().map(family).collect()
}

fn family(measured: &Measured) -> proto::MetricFamily {
    let definition = measured.family.definition();
    let mut family = proto::MetricFamily::default();
    family.set_name(measured.family.scrape_name());
    family.set_help(definition.help.clone());
    family.set_field_type(match definition.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    let bounds = &definition.buckets;
    let names = measured.family.scrape_labels();
    family.set_metric(measured.points.iter().map(|point| metric(names, bounds, point)).collect());
    family
}

fn metric(names: &[String], bounds: &[f64], point: &Point) -> proto::Metric {
    let labels = Measured::labels(names, point).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let mut metric = proto::Metric::from_label(labels.collect());
    match &point.value {
        Value::Counter { .. } => {
            let mut counter = proto::Counter::default();
            counter.set_value(point.value.as_f64());
            metric.set_counter(counter);
        }
        Value::Gauge(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        Value::Histogram(observations) => metric.set_histogram(histogram(bounds, observations)),
    }
    metric
}

fn histogram(bounds: &[f64], observations: &Observations) -> proto::Histogram {
    let mut histogram = proto::Histogram::default();
    histogram.set_sample_count(observations.count());
    histogram.set_sample_sum(observations.sum);
    let buckets = bounds.iter().zip(observations.cumulative()).map(|(bound, count)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram
}
