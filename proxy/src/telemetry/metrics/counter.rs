//! Handles of counters and gauges, and the cells behind them.
//! They know neither names nor labels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::shard::Writers;

/// A series that only goes up.
#[derive(Clone, Debug)]
pub struct Counter {
    pub(super) cell: Arc<CounterCell>,
    pub(super) writers: Writers,
}

/// A series that goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge {
    pub(super) cell: Arc<GaugeCell>,
    pub(super) writers: Writers,
}

/// Whole amounts and fractions are kept apart, so that a counter of things stays exact beyond 2^53 and an integer in OTLP.
#[derive(Debug, Default)]
pub(super) struct CounterCell {
    whole: AtomicU64,
    /// Bits of an `f64`.
    fraction: AtomicU64,
}

/// Bits of an `f64`.
#[derive(Debug, Default)]
pub(super) struct GaugeCell(AtomicU64);

// === impl Counter ===

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds a whole amount.
    #[inline]
    pub fn add(&self, amount: u64) {
        let whole = &self.cell.whole;
        match self.writers {
            Writers::One => whole.store(whole.load(Relaxed).wrapping_add(amount), Relaxed),
            Writers::Many => _ = whole.fetch_add(amount, Relaxed),
        }
    }

    /// Adds any amount. `false` and nothing added where it is negative or not finite.
    #[inline]
    pub fn add_f64(&self, amount: f64) -> bool {
        /// The largest whole amount that an `f64` is exact for.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !amount.is_finite() || amount < 0.0 {
            return false;
        }
        if amount <= EXACT && amount.fract() == 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative, <= 2^53"
            )]
            self.add(amount as u64);
        } else {
            add_float(&self.cell.fraction, amount, self.writers);
        }
        true
    }

    /// Raises the counter to a total that is counted elsewhere; a lower total changes nothing. Not to be mixed with adding,
    /// and only through the shared shard, since the metric is the sum over the shards.
    pub fn raise_to(&self, total: u64) {
        self.cell.whole.fetch_max(total, Relaxed);
    }

    /// The same for a total that need not be whole; not to be mixed with [`Counter::raise_to`].
    pub(super) fn raise_to_f64(&self, total: f64) {
        // The bits of floats that are not negative are ordered like the floats.
        if total.is_finite() && total >= 0.0 {
            self.cell.fraction.fetch_max(total.to_bits(), Relaxed);
        }
    }

    /// What was added through this shard.
    pub fn get(&self) -> f64 {
        let (whole, fraction) = self.cell.read();
        whole as f64 + fraction
    }
}

// === impl Gauge ===

impl Gauge {
    /// Sets the value of this shard; the metric is the sum over the shards, so set a state through the shared one.
    /// `false` and nothing set where the value is not finite.
    #[inline]
    pub fn set(&self, value: f64) -> bool {
        if value.is_finite() {
            self.cell.0.store(value.to_bits(), Relaxed);
        }
        value.is_finite()
    }

    /// Adds, also a negative amount. `false` and nothing added where it is not finite.
    #[inline]
    pub fn add(&self, amount: f64) -> bool {
        if amount.is_finite() {
            add_float(&self.cell.0, amount, self.writers);
        }
        amount.is_finite()
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    #[inline]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The value in this shard.
    pub fn get(&self) -> f64 {
        self.cell.read()
    }
}

// === impl CounterCell ===

impl CounterCell {
    /// The whole amounts, and the rest.
    pub(super) fn read(&self) -> (u64, f64) {
        (self.whole.load(Relaxed), f64::from_bits(self.fraction.load(Relaxed)))
    }
}

// === impl GaugeCell ===

impl GaugeCell {
    pub(super) fn read(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

pub(super) fn add_float(bits: &AtomicU64, amount: f64, writers: Writers) {
    let sum = |old: u64| (f64::from_bits(old) + amount).to_bits();
    match writers {
        Writers::One => bits.store(sum(bits.load(Relaxed)), Relaxed),
        Writers::Many => {
            let mut old = bits.load(Relaxed);
            while let Err(now) = bits.compare_exchange_weak(old, sum(old), Relaxed, Relaxed) {
                old = now;
            }
        }
    }
}
