//! All values at one moment, merged over the shards: what every encoding starts from.
//! It knows no format.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::histogram::Observations;
use super::shard::{Labels, Shard};
use super::{Family, Kind};

/// All values at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Since when counters and histograms count.
    pub started: SystemTime,
    /// When the values were read.
    pub taken: SystemTime,
    /// Every family that has a series, sorted by its name in the scrape.
    pub families: Vec<Measured>,
}

/// A family and its series.
#[derive(Clone, Debug)]
pub struct Measured {
    pub family: Family,
    /// Sorted by label values.
    pub points: Vec<Point>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// One for each label of the family.
    pub labels: Box<[Box<str>]>,
    pub value: Value,
}

/// What a series has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Whole amounts, and the sum of all that were not whole.
    Counter {
        whole: u64,
        fraction: f64,
    },
    Gauge(f64),
    Histogram(Observations),
}

// === impl Snapshot ===

impl Snapshot {
    pub(super) fn merge(started: SystemTime, families: Vec<Family>, shards: &[Shard]) -> Self {
        let mut measured: Vec<_> = families.into_iter().filter_map(|family| Measured::merge(family, shards)).collect();
        measured.sort_by_cached_key(|measured| measured.family.scrape_name());
        Self { started, taken: SystemTime::now(), families: measured }
    }

    /// The series of a metric, by its OTLP name; `None` where it has none yet.
    pub fn family(&self, name: &str) -> Option<&Measured> {
        self.families.iter().find(|measured| measured.family.definition().name == name)
    }

    /// The value of one series, by the OTLP name and pairs of OTLP label and value in any order; for tests and the live page.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Value> {
        let measured = self.family(name)?;
        let names = &measured.family.definition().labels;
        let point = measured.points.iter().find(|point| {
            let mut pairs = names.iter().map(String::as_str).zip(point.labels.iter().map(|value| &**value));
            labels.len() == names.len() && pairs.all(|pair| labels.contains(&pair))
        })?;
        Some(&point.value)
    }
}

// === impl Measured ===

impl Measured {
    fn merge(family: Family, shards: &[Shard]) -> Option<Self> {
        let mut points = BTreeMap::<Labels, Value>::new();
        for shard in shards {
            shard.read(&family, |labels, value| match points.get_mut(labels) {
                Some(sum) => sum.merge(value),
                None => _ = points.insert(labels.clone(), value),
            });
        }
        let points: Vec<_> = points.into_iter().map(|(labels, value)| Point { labels, value }).collect();
        (!points.is_empty()).then_some(Self { family, points })
    }

    /// The pairs of a point's labels; those without a value are left out, as an absent label means the same.
    pub(super) fn labels<'a>(names: &'a [String], point: &'a Point) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = names.iter().map(String::as_str).zip(point.labels.iter().map(|value| &**value));
        pairs.filter(|(_, value)| !value.is_empty())
    }

    /// Whether every value of a counter is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.family.definition().kind == Kind::Counter
            && self.points.iter().all(|point| matches!(point.value, Value::Counter { fraction: 0.0, .. }))
    }
}

// === impl Value ===

impl Value {
    /// The value of a counter or gauge, the count of a histogram.
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Counter { whole, fraction } => *whole as f64 + fraction,
            Self::Gauge(value) => *value,
            Self::Histogram(observations) => observations.count() as f64,
        }
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Counter { whole, fraction }, Self::Counter { whole: more, fraction: rest }) => {
                *whole = whole.wrapping_add(more);
                *fraction += rest;
            }
            (Self::Gauge(sum), Self::Gauge(value)) => *sum += value,
            (Self::Histogram(sum), Self::Histogram(observations)) => sum.merge(observations),
            // A family has one kind.
            _ => debug_assert!(false, "two kinds in one series"),
        }
    }
}
