//! How many connections a listener has, over all workers.
//! It does not know what a connection is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A limit that all workers share. It is touched once when a connection comes and once when it goes, never for a
/// request, which is why it may be an atomic that the cores pass around.
#[derive(Clone, Debug)]
pub struct ConnectionLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: AtomicU32,
    active: AtomicU32,
}

/// A place under the limit; given back when dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Shared>);

// === impl ConnectionLimit ===

impl ConnectionLimit {
    pub fn new(max: NonZeroU32) -> Self {
        Self(Arc::new(Shared { max: AtomicU32::new(max.get()), active: AtomicU32::new(0) }))
    }

    /// Takes a place, or `None` when all are taken: the connection is to be closed.
    pub fn admit(&self) -> Option<Admitted> {
        let max = self.0.max.load(Ordering::Relaxed);
        let more = |active: u32| (active < max).then(|| active + 1);
        let taken = self.0.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Admitted(Arc::clone(&self.0)))
    }

    /// For a reload that keeps the listener: connections beyond a lower limit stay, and no new one comes until they went.
    pub fn set_max(&self, max: NonZeroU32) {
        self.0.max.store(max.get(), Ordering::Relaxed);
    }

    /// How many places are taken.
    pub fn active(&self) -> u32 {
        self.0.active.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_admitted_and_places_come_back() {
        let limit = ConnectionLimit::new(NonZeroU32::new(2).unwrap());
        let first = limit.admit().unwrap();
        let _second = limit.admit().unwrap();
        assert!(limit.admit().is_none());
        drop(first);
        assert!(limit.admit().is_some());
        assert_eq!(limit.active(), 1);
    }

    #[test]
    fn a_lower_limit_holds_for_those_who_come() {
        let limit = ConnectionLimit::new(NonZeroU32::new(2).unwrap());
        let _held = (limit.admit(), limit.admit());
        limit.set_max(NonZeroU32::MIN);
        assert!(limit.admit().is_none());
        assert_eq!(limit.active(), 2);
    }
}
