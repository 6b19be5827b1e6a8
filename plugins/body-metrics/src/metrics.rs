//! Metrics with as many labels as the configuration says: none to three.
//! It knows no body.

use tidegate_sdk::prelude::*;

/// A histogram with none to three labels.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    None(Histogram),
    One(Histogram<1>),
    Two(Histogram<2>),
    Three(Histogram<3>),
}

/// A counter with none to three labels.
#[derive(Clone, Copy, Debug)]
pub enum Sums {
    None(Counter),
    One(Counter<1>),
    Two(Counter<2>),
    Three(Counter<3>),
}

/// What a metric is called, and what it tells.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub help: &'a str,
}

impl Sizes {
    /// Defines one.
    ///
    /// # Errors
    /// When it cannot be defined.
    pub fn define(define: &Define, named: Named<'_>, labels: &[&str], buckets: &[f64]) -> Result<Self> {
        let new = || define.histogram(named.name).unit(named.unit).help(named.help).buckets(buckets.iter().copied());
        Ok(match *labels {
            [] => Self::None(new().build()?),
            [a] => Self::One(new().labels([a]).build()?),
            [a, b] => Self::Two(new().labels([a, b]).build()?),
            [a, b, c, ..] => Self::Three(new().labels([a, b, c]).build()?),
        })
    }

    /// Records an observation.
    pub fn record(&self, value: f64, [a, b, c]: [Label; 3]) {
        match self {
            Self::None(histogram) => histogram.record(value, []),
            Self::One(histogram) => histogram.record(value, [a]),
            Self::Two(histogram) => histogram.record(value, [a, b]),
            Self::Three(histogram) => histogram.record(value, [a, b, c]),
        }
    }
}

impl Sums {
    /// Defines one.
    ///
    /// # Errors
    /// When it cannot be defined.
    pub fn define(define: &Define, named: Named<'_>, labels: &[&str]) -> Result<Self> {
        let new = || define.counter(named.name).unit(named.unit).help(named.help);
        Ok(match *labels {
            [] => Self::None(new().build()?),
            [a] => Self::One(new().labels([a]).build()?),
            [a, b] => Self::Two(new().labels([a, b]).build()?),
            [a, b, c, ..] => Self::Three(new().labels([a, b, c]).build()?),
        })
    }

    /// Adds to it.
    pub fn add(&self, value: f64, [a, b, c]: [Label; 3]) {
        match self {
            Self::None(counter) => counter.add(value, []),
            Self::One(counter) => counter.add(value, [a]),
            Self::Two(counter) => counter.add(value, [a, b]),
            Self::Three(counter) => counter.add(value, [a, b, c]),
        }
    }
}
