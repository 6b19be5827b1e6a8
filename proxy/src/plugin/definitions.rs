//! What a plugin defines while it is configured: label sets, metrics, its tick, how it wants bodies.
//! It only reads and checks; the registry is defined in `load`, the series live in `series`.

use std::sync::Arc;
use std::time::Duration;

use tidegate_abi::{Body, MetricKind, Reader, limits, status};

use super::contract::BodyWish;

/// The value of a label whose index lies beyond its set, and of every label of a metric's overflow series.
pub(super) const OTHER: &str = "other";
/// How often `tick` may be asked for.
const TICK: std::ops::RangeInclusive<i64> = 100..=3_600_000;
/// Names that belong to the proxy.
const RESERVED_PREFIXES: [&str; 4] = ["tidegate.", "tidegate_", "http.", "process."];

/// Everything one plugin defined. Two instances of one plugin must define the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Definitions {
    pub label_sets: Vec<LabelSet>,
    pub metrics: Vec<Metric>,
    pub tick: Option<Duration>,
    bodies: [BodyWish; 2],
}

/// A closed set of values, which is also the name of the label that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelSet {
    pub name: Box<str>,
    pub values: Vec<Box<str>>,
}

/// A metric, before the registry knows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub kind: MetricKind,
    pub name: Arc<str>,
    pub unit: Box<str>,
    pub help: Box<str>,
    /// Numbers of label sets.
    pub labels: Vec<usize>,
    /// Upper boundaries, rising; empty for the defaults.
    pub buckets: Vec<f64>,
}

// === impl Definitions ===

impl Definitions {
    /// Adds an encoded label set. Returns its number, or a status.
    pub fn label_set(&mut self, bytes: &[u8]) -> i32 {
        let Some(set) = LabelSet::read(bytes) else { return status::INVALID };
        number(&mut self.label_sets, set, |a, b| a.name == b.name)
    }

    /// Adds an encoded metric. Returns its number, or a status.
    pub fn metric(&mut self, bytes: &[u8]) -> i32 {
        let Some(metric) = Metric::read(bytes) else { return status::INVALID };
        let mut span = 1_u64;
        for (position, &label) in metric.labels.iter().enumerate() {
            let Some(set) = self.label_sets.get(label) else { return status::INVALID };
            if metric.labels.iter().take(position).any(|&other| other == label) {
                return status::INVALID;
            }
            span = span.saturating_mul(set.values.len() as u64 + 1);
        }
        if span > limits::SERIES_SPAN {
            return status::INVALID;
        }
        number(&mut self.metrics, metric, |a, b| a.name == b.name)
    }

    /// Asks for a tick every so many milliseconds. Returns a status.
    pub fn tick_every(&mut self, milliseconds: i64) -> i32 {
        match u64::try_from(milliseconds) {
            Ok(interval) if TICK.contains(&milliseconds) => {
                self.tick = Some(Duration::from_millis(interval));
                status::OK
            }
            _ => status::INVALID,
        }
    }

    /// How the plugin wants this body, where it says nothing else for an exchange.
    pub fn body(&self, body: Body) -> BodyWish {
        self.bodies.get(body as usize).copied().unwrap_or_default()
    }

    pub fn set_body(&mut self, body: Body, wish: BodyWish) {
        if let Some(place) = self.bodies.get_mut(body as usize) {
            *place = wish;
        }
    }
}

/// The number of `item` in `items`: of the equal one that is there, or a new one.
fn number<T: PartialEq>(items: &mut Vec<T>, item: T, same_name: impl Fn(&T, &T) -> bool) -> i32 {
    let at = match items.iter().position(|other| same_name(other, &item)) {
        Some(at) if items.get(at) == Some(&item) => at,
        Some(_) => return status::CONFLICT,
        None if items.len() >= limits::DEFINITIONS => return status::BUDGET,
        None => {
            items.push(item);
            items.len() - 1
        }
    };
    i32::try_from(at).unwrap_or(status::BUDGET)
}

// === impl LabelSet ===

impl LabelSet {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let name = reader.text().ok()?;
        let count = reader.u32().ok()? as usize;
        if !is_label(name) || count > limits::LABEL_VALUES {
            return None;
        }
        // The count is the guest's word; what is reserved is bounded by the limit above.
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let value = reader.text().ok()?;
            if value.len() > limits::NAME {
                return None;
            }
            values.push(value.into());
        }
        reader.is_empty().then(|| Self { name: name.into(), values })
    }
}

// === impl Metric ===

impl Metric {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = MetricKind::from_u32(reader.u32().ok()?)?;
        let (name, unit, help) = (reader.text().ok()?, reader.text().ok()?, reader.text().ok()?);
        let labels = list(&mut reader, limits::LABELS, |reader| Some(reader.u32().ok()? as usize))?;
        let buckets = list(&mut reader, limits::BUCKETS, |reader| reader.f64().ok())?;
        let rising =
            buckets.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) && buckets.iter().all(|b| b.is_finite());
        let fits = is_metric(name)
            && unit.len() <= limits::NAME
            && unit.bytes().all(|byte| byte.is_ascii_graphic())
            && help.len() <= limits::TEXT
            && rising
            && (buckets.is_empty() || kind == MetricKind::Histogram)
            && reader.is_empty();
        fits.then(|| Self { kind, name: name.into(), unit: unit.into(), help: help.into(), labels, buckets })
    }
}

fn list<'a, T>(reader: &mut Reader<'a>, limit: usize, item: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = reader.u32().ok()? as usize;
    if count > limit {
        return None;
    }
    (0..count).map(|_| item(reader)).collect()
}

/// Whether a label may be called so: as Prometheus allows it, and not one that the proxy or the format adds.
fn is_label(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    name.len() <= limits::NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(word)
        && !name.starts_with("__")
        && !matches!(name, "plugin" | "le" | "quantile")
}

fn is_metric(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    name.len() <= limits::NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(word)
        && !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a log field, an attribute, a span or an event may be called so: printable, so that no format needs to quote it away.
pub(super) fn name(bytes: &[u8]) -> Option<&str> {
    // The length first: a guest may give as much as it has memory, and nothing interrupts a look at all of it.
    let name = std::str::from_utf8(Some(bytes).filter(|bytes| fits(bytes))?).ok()?;
    (!name.chars().any(char::is_control)).then_some(name)
}

/// Whether a log field or an attribute may have this key: a word of letters, digits, `_`, `.` and `-`, which every format can write as it is.
pub(super) fn key(bytes: &[u8]) -> Option<&str> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (fits(bytes) && bytes.iter().all(word)).then(|| std::str::from_utf8(bytes).ok()).flatten()
}

const fn fits(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= limits::NAME
}
