//! The OpenMetrics 1.0.0 text format, with exemplars and units.
//! It knows no HTTP.
//!
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Snapshot;
use super::histogram::{Exemplar, Observations};
use super::snapshot::{Measured, Value};

/// The snapshot as an exposition, with its end mark.
pub(super) fn encode(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for measured in &snapshot.families {
        // A `String` takes everything.
        let _ = write_family(&mut text, measured);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(text: &mut String, measured: &Measured) -> std::fmt::Result {
    let family = &measured.family;
    let definition = family.definition();
    let base = family.base_name();
    writeln!(text, "# HELP {base} {}", escape(&definition.help))?;
    writeln!(text, "# TYPE {base} {}", definition.kind.as_str())?;
    if let Some(unit) = family.unit_word() {
        writeln!(text, "# UNIT {base} {unit}")?;
    }
    for point in &measured.points {
        let mut labels = String::new();
        for (name, value) in Measured::labels(family.scrape_labels(), point) {
            let comma = if labels.is_empty() { "" } else { "," };
            write!(labels, "{comma}{name}=\"{}\"", escape(value))?;
        }
        match &point.value {
            // A whole number beyond 2^53 keeps its digits here, which a float would not.
            Value::Counter { whole, fraction: 0.0 } => writeln!(text, "{base}_total{} {whole}", braces(&labels))?,
            Value::Counter { .. } => writeln!(text, "{base}_total{} {}", braces(&labels), point.value.as_f64())?,
            Value::Gauge(value) => writeln!(text, "{base}{} {value}", braces(&labels))?,
            Value::Histogram(observations) => {
                write_histogram(text, base, &labels, &definition.buckets, observations)?;
            }
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    base: &str,
    labels: &str,
    bounds: &[f64],
    observations: &Observations,
) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    for ((bound, count), exemplar) in bounds.zip(observations.cumulative()).zip(&observations.exemplars) {
        write!(text, "{base}_bucket{{{labels}{comma}le=\"{}\"}} {count}", canonical(bound))?;
        if let Some(exemplar) = exemplar {
            write_exemplar(text, exemplar)?;
        }
        text.push('\n');
    }
    writeln!(text, "{base}_sum{} {}", braces(labels), observations.sum)?;
    writeln!(text, "{base}_count{} {}", braces(labels), observations.count())
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> std::fmt::Result {
    let Exemplar { value, trace_id, span_id, at } = exemplar;
    let (seconds, millis) = unix(*at);
    write!(text, " # {{trace_id=\"{trace_id:032x}\",span_id=\"{span_id:016x}\"}} {value} {seconds}.{millis:03}")
}

fn unix(at: SystemTime) -> (u64, u32) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_millis())
}

fn braces(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

/// The same bucket must have the same text everywhere: "1.0", not "1".
fn canonical(bound: f64) -> String {
    if bound.is_infinite() {
        "+Inf".to_owned()
    } else if bound.fract() == 0.0 {
        format!("{bound:.1}")
    } else {
        bound.to_string()
    }
}

/// Help texts and label values are escaped alike in this format.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
