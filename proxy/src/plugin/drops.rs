//! Counts the effects of a plugin that were not carried out, by effect and reason.
//! It decides nothing; whoever refuses an effect says why.

use std::sync::Arc;

use tidegate_abi::status;

use crate::telemetry::metrics::{Counter, Family, Shard};

/// What a plugin wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Series,
    Metric,
    LogField,
    LogLine,
    Span,
    Attribute,
    Event,
    Header,
    Correlation,
    Reply,
    Body,
    Route,
    Upstream,
    Timeout,
    LimitKey,
    Store,
    Sleep,
    CallOut,
    Connection,
    State,
}

/// Why it did not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Budget,
    Invalid,
    Reserved,
    /// The operator does not allow it.
    Denied,
}

/// The counters, made when they are first needed: most plugins never drop anything.
pub(super) struct Drops {
    plugin: Arc<str>,
    /// Absent on the control thread, where nothing is counted.
    to: Option<(Shard, Family)>,
    counters: Vec<(Effect, Why, Counter)>,
}

// === impl Effect ===

impl Effect {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Metric => "metric",
            Self::LogField => "log_field",
            Self::LogLine => "log_line",
            Self::Span => "span",
            Self::Attribute => "attribute",
            Self::Event => "event",
            Self::Header => "header",
            Self::Correlation => "correlation",
            Self::Reply => "reply",
            Self::Body => "body",
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::LimitKey => "limit_key",
            Self::Store => "store",
            Self::Sleep => "sleep",
            Self::CallOut => "call_out",
            Self::Connection => "connection",
            Self::State => "state",
        }
    }
}

// === impl Why ===

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Invalid => "invalid",
            Self::Reserved => "reserved",
            Self::Denied => "denied",
        }
    }

    /// What the guest is told.
    pub const fn status(self) -> i32 {
        match self {
            Self::Budget => status::BUDGET,
            Self::Invalid | Self::Reserved => status::INVALID,
            Self::Denied => status::DENIED,
        }
    }
}

// === impl Drops ===

impl Drops {
    pub const fn new(plugin: Arc<str>, to: Option<(Shard, Family)>) -> Self {
        Self { plugin, to, counters: Vec::new() }
    }

    pub fn count(&mut self, effect: Effect, why: Why) {
        if let Some((.., counter)) = self.counters.iter().find(|(e, w, _)| (*e, *w) == (effect, why)) {
            counter.add(1);
        } else if let Some((shard, family)) = &self.to {
            let counter = shard.counter(family, &[&self.plugin, effect.as_str(), why.as_str()]);
            counter.add(1);
            self.counters.push((effect, why, counter));
        }
    }
}
