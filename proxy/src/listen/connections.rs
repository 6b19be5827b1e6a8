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
    /// What the whole process can hold.
    within: Option<ConnectionLimit>,
}

/// A place under the limit; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    shared: Arc<Shared>,
    _within: Option<Box<Admitted>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The listener has as many as it may.
    Listener,
    /// The process has as many as it can hold.
    Process,
}

// === impl ConnectionLimit ===

impl ConnectionLimit {
    pub fn new(max: NonZeroU32) -> Self {
        Self(Arc::new(Shared { max: AtomicU32::new(max.get()), active: AtomicU32::new(0), within: None }))
    }

    /// A limit whose places also take one of `process` each.
    pub fn within(max: NonZeroU32, process: &Self) -> Self {
        let within = Some(process.clone());
        Self(Arc::new(Shared { max: AtomicU32::new(max.get()), active: AtomicU32::new(0), within }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When all are taken: the connection is to be closed.
    pub fn admit(&self) -> Result<Admitted, Full> {
        let within = match &self.0.within {
            Some(process) => Some(Box::new(process.admit().map_err(|_| Full::Process)?)),
            None => None,
        };
        let max = self.0.max.load(Ordering::Relaxed);
        let more = |active: u32| (active < max).then(|| active + 1);
        let taken = self.0.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| Admitted { shared: Arc::clone(&self.0), _within: within }).map_err(|_| Full::Listener)
    }

    /// For a reload that keeps the listener: connections beyond a lower limit stay, and no new one comes until they went.
    pub fn set_max(&self, max: NonZeroU32) {
        self.0.max.store(max.get(), Ordering::Relaxed);
    }

    /// How many places there are.
    pub fn max(&self) -> u32 {
        self.0.max.load(Ordering::Relaxed)
    }

    /// How many places are taken.
    pub fn active(&self) -> u32 {
        self.0.active.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shared.active.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!(limit.admit().unwrap_err(), Full::Listener);
        drop(first);
        assert!(limit.admit().is_ok());
        assert_eq!(limit.active(), 1);
    }

    #[test]
    fn a_lower_limit_holds_for_those_who_come() {
        let limit = ConnectionLimit::new(NonZeroU32::new(2).unwrap());
        let _held = (limit.admit(), limit.admit());
        limit.set_max(NonZeroU32::MIN);
        assert!(limit.admit().is_err());
        assert_eq!(limit.active(), 2);
    }

    #[test]
    fn listeners_share_what_the_process_can_hold() {
        let process = ConnectionLimit::new(NonZeroU32::new(2).unwrap());
        let many = NonZeroU32::new(10).unwrap();
        let (web, api) = (ConnectionLimit::within(many, &process), ConnectionLimit::within(NonZeroU32::MIN, &process));
        let held = api.admit().unwrap();
        // A place that the listener refuses is not lost to the process.
        assert_eq!(api.admit().unwrap_err(), Full::Listener);
        let _other = web.admit().unwrap();
        assert_eq!(web.admit().unwrap_err(), Full::Process);
        drop(held);
        assert!(web.admit().is_ok());
    }
}
