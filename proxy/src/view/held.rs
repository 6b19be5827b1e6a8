//! How many bytes of bodies a plugin holds back on this worker, and how many it may.
//! It holds no body.

use std::cell::Cell;
use std::rc::Rc;

use crate::telemetry::metrics::{Counter, Gauge};

/// One plugin's part of a worker's memory for bodies.
#[derive(Debug)]
pub struct Allowance {
    most: Cell<usize>,
    used: Cell<usize>,
    /// The same for all workers and versions, each of which adds its own.
    gauge: Gauge,
    refused: Counter,
}

/// What one exchange has of it; given back when dropped.
#[derive(Debug)]
pub struct Share {
    of: Rc<Allowance>,
    bytes: usize,
}

// === impl Allowance ===

impl Allowance {
    /// Of a plugin that may hold so many bytes.
    pub const fn new(most: usize, gauge: Gauge, refused: Counter) -> Self {
        Self { most: Cell::new(most), used: Cell::new(0), gauge, refused }
    }

    /// Another version of the configuration says how many; what is held stays.
    pub fn allow(&self, most: usize) {
        self.most.set(most);
    }

    pub fn share(self: &Rc<Self>) -> Share {
        Share { of: Rc::clone(self), bytes: 0 }
    }

    fn change(&self, from: usize, to: usize) {
        self.used.set((self.used.get() + to).saturating_sub(from));
        self.gauge.add(to as f64 - from as f64);
    }
}

// === impl Share ===

impl Share {
    /// Takes so many bytes in all. Where that is more than the plugin may hold, it stays as it is, and is counted.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && self.of.used.get().saturating_add(more) > self.of.most.get() {
            self.of.refused.inc();
            return false;
        }
        self.set(bytes);
        true
    }

    /// Takes so many bytes in all, whatever the plugin may hold: it made them itself.
    #[must_use]
    pub fn with(mut self, bytes: usize) -> Self {
        self.set(bytes);
        self
    }

    fn set(&mut self, bytes: usize) {
        self.of.change(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::metrics::catalogue::Catalogue;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let registry = Registry::new();
        let plugin = Catalogue::new(&registry).unwrap().plugin;
        let shard = registry.shared();
        let gauge = shard.gauge(&plugin.held, &["p"]);
        let refused = shard.counter(&plugin.dropped, &["p", "body", "budget"]);
        let allowance = Rc::new(Allowance::new(100, gauge.clone(), refused.clone()));
        let (mut first, mut second) = (allowance.share(), allowance.share());
        assert!(first.grow(60) && second.grow(40) && second.grow(30), "{allowance:?}");
        assert!(!second.grow(41) && !first.grow(usize::MAX), "{allowance:?}");
        assert_eq!((gauge.get(), refused.get()), (90.0, 2.0));
        drop(first);
        assert!(second.grow(100));
        second = second.with(150);
        assert_eq!(gauge.get(), 150.0, "what a plugin makes of a body is counted, and not refused");
        assert!(second.grow(150), "whoever asks for nothing more is not refused");
        allowance.allow(200);
        assert!(allowance.share().grow(50) && !allowance.share().grow(51));
        drop(second);
        assert_eq!((gauge.get(), allowance.used.get()), (0.0, 0));
    }
}
