//! The proxy's own metrics of one plugin on one worker: its calls, their time, its memory, its restarts.
//! What the plugin itself counts is in `series`.

use std::time::Instant;

use tidegate_abi::Hook;

use super::load::Loaded;
use crate::telemetry::metrics::{Counter, Gauge, Histogram, Shard};

/// One call in so many is timed: two readings of the clock cost as much as an empty hook. The first is among them.
const SAMPLE: u32 = 16;

/// How a call ended: the values of the `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Ok,
    Reply,
    Pending,
    Failed,
    Trap,
    Deadline,
    Unavailable,
}

pub(super) struct Meters {
    shard: Shard,
    /// Made when an outcome is first seen, so that a scrape shows only what happened.
    calls: [[Option<Counter>; Ended::COUNT]; Hook::ALL.len()],
    durations: [Option<Histogram>; Hook::ALL.len()],
    memory: Gauge,
    /// What the instances have added to `memory`.
    bytes: usize,
    restarts: Counter,
    /// Calls by hook. Counted apart: with one count for all, hooks that take turns would always time the same one.
    timed: [u32; Hook::ALL.len()],
}

// === impl Ended ===

impl Ended {
    const COUNT: usize = 7;

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Reply => "reply",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
        }
    }
}

// === impl Meters ===

impl Meters {
    pub fn new(loaded: &Loaded, shard: &Shard) -> Self {
        let (families, plugin) = (&loaded.catalogue.plugin, &**loaded.name());
        Self {
            calls: Default::default(),
            durations: Hook::ALL.map(|hook| {
                // How long `configure` takes is in the report of the load.
                (hook != Hook::Configure && loaded.subscribes(hook))
                    .then(|| shard.histogram(&families.hook_duration, &[plugin, hook.name()]))
            }),
            memory: shard.gauge(&families.memory, &[plugin]),
            bytes: 0,
            restarts: shard.counter(&families.restarts, &[plugin]),
            timed: Default::default(),
            shard: shard.clone(),
        }
    }

    /// Counts a call.
    pub fn call(&mut self, loaded: &Loaded, hook: Hook, ended: Ended) {
        let counter = self.calls.get_mut(hook as usize).and_then(|hook| hook.get_mut(ended as usize));
        let Some(counter) = counter else { return };
        counter
            .get_or_insert_with(|| {
                let labels = [&**loaded.name(), hook.name(), ended.as_str()];
                self.shard.counter(&loaded.catalogue.plugin.calls, &labels)
            })
            .inc();
    }

    /// The time before a call, if this one is to be timed.
    pub fn begin(&mut self, hook: Hook) -> Option<Instant> {
        let calls = self.timed.get_mut(hook as usize)?;
        *calls = calls.wrapping_add(1);
        (*calls % SAMPLE == 1).then(Instant::now)
    }

    pub fn end(&self, hook: Hook, begun: Instant) {
        if let Some(Some(histogram)) = self.durations.get(hook as usize) {
            histogram.record(begun.elapsed().as_secs_f64());
        }
    }

    /// Notes that an instance has `after` bytes of memory, where it had `before`.
    pub fn memory(&mut self, before: usize, after: usize) {
        if before != after {
            self.memory.add(after as f64 - before as f64);
            self.bytes = (self.bytes + after).saturating_sub(before);
        }
    }

    pub fn restart(&self) {
        self.restarts.inc();
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        self.memory(self.bytes, 0);
    }
}
