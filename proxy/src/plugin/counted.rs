//! What a plugin counts on one worker, whichever of its instances runs: series, drops, log lines, what is under way for it.
//! It is lent to an instance for the time of a call; it knows no instance.

use std::sync::Arc;
use std::time::Instant;

use rand::TryRngCore;
use rand::rngs::OsRng;

use super::drops::Drops;
use super::series::Series;
use super::store::Store;

/// What outlives an instance, and what the instances of one worker share.
pub(super) struct Counted {
    pub series: Series,
    pub drops: Drops,
    pub lines: LineRate,
    pub random: Random,
    /// Call-outs under way.
    pub call_outs: usize,
    /// Timers under way.
    pub sleeps: usize,
    /// What the plugin keeps for all its workers; absent on the control thread.
    pub store: Option<Arc<Store>>,
}

/// At most so many log lines in a second.
#[derive(Debug)]
pub(super) struct LineRate {
    budget: u32,
    second: Instant,
    left: u32,
}

/// Random bytes of the operating system, fetched in portions: one system call for some thirty ids.
pub(super) struct Random {
    pool: [u8; 512],
    left: usize,
}

// === impl Counted ===

impl Counted {
    /// For a plugin that may write `lines` log lines in a second.
    pub fn new(series: Series, drops: Drops, lines: u32, store: Option<Arc<Store>>) -> Self {
        Self { series, drops, lines: LineRate::new(lines), random: Random::new(), call_outs: 0, sleeps: 0, store }
    }

    /// Counts nothing: for the control thread, and for an instance while no call is made.
    pub fn nothing(plugin: &Arc<str>) -> Self {
        Self::new(Series::none(), Drops::new(plugin.clone(), None), u32::MAX, None)
    }
}

// === impl LineRate ===

impl LineRate {
    fn new(budget: u32) -> Self {
        Self { budget, second: Instant::now(), left: budget }
    }

    /// Whether one more line may be written.
    pub fn take(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second).as_secs() >= 1 {
            *self = Self { second: now, left: self.budget, ..*self };
        }
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }
}

// === impl Random ===

impl Random {
    const fn new() -> Self {
        Self { pool: [0; 512], left: 0 }
    }

    /// Fills `bytes`. False when the operating system has no random numbers to give.
    pub fn fill(&mut self, bytes: &mut [u8]) -> bool {
        if bytes.len() > self.pool.len() {
            return OsRng.try_fill_bytes(bytes).is_ok();
        }
        if bytes.len() > self.left {
            if OsRng.try_fill_bytes(&mut self.pool).is_err() {
                return false;
            }
            self.left = self.pool.len();
        }
        // Taken from the end, and wiped, so that no byte is given out twice.
        let rest = self.left - bytes.len();
        if let Some(taken) = self.pool.get_mut(rest..self.left) {
            bytes.copy_from_slice(taken);
            taken.fill(0);
        }
        self.left = rest;
        true
    }

    /// A random number that is not zero.
    pub fn id(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).max(1)
    }
}
