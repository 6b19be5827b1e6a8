//! The snapshot as an OTLP export request.
//! It sends nothing.
//!
//! <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::histogram::{self, Observations};
use super::snapshot::{Measured, Point, Value};
use super::{Kind, Snapshot};

/// The attributes that the HTTP convention has as integers; a scrape knows only text.
const INTEGERS: [&str; 2] = ["http.response.status_code", "server.port"];

/// Whether a gauge of this unit counts things, or bytes: what can be added up is an UpDownCounter in OpenTelemetry's terms.
fn is_amount(unit: &str) -> bool {
    unit.starts_with('{') && unit.ends_with('}') || unit == "By"
}

impl Snapshot {
    /// The request that carries all of the snapshot, cumulative since [`Snapshot::started`], for the resource with these
    /// attributes.
    pub fn otlp<K: AsRef<str>, V: AsRef<str>>(&self, resource: &[(K, V)]) -> ExportMetricsServiceRequest {
        let attributes = resource.iter().map(|(key, value)| text(key.as_ref(), value.as_ref())).collect();
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(InstrumentationScope {
                        name: "tidegate".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    metrics: self.families.iter().map(|measured| self.metric(measured)).collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        }
    }

    fn metric(&self, measured: &Measured) -> Metric {
        let definition = measured.family.definition();
        let temporality = AggregationTemporality::Cumulative.into();
        let data = match definition.kind {
            Kind::Counter => metric::Data::Sum(Sum {
                data_points: self.numbers(measured),
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            Kind::Gauge if is_amount(&definition.unit) => metric::Data::Sum(Sum {
                data_points: self.numbers(measured),
                aggregation_temporality: temporality,
                is_monotonic: false,
            }),
            Kind::Gauge => metric::Data::Gauge(Gauge { data_points: self.numbers(measured) }),
            Kind::Histogram => metric::Data::Histogram(Histogram {
                data_points: self.histograms(measured),
                aggregation_temporality: temporality,
            }),
        };
        Metric {
            name: definition.name.clone(),
            description: definition.help.clone(),
            unit: definition.unit.clone(),
            metadata: Vec::new(),
            data: Some(data),
        }
    }

    fn numbers(&self, measured: &Measured) -> Vec<NumberDataPoint> {
        let definition = measured.family.definition();
        let is_gauge = definition.kind == Kind::Gauge && !is_amount(&definition.unit);
        // All points of a metric have one type: a fraction anywhere makes them floats.
        let is_whole = measured.is_whole();
        let points = measured.points.iter().map(|point| NumberDataPoint {
            attributes: attributes(measured, point),
            start_time_unix_nano: if is_gauge { 0 } else { nanoseconds(self.started) },
            time_unix_nano: nanoseconds(self.taken),
            value: Some(match point.value {
                Value::Counter { whole, .. } if is_whole => {
                    number_data_point::Value::AsInt(i64::try_from(whole).unwrap_or(i64::MAX))
                }
                _ => number_data_point::Value::AsDouble(point.value.as_f64()),
            }),
            ..NumberDataPoint::default()
        });
        points.collect()
    }

    fn histograms(&self, measured: &Measured) -> Vec<HistogramDataPoint> {
        let points = measured.points.iter().filter_map(|point| match &point.value {
            Value::Histogram(observations) => Some((point, observations)),
            Value::Counter { .. } | Value::Gauge(_) => None,
        });
        let points = points.map(|(point, observations)| {
            let Observations { sum, buckets, exemplars } = observations;
            HistogramDataPoint {
                attributes: attributes(measured, point),
                start_time_unix_nano: nanoseconds(self.started),
                time_unix_nano: nanoseconds(self.taken),
                count: observations.count(),
                sum: Some(*sum),
                bucket_counts: buckets.clone(),
                explicit_bounds: measured.family.definition().buckets.clone(),
                exemplars: exemplars.iter().flatten().map(exemplar).collect(),
                ..HistogramDataPoint::default()
            }
        });
        points.collect()
    }
}

fn exemplar(from: &histogram::Exemplar) -> Exemplar {
    let histogram::Exemplar { value, trace_id, span_id, at } = from;
    Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: nanoseconds(*at),
        span_id: span_id.to_be_bytes().to_vec(),
        trace_id: trace_id.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(*value)),
    }
}

fn attributes(measured: &Measured, point: &Point) -> Vec<KeyValue> {
    let names = &measured.family.definition().labels;
    let attributes = Measured::labels(names, point).map(|(key, value)| match value.parse() {
        Ok(number) if INTEGERS.contains(&key) => attribute(key, any_value::Value::IntValue(number)),
        _ => text(key, value),
    });
    attributes.collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
