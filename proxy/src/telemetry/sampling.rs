//! Which traces are kept: by ratio, by the caller's decision, and by how the exchange went.
//! It does not know where spans go.

use std::time::Duration;

use crate::telemetry::config::Traces;

/// The decisions of one configuration.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// Of 2^63.
    threshold: u64,
    parent_based: bool,
    always_errors: bool,
    always_slower_than: Option<Duration>,
}

// === impl Sampler ===

impl Sampler {
    /// For these rules; a ratio outside of 0 to 1 is the nearest of both.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^63")]
    pub fn new(config: &Traces) -> Self {
        Self {
            threshold: (config.ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64,
            parent_based: config.parent_based,
            always_errors: config.always_errors,
            always_slower_than: config.always_slower_than,
        }
    }

    /// Keeps nothing.
    pub(super) const fn never() -> Self {
        Self { threshold: 0, parent_based: false, always_errors: false, always_slower_than: None }
    }

    /// The decision at the head of an exchange, from the trace id and the caller's decision where it made one.
    ///
    /// The ratio is taken as OpenTelemetry's `TraceIdRatioBased` does, so that all who use the same ratio keep the same traces.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half of the trace id")]
    pub fn head(&self, trace_id: u128, decision: Option<bool>) -> bool {
        match decision {
            Some(sampled) if self.parent_based => sampled,
            _ => (trace_id as u64) >> 1 < self.threshold,
        }
    }

    /// Whether an exchange that was not sampled at its head is kept for how it went.
    pub fn outcome(&self, failed: bool, duration: Duration) -> bool {
        failed && self.always_errors || self.always_slower_than.is_some_and(|limit| duration > limit)
    }
}

#[cfg(test)]
mod tests;
