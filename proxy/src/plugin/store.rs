//! The key-value store of one plugin: bounded, and shared by all its instances, on every worker and of every generation.
//! It knows no guest, and is told the time.
//!
//! A declared exception to "no lock on the request path": what workers share they must agree on. The lock is held for one look-up;
//! values are copied outside of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::Gauge;

/// Bytes that an entry counts beside its key and its value.
pub(super) const OVERHEAD: usize = 64;
/// Entries whose time is over that a write clears away in passing, so that no single write has to clear away all of them.
const CLEARED: usize = 16;

/// Keys and values, both bytes.
#[derive(Debug)]
pub(super) struct Store {
    inner: Mutex<Inner>,
    bytes: Gauge,
    entries: Gauge,
}

#[derive(Debug)]
struct Inner {
    budget: usize,
    /// What all entries count; those whose time is over count until they are cleared away.
    bytes: usize,
    entries: HashMap<Arc<[u8]>, Entry>,
    /// The keys that have an end, the earliest first.
    ends: BTreeSet<(Instant, Arc<[u8]>)>,
}

#[derive(Debug)]
struct Entry {
    value: Arc<[u8]>,
    end: Option<Instant>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unchanged {
    /// The budget has no room for it.
    Full,
    /// The value is not the one that was expected.
    Conflict,
    /// What is there is no number, or the sum is none.
    NoNumber,
}

// === impl Store ===

impl Store {
    /// An empty store of `budget` bytes: keys, values, and [`OVERHEAD`] for each entry. The gauges show what is in it.
    pub fn new(budget: usize, bytes: Gauge, entries: Gauge) -> Self {
        let inner = Inner { budget, bytes: 0, entries: HashMap::new(), ends: BTreeSet::new() };
        let store = Self { inner: Mutex::new(inner), bytes, entries };
        store.show(&store.lock());
        store
    }

    /// Changes the budget. What is beyond a smaller one stays, and nothing can grow before there is room again.
    pub fn resize(&self, budget: usize) {
        self.lock().budget = budget;
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8], now: Instant) -> Option<Arc<[u8]>> {
        let inner = self.lock();
        inner.live(key, now).map(|entry| entry.value.clone())
    }

    /// Sets a value, for `ttl` where there is one.
    ///
    /// # Errors
    /// [`Unchanged::Full`].
    pub fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>, now: Instant) -> Result<(), Unchanged> {
        let value = Arc::from(value);
        self.change(now, |inner| inner.put(key, value, end(now, ttl), now))
    }

    /// Sets a value if it is `old` now, or absent where that is `None`.
    ///
    /// # Errors
    /// [`Unchanged::Conflict`], [`Unchanged::Full`].
    pub fn swap(
        &self,
        key: &[u8],
        old: Option<&[u8]>,
        new: &[u8],
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<(), Unchanged> {
        let new = Arc::from(new);
        self.change(now, |inner| {
            if inner.live(key, now).map(|entry| &*entry.value) != old {
                return Err(Unchanged::Conflict);
            }
            inner.put(key, new, end(now, ttl), now)
        })
    }

    /// Adds to a number of eight bytes, little-endian, and returns it. An absent one is 0 and begins its `ttl` now; one that is
    /// there keeps the end it has.
    ///
    /// # Errors
    /// [`Unchanged::NoNumber`] where the value has another length, or the sum is beyond an `i64` or the least of them, which
    /// stands for nothing in the ABI; [`Unchanged::Full`].
    pub fn increment(&self, key: &[u8], delta: i64, ttl: Option<Duration>, now: Instant) -> Result<i64, Unchanged> {
        self.change(now, |inner| {
            let (before, end) = match inner.live(key, now) {
                None => (0, end(now, ttl)),
                Some(entry) => {
                    let bytes = <[u8; 8]>::try_from(&*entry.value).map_err(|_| Unchanged::NoNumber)?;
                    (i64::from_le_bytes(bytes), entry.end)
                }
            };
            let sum = before.checked_add(delta).filter(|sum| *sum != i64::MIN).ok_or(Unchanged::NoNumber)?;
            inner.put(key, Arc::from(&sum.to_le_bytes()[..]), end, now)?;
            Ok(sum)
        })
    }

    /// Removes a value. Returns whether there was one.
    pub fn remove(&self, key: &[u8], now: Instant) -> bool {
        self.change(now, |inner| {
            let was_there = inner.live(key, now).is_some();
            inner.take(key);
            was_there
        })
    }

    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        for _ in 0..CLEARED {
            if !inner.clear_one(now) {
                break;
            }
        }
        let changed = change(&mut inner);
        self.show(&inner);
        changed
    }

    fn show(&self, inner: &Inner) {
        self.bytes.set(inner.bytes as f64);
        self.entries.set(inner.entries.len() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No step between two changes of `Inner` can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.bytes.set(0.0);
        self.entries.set(0.0);
    }
}

// === impl Inner ===

impl Inner {
    /// What is there for a key, if its time is not over.
    fn live(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.end.is_none_or(|end| now < end))
    }

    fn put(&mut self, key: &[u8], value: Arc<[u8]>, end: Option<Instant>, now: Instant) -> Result<(), Unchanged> {
        let size = size(key, &value);
        // What needs no more room than before has it, also in a store that was made smaller.
        while let before = self.entries.get(key).map_or(0, |entry| self::size(key, &entry.value))
            && size > before
            && self.bytes - before + size > self.budget
        {
            if !self.clear_one(now) {
                return Err(Unchanged::Full);
            }
        }
        let key = self.take(key).unwrap_or_else(|| Arc::from(key));
        self.bytes += size;
        if let Some(end) = end {
            self.ends.insert((end, key.clone()));
        }
        self.entries.insert(key, Entry { value, end });
        Ok(())
    }

    /// Takes an entry out. Returns its key, to be used again.
    fn take(&mut self, key: &[u8]) -> Option<Arc<[u8]>> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= size(&key, &entry.value);
        match entry.end {
            None => Some(key),
            Some(end) => {
                let place = (end, key);
                self.ends.remove(&place);
                Some(place.1)
            }
        }
    }

    /// Clears away the entry whose time was over first. Returns whether there was one.
    fn clear_one(&mut self, now: Instant) -> bool {
        let Some((end, key)) = self.ends.first().filter(|(end, _)| *end <= now).cloned() else { return false };
        self.take(&key);
        self.ends.remove(&(end, key));
        true
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

/// A time that the clock cannot tell is as good as never.
fn end(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| now.checked_add(ttl))
}

#[cfg(test)]
mod tests;
