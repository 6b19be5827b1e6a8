//! The memory of a keyed limit: a bounded number of keys, the longest unused forgotten first.
//! It knows neither quotas nor what a key stands for.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Stores below this many keys are one shard, so that a small cap is exact.
const SHARD_FROM: usize = 4096;
const SHARDS: usize = 32;
/// How far the clock's hand goes for one eviction, so that no decision waits for a sweep of everything.
const STEPS: usize = 64;

/// Governor's state for at most so many keys. Clones are the same store.
///
/// Keys are spread over shards, each behind a lock that is held for one look-up; two workers meet only on the same shard
/// at the same moment. A full shard makes room by the CLOCK rule: each use marks a key, the hand takes marks away and evicts the
/// first key without one. A flood of new keys thus pushes out its own, and costs no more than a look-up each.
/// A key that comes back after it was evicted starts with a full burst: size `max_keys` for the clients that matter at once.
#[derive(Debug)]
pub struct BoundedStore<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K>>]>,
    keys: AtomicUsize,
    evictions: AtomicU64,
}

#[derive(Debug)]
struct Shard<K> {
    cap: usize,
    /// Where in `slots` a key stands.
    index: HashMap<K, usize>,
    slots: Vec<Slot<K>>,
    hand: usize,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    /// GCRA's theoretical arrival time.
    arrival: u64,
    used: bool,
}

// === impl BoundedStore ===

impl<K: Clone + Eq + Hash> BoundedStore<K> {
    /// Remembers `max_keys` at most. Memory grows with the keys that come, and no further than the cap.
    pub fn new(max_keys: NonZeroUsize) -> Self {
        let count = if max_keys.get() < SHARD_FROM { 1 } else { SHARDS };
        let shard = || {
            let cap = max_keys.get() / count;
            Mutex::new(Shard { cap, index: HashMap::new(), slots: Vec::new(), hand: 0 })
        };
        Self(Arc::new(Inner {
            hasher: RandomState::new(),
            shards: (0..count).map(|_| shard()).collect(),
            keys: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }))
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.0.keys.load(Ordering::Relaxed)
    }

    /// How many keys were evicted, ever.
    pub fn evictions(&self) -> u64 {
        self.0.evictions.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &K) -> Option<&Mutex<Shard<K>>> {
        let shards = &self.0.shards;
        let hash = self.0.hasher.hash_one(key);
        let position = usize::try_from(hash % (shards.len() as u64)).unwrap_or(0);
        shards.get(position)
    }
}

impl<K> Clone for BoundedStore<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash> StateStore for BoundedStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // There is always a shard; without one nothing would be known of the key.
        let Some(shard) = self.shard(key) else { return decide(None).map(|(decision, _)| decision) };
        // A panic while the lock was held cannot leave a shard half changed in a way that matters: at worst a key is forgotten.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shard.find(key) {
            slot.used = true;
            let (decision, arrival) = decide(Some(slot.arrival.into()))?;
            slot.arrival = arrival.into();
            return Ok(decision);
        }
        let (decision, arrival) = decide(None)?;
        if shard.insert(key.clone(), arrival.into()) {
            self.0.evictions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.keys.fetch_add(1, Ordering::Relaxed);
        }
        Ok(decision)
    }
}

// === impl Shard ===

impl<K: Clone + Eq + Hash> Shard<K> {
    fn find(&mut self, key: &K) -> Option<&mut Slot<K>> {
        let position = *self.index.get(key)?;
        self.slots.get_mut(position)
    }

    /// Adds a key that is not there; whether another had to go.
    ///
    /// It comes in unmarked: only a second use makes it worth more than the next newcomer.
    fn insert(&mut self, key: K, arrival: u64) -> bool {
        let slot = Slot { key: key.clone(), arrival, used: false };
        if self.slots.len() < self.cap {
            self.index.insert(key, self.slots.len());
            self.slots.push(slot);
            return false;
        }
        let position = self.victim();
        if let Some(old) = self.slots.get_mut(position) {
            self.index.remove(&old.key);
            *old = slot;
            self.index.insert(key, position);
        }
        true
    }

    fn victim(&mut self) -> usize {
        for _ in 0..STEPS {
            let position = self.advance();
            match self.slots.get_mut(position) {
                Some(slot) if slot.used => slot.used = false,
                Some(_) | None => return position,
            }
        }
        self.advance()
    }

    /// Moves the hand on, and returns where it stood.
    fn advance(&mut self) -> usize {
        let position = self.hand;
        self.hand = if position + 1 < self.slots.len() { position + 1 } else { 0 };
        position
    }
}
