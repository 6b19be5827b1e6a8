//! What the host keeps for one instance, and what a host function sees of it during a call.
//! It makes no call itself; `instance` moves the record in before a call and out after it.

use std::sync::Arc;

use rand::TryRngCore;
use rand::rngs::OsRng;
use tidegate_abi::{Hook, status};

use super::config::Budget;
use super::contract::{LocalReply, Scope, Ticket};
use super::definitions::Definitions;
use super::drops::{Drops, Effect, Why};
use super::series::Series;
use crate::telemetry::record::Record;

/// The data of a wasmtime store.
pub(super) struct State {
    pub identity: Arc<Identity>,
    /// The guest's memory, found once for each instance; absent while a module's start function runs.
    pub memory: Option<wasmtime::Memory>,
    pub limits: MemoryLimit,
    /// The hook that runs.
    pub hook: Hook,
    /// The exchange that the hook is about.
    pub record: Option<Scope>,
    pub usage: Usage,
    /// What [`Verdict::Reply`](tidegate_abi::Verdict::Reply) would send.
    pub reply: Option<LocalReply>,
    /// Why the guest returns [`Verdict::Fail`](tidegate_abi::Verdict::Fail).
    pub refusal: Option<Box<str>>,
    /// What a call-out that the hook started will be answered with.
    pub ticket: Option<Ticket>,
    /// What was defined so far, by this instance.
    pub definitions: Definitions,
    pub series: Series,
    pub drops: Drops,
    pub lines: LineRate,
    pub random: Random,
}

/// What is the same for every instance of a plugin.
#[derive(Debug)]
pub(super) struct Identity {
    pub name: Arc<str>,
    /// Tells plugins apart in a record.
    pub id: u16,
    pub config: Box<[u8]>,
    pub budget: Budget,
}

/// What a plugin already used of its budget for one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub fields: usize,
    pub spans: usize,
    pub attributes: u16,
    pub events: u16,
}

/// Keeps the guest's memory within its budget.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    budget: usize,
    /// Bytes that the guest has.
    pub bytes: usize,
    /// How often it wanted more than it may have.
    pub refused: u64,
}

/// At most so many log lines in a second.
#[derive(Debug)]
pub(super) struct LineRate {
    budget: u32,
    second: std::time::Instant,
    left: u32,
}

/// Random bytes of the operating system, fetched in portions: one system call for some thirty ids.
pub(super) struct Random {
    pool: [u8; 512],
    left: usize,
}

// === impl State ===

impl State {
    pub fn new(identity: Arc<Identity>, series: Series, drops: Drops) -> Self {
        let limits = MemoryLimit { budget: identity.budget.memory, bytes: 0, refused: 0 };
        let lines = LineRate::new(identity.budget.log_lines);
        Self {
            identity,
            memory: None,
            limits,
            hook: Hook::Configure,
            record: None,
            usage: Usage::default(),
            reply: None,
            refusal: None,
            ticket: None,
            definitions: Definitions::default(),
            series,
            drops,
            lines,
            random: Random::new(),
        }
    }

    /// Ready for a fresh instance: nothing of the one before is left but what is counted.
    pub fn prepare(&mut self) {
        self.memory = None;
        self.limits.bytes = 0;
        self.hook = Hook::Configure;
        self.definitions = Definitions::default();
        (self.record, self.reply, self.refusal, self.ticket) = (None, None, None, None);
    }

    /// Why the guest returned [`Verdict::Fail`](tidegate_abi::Verdict::Fail).
    pub fn refusal(&mut self) -> String {
        self.refusal.take().map_or_else(|| "it gave no reason".to_owned(), String::from)
    }

    /// The exchange at hand, or the status that says there is none in this hook.
    pub fn record(&mut self) -> Result<&mut Record, i32> {
        self.record.as_deref_mut().ok_or(status::STAGE)
    }

    /// Counts an effect that is not carried out. Returns the status that tells the guest.
    pub fn refuse(&mut self, effect: Effect, why: Why) -> i32 {
        self.drops.count(effect, why);
        why.status()
    }
}

// === impl MemoryLimit ===

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.budget;
        if fits {
            self.bytes = desired;
        } else {
            self.refused += 1;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // A table entry is a pointer on the host: counted like memory, though apart from it.
        Ok(desired.saturating_mul(size_of::<usize>()) <= self.budget)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        8
    }
}

// === impl LineRate ===

impl LineRate {
    fn new(budget: u32) -> Self {
        Self { budget, second: std::time::Instant::now(), left: budget }
    }

    /// Whether one more line may be written.
    pub fn take(&mut self) -> bool {
        let now = std::time::Instant::now();
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
