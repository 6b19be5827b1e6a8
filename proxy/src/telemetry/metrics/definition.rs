//! What a metric is: its names, unit, kind, labels and buckets, and when two definitions are the same.
//! It holds no values.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::name;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down; over shards it is the sum.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// What a metric is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The OTLP name, with dots.
    pub name: String,
    /// The unit by UCUM: `s`, `By`, `{request}`, `1`; empty for none.
    pub unit: String,
    /// One sentence; empty becomes the name.
    pub help: String,
    pub kind: Kind,
    /// The names of the labels, with dots, in the order in which values are given.
    pub labels: Vec<String>,
    /// Upper bounds (inclusive) of a histogram's buckets, rising, finite; the last bucket to infinity is not written.
    pub buckets: Vec<f64>,
}

/// A metric that is defined: what handles are asked for. Clones are the same metric.
#[derive(Clone)]
pub struct Family {
    inner: Arc<Inner>,
}

struct Inner {
    definition: Definition,
    /// In the scrape, with unit, without `_total`.
    base: String,
    /// The unit as a word of the scrape name, where it has one.
    unit: Option<String>,
    labels: Vec<String>,
    bounds: Arc<[f64]>,
    index: OnceLock<usize>,
}

/// Why a metric could not be defined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The name in the scrape is taken by something of another shape.
    #[error("metric `{wanted}` cannot be a {shape}: `{existing}` is already a {existing_shape}")]
    Shape {
        /// The OTLP name that was asked for.
        wanted: String,
        shape: String,
        /// The OTLP name that was there before.
        existing: String,
        existing_shape: String,
    },
    /// The definition itself is wrong.
    #[error("metric `{name}` is not valid: {reason}")]
    Invalid { name: String, reason: String },
}

// === impl Kind ===

impl Kind {
    /// The word of the text formats.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

// === impl Definition ===

impl Definition {
    /// A counter.
    pub fn counter(name: &str, unit: &str, help: &str, labels: &[&str]) -> Self {
        Self::new(Kind::Counter, name, unit, help, labels)
    }

    /// A gauge.
    pub fn gauge(name: &str, unit: &str, help: &str, labels: &[&str]) -> Self {
        Self::new(Kind::Gauge, name, unit, help, labels)
    }

    /// A histogram with these upper bounds.
    pub fn histogram(name: &str, unit: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Self {
        Self { buckets: buckets.to_vec(), ..Self::new(Kind::Histogram, name, unit, help, labels) }
    }

    fn new(kind: Kind, name: &str, unit: &str, help: &str, labels: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            help: help.to_owned(),
            kind,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            buckets: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !name::is_valid(&self.name) {
            return Err(
                "a name begins with a letter and has letters, digits, `_`, `.`, `-` and `/`, at most 255".into()
            );
        }
        if self.unit.len() > 63 || !self.unit.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a unit is at most 63 printable ASCII characters".into());
        }
        let labels: Vec<_> = self.labels.iter().map(|label| name::label(label)).collect();
        for (index, (label, given)) in labels.iter().zip(&self.labels).enumerate() {
            if !name::is_valid(given) {
                return Err(format!("`{given}` cannot be a label"));
            }
            if label == "le" || label == "quantile" || given.starts_with("__") {
                return Err(format!("the label `{given}` is reserved"));
            }
            if labels.iter().take(index).any(|other| other == label) {
                return Err(format!("the label `{given}` is there twice"));
            }
        }
        match self.kind {
            Kind::Histogram if self.buckets.is_empty() => Err("a histogram needs buckets".into()),
            Kind::Histogram if !self.buckets.iter().all(|bound| bound.is_finite()) => {
                Err("the bounds of buckets are finite".into())
            }
            Kind::Histogram if !self.buckets.is_sorted_by(|low, high| low < high) => {
                Err("the bounds of buckets rise".into())
            }
            Kind::Counter | Kind::Gauge if !self.buckets.is_empty() => Err("only a histogram has buckets".into()),
            Kind::Counter | Kind::Gauge | Kind::Histogram => Ok(()),
        }
    }

    /// Everything that two definitions of one metric must agree on, in words.
    fn shape(&self) -> String {
        let mut shape = self.kind.as_str().to_owned();
        if !self.unit.is_empty() {
            shape.push_str(&format!(" in `{}`", self.unit));
        }
        match self.labels.as_slice() {
            [] => shape.push_str(" without labels"),
            labels => shape.push_str(&format!(" by {}", labels.join(", "))),
        }
        if !self.buckets.is_empty() {
            let bounds: Vec<_> = self.buckets.iter().map(f64::to_string).collect();
            shape.push_str(&format!(" with buckets {}", bounds.join(", ")));
        }
        shape
    }
}

// === impl Family ===

impl Family {
    pub(super) fn new(mut definition: Definition) -> Result<Self, Conflict> {
        definition.check().map_err(|reason| Conflict::Invalid { name: definition.name.clone(), reason })?;
        if definition.help.trim().is_empty() {
            definition.help.clone_from(&definition.name);
        }
        let (base, unit) = name::scrape(&definition.name, &definition.unit, definition.kind);
        let labels = definition.labels.iter().map(|label| name::label(label)).collect();
        let bounds = definition.buckets.as_slice().into();
        Ok(Self { inner: Arc::new(Inner { definition, base, unit, labels, bounds, index: OnceLock::new() }) })
    }

    /// What it was defined as.
    pub fn definition(&self) -> &Definition {
        &self.inner.definition
    }

    /// The name in the classic text format: counters end in `_total`.
    pub fn scrape_name(&self) -> String {
        match self.definition().kind {
            Kind::Counter => format!("{}_total", self.inner.base),
            Kind::Gauge | Kind::Histogram => self.inner.base.clone(),
        }
    }

    /// The name of the family in OpenMetrics: without `_total`.
    pub(super) fn base_name(&self) -> &str {
        &self.inner.base
    }

    /// The unit at the end of [`Family::base_name`], where there is one.
    pub(super) fn unit_word(&self) -> Option<&str> {
        self.inner.unit.as_deref()
    }

    /// The names of the labels in the scrape.
    pub(super) fn scrape_labels(&self) -> &[String] {
        &self.inner.labels
    }

    /// The upper bounds of the buckets, shared by all its series.
    pub(super) fn bounds(&self) -> Arc<[f64]> {
        self.inner.bounds.clone()
    }

    /// Every name that this metric takes in a scrape.
    pub(super) fn sample_names(&self) -> Vec<String> {
        let base = &self.inner.base;
        match self.definition().kind {
            Kind::Counter => vec![format!("{base}_total"), base.clone(), format!("{base}_created")],
            Kind::Gauge => vec![base.clone()],
            Kind::Histogram => {
                ["", "_bucket", "_sum", "_count", "_created"].iter().map(|suffix| format!("{base}{suffix}")).collect()
            }
        }
    }

    pub(super) fn same_shape(&self, wanted: &Self) -> Result<(), Conflict> {
        let (existing, wanted) = (self.definition(), wanted.definition());
        if (&existing.name, existing.shape()) == (&wanted.name, wanted.shape()) {
            return Ok(());
        }
        Err(Conflict::Shape {
            wanted: wanted.name.clone(),
            shape: wanted.shape(),
            existing: existing.name.clone(),
            existing_shape: existing.shape(),
        })
    }

    /// The place in the registry; a family that was never registered has none.
    pub(super) fn index(&self) -> usize {
        self.inner.index.get().copied().unwrap_or(usize::MAX)
    }

    pub(super) fn set_index(&self, index: usize) {
        let _ = self.inner.index.set(index);
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.definition().name).finish()
    }
}
