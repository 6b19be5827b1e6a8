//! Counters, gauges and histograms. An update is one host call with two numbers: no name, no text, no allocation.
//! How they are defined stands in `define`.

use std::time::Duration;

use crate::{Label, ffi};

/// Only goes up. `N` is the number of its labels.
#[derive(Clone, Copy, Debug)]
pub struct Counter<const N: usize = 0>(Family<N>);

/// Goes up and down. `N` is the number of its labels.
#[derive(Clone, Copy, Debug)]
pub struct Gauge<const N: usize = 0>(Family<N>);

/// Counts observations in buckets. `N` is the number of its labels.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<const N: usize = 0>(Family<N>);

/// A metric by number, with what its series are numbered by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family<const N: usize> {
    pub metric: i32,
    /// For each label the number of its set and how many values that has.
    pub sets: [(i32, u32); N],
    /// What a second is in the metric's unit.
    pub second: f64,
}

/// A number that a metric can take; a [`Duration`] is converted to the metric's unit (`s`, `ms`, `us` or `ns`; else seconds).
pub trait Amount {
    /// The number, where a second counts as `second`.
    fn amount(self, second: f64) -> f64;
}

// === impl Counter ===

impl<const N: usize> Counter<N> {
    pub(crate) const fn new(family: Family<N>) -> Self {
        Self(family)
    }

    /// Adds to the series of these labels, which stand in the order of `labels([..])`. A negative amount is refused.
    pub fn add(&self, amount: impl Amount, labels: [Label; N]) {
        ffi::metric_add(self.0.metric, self.0.series(&labels), amount.amount(self.0.second));
    }
}

// === impl Gauge ===

impl<const N: usize> Gauge<N> {
    pub(crate) const fn new(family: Family<N>) -> Self {
        Self(family)
    }

    /// Sets the series of these labels.
    pub fn set(&self, value: impl Amount, labels: [Label; N]) {
        ffi::metric_set(self.0.metric, self.0.series(&labels), value.amount(self.0.second));
    }

    /// Adds to the series of these labels, or takes away.
    pub fn add(&self, amount: impl Amount, labels: [Label; N]) {
        ffi::metric_add(self.0.metric, self.0.series(&labels), amount.amount(self.0.second));
    }
}

// === impl Histogram ===

impl<const N: usize> Histogram<N> {
    pub(crate) const fn new(family: Family<N>) -> Self {
        Self(family)
    }

    /// Records an observation in the series of these labels.
    pub fn record(&self, value: impl Amount, labels: [Label; N]) {
        ffi::metric_record(self.0.metric, self.0.series(&labels), value.amount(self.0.second));
    }
}

// === impl Family ===

impl<const N: usize> Family<N> {
    fn series(&self, labels: &[Label; N]) -> i32 {
        let mut numbered = [(0, 0); N];
        for ((to, label), &(set, count)) in numbered.iter_mut().zip(labels).zip(&self.sets) {
            debug_assert_eq!(label.set(), set, "the label `{label}` is of another label set than the metric's");
            // A label of another set is not one of this metric's values: it counts as `other`.
            *to = (if label.set() == set { label.index() } else { count }, count);
        }
        tidegate_abi::series(&numbered).cast_signed()
    }
}

/// What a second is in a unit.
pub(crate) fn second(unit: &str) -> f64 {
    match unit {
        "ms" => 1e3,
        "us" => 1e6,
        "ns" => 1e9,
        "min" => 1.0 / 60.0,
        "h" => 1.0 / 3600.0,
        _ => 1.0,
    }
}

// === impl Amount ===

macro_rules! amount {
    ($($number:ty)*) => {$(
        impl Amount for $number {
            fn amount(self, _second: f64) -> f64 { self as f64 }
        }
    )*};
}

amount!(i8 u8 i16 u16 i32 u32 i64 u64 isize usize f32 f64);

impl Amount for Duration {
    fn amount(self, second: f64) -> f64 {
        self.as_secs_f64() * second
    }
}
