//! OTLP messages, flattened to what tests look at.
//! It knows nothing of how they arrived.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point};
use prost::Message;

use crate::scrape::Labels;

/// A span that arrived.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client.
    pub kind: i32,
    /// In hexadecimal digits, as in the log line.
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_id: String,
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    pub status: i32,
    pub start_nanos: u64,
    pub end_nanos: u64,
    pub trace_state: String,
    /// The resource's attributes.
    pub resource: BTreeMap<String, String>,
}

/// The newest state of a series that arrived.
#[derive(Clone, Debug)]
pub struct Point {
    pub name: String,
    pub unit: String,
    pub labels: Labels,
    /// A sum's or a gauge's value, a histogram's count.
    pub value: f64,
    /// A histogram's sum.
    pub sum: f64,
    /// A histogram's counts, bucket by bucket.
    pub buckets: Vec<u64>,
    /// The trace ids of its exemplars.
    pub exemplars: Vec<String>,
}

pub(super) fn spans(message: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(message).expect("a trace export");
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.map(|resource| text(resource.attributes)).unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                name: span.name,
                kind: span.kind,
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                attributes: text(span.attributes),
                events: span.events.into_iter().map(|event| event.name).collect(),
                status: span.status.map_or(0, |status| status.code),
                start_nanos: span.start_time_unix_nano,
                end_nanos: span.end_time_unix_nano,
                trace_state: span.trace_state,
                resource: resource.clone(),
            });
        }
    }
    spans
}

pub(super) fn points(message: &[u8]) -> Vec<Point> {
    let request = ExportMetricsServiceRequest::decode(message).expect("a metrics export");
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let mut points = Vec::new();
    for metric in scopes.flat_map(|scope| scope.metrics) {
        let (name, unit) = (metric.name, metric.unit);
        match metric.data {
            Some(Data::Sum(sum)) => points.extend(sum.data_points.into_iter().map(|point| number(&name, &unit, point))),
            Some(Data::Gauge(gauge)) => {
                points.extend(gauge.data_points.into_iter().map(|point| number(&name, &unit, point)));
            }
            Some(Data::Histogram(histogram)) => points.extend(histogram.data_points.into_iter().map(|point| Point {
                name: name.clone(),
                unit: unit.clone(),
                labels: text(point.attributes),
                #[allow(clippy::cast_precision_loss, reason = "counts of a test")]
                value: point.count as f64,
                sum: point.sum.unwrap_or_default(),
                buckets: point.bucket_counts,
                exemplars: point.exemplars.iter().map(|exemplar| hex(&exemplar.trace_id)).collect(),
            })),
            other => panic!("a kind of metric that the proxy does not have: {name} {other:?}"),
        }
    }
    points
}

fn number(name: &str, unit: &str, point: NumberDataPoint) -> Point {
    let value = match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        #[allow(clippy::cast_precision_loss, reason = "counts of a test")]
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => panic!("{name} has a point without a value"),
    };
    let exemplars = point.exemplars.iter().map(|exemplar| hex(&exemplar.trace_id)).collect();
    let labels = text(point.attributes);
    Point { name: name.to_owned(), unit: unit.to_owned(), labels, value, sum: 0.0, buckets: Vec::new(), exemplars }
}

fn text(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|attribute| (attribute.key, one(attribute.value))).collect()
}

fn one(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::ArrayValue(list)) => list.values.into_iter().map(|v| one(Some(v))).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
