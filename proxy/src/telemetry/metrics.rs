//! The metrics of the proxy and its plugins: one registry, one shard per worker, one snapshot for every way out.
//! It knows no stage of an exchange and opens no connection.
//!
//! An update is a relaxed load and store by the shard's only writer: no lock, no lock prefix, a few nanoseconds.
//! Only creating a series takes a lock. [`Registry::gather`] merges the shards; the scrape's two text formats and
//! the OTLP request are encodings of that one [`Snapshot`].

pub mod catalogue;
pub mod exchange;
pub mod process;

mod scrape;
mod classic;
mod open_metrics;
mod otlp;
mod snapshot;
mod shard;
mod counter;
mod histogram;
mod definition;
mod name;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use counter::{Counter, Gauge};
pub use definition::{Conflict, Definition, Family, Kind};
pub use histogram::{Exemplar, Histogram, Observations};
pub use scrape::{ScrapeError, Scraper};
pub use shard::Shard;
pub use snapshot::{Measured, Point, Snapshot, Value};

/// Every metric of the process. Clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    started: SystemTime,
    families: Mutex<Families>,
    shards: Mutex<Vec<Shard>>,
    shared: Shard,
    hooks: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct Families {
    all: Vec<Family>,
    /// Every sample name that a scrape can show, and whose it is.
    names: HashMap<String, Family>,
}

// === impl Registry ===

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("families", &lock(&self.inner.families).all.len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry without metrics; its counters start now.
    pub fn new() -> Self {
        let shared = Shard::new(shard::Writers::Many);
        Self {
            inner: Arc::new(Inner {
                started: SystemTime::now(),
                families: Mutex::default(),
                shards: Mutex::new(vec![shared.clone()]),
                shared,
                hooks: Mutex::default(),
            }),
        }
    }

    /// Defines a metric, or finds the one that was defined in the same way before (the first help text stands).
    ///
    /// # Errors
    /// The definition is not valid, or its name in the scrape belongs to a metric of another shape.
    pub fn define(&self, definition: Definition) -> Result<Family, Conflict> {
        let wanted = Family::new(definition)?;
        let mut families = lock(&self.inner.families);
        for name in wanted.sample_names() {
            if let Some(existing) = families.names.get(&name) {
                return existing.same_shape(&wanted).map(|()| existing.clone());
            }
        }
        wanted.set_index(families.all.len());
        families.all.push(wanted.clone());
        for name in wanted.sample_names() {
            families.names.insert(name, wanted.clone());
        }
        Ok(wanted)
    }

    /// A new shard for one thread: only that thread may update the handles it gives, or updates are lost.
    /// Its values stay when the thread ends.
    pub fn shard(&self) -> Shard {
        let shard = Shard::new(shard::Writers::One);
        lock(&self.inner.shards).push(shard.clone());
        shard
    }

    /// The shard whose handles any thread may update, at the price of a locked instruction.
    pub fn shared(&self) -> Shard {
        self.inner.shared.clone()
    }

    /// Calls `hook` at the start of each [`Registry::gather`], for values that are read and not counted.
    pub fn before_gather(&self, hook: impl Fn() + Send + Sync + 'static) {
        lock(&self.inner.hooks).push(Arc::new(hook));
    }

    /// Whether this is the same registry.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Removes a series everywhere; handles that still stand count into nothing.
    pub fn forget(&self, family: &Family, labels: &[&str]) {
        for shard in lock(&self.inner.shards).iter() {
            shard.forget(family, labels);
        }
    }

    /// All values as they are now, merged over the shards; families sorted by their name in the scrape, series by labels.
    pub fn gather(&self) -> Snapshot {
        // Not under the lock: a hook may define metrics and register hooks.
        let hooks = lock(&self.inner.hooks).clone();
        for hook in hooks {
            hook();
        }
        let families = lock(&self.inner.families).all.clone();
        let shards = lock(&self.inner.shards).clone();
        Snapshot::merge(self.inner.started, families, &shards)
    }
}

/// A panic of another thread leaves counters as valid as they were.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
