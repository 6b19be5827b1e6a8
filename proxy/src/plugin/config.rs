//! What a plugin is and what it may use, after every check.
//! It loads nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A plugin and what it may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    pub name: Arc<str>,
    pub source: Source,
    /// Handed to `configure` as JSON.
    pub config: serde_json::Value,
    pub on_failure: OnFailure,
    /// Whether the configuration is refused when this plugin cannot load.
    pub required: bool,
    pub isolation: Isolation,
    pub allow: Allow,
    pub budget: Budget,
}

/// Where a plugin's module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Shipped in the binary.
    Builtin(Arc<str>),
    File(PathBuf),
}

/// What becomes of an exchange whose plugin failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on as if the plugin were not there.
    Open,
    /// It is answered with an error.
    Closed,
}

/// What shares an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All exchanges of a worker.
    #[default]
    Worker,
    /// Nothing: each exchange has an instance of its own.
    Exchange,
}

/// What a plugin can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    Metrics,
    LogFields,
    LogLines,
    /// Child spans, attributes, events and status.
    Spans,
    /// Changing headers and trailers, and the correlation id.
    Headers,
    Reply,
    /// Reading bodies.
    ReadBodies,
    /// Changing bodies.
    ChangeBodies,
    /// Overrides of route, upstream, timeout and the keys of rate limits.
    Routing,
    KeyValue,
    CallOuts,
    /// Refusing connections.
    Connections,
}

/// What one plugin is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow(u16);

/// What a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of linear memory, for each instance.
    pub memory: usize,
    /// Wall time of one hook call.
    pub deadline: Duration,
    /// Series over all its metrics; one more a metric for what is beyond.
    pub series: usize,
    /// For each exchange.
    pub log_fields: usize,
    /// Child spans, for each exchange.
    pub spans: usize,
    /// Log lines in one second, for each worker.
    pub log_lines: u32,
    /// Call-outs at a time, for each worker.
    pub call_outs: usize,
    /// Bytes of the key-value store, keys and values, over all workers.
    pub key_value: usize,
    /// Bytes of bodies that are held back at a time, for each worker.
    pub bodies: usize,
}

// === impl Source ===

impl Source {
    /// What becomes of an exchange whose plugin failed, where nobody said. A guard that is not there lets nobody in.
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Self::Builtin(name) if &**name == "auth-callout" => OnFailure::Closed,
            Self::Builtin(_) | Self::File(_) => OnFailure::Open,
        }
    }
}

// === impl Capability ===

impl Capability {
    pub const ALL: [Self; 12] = [
        Self::Metrics,
        Self::LogFields,
        Self::LogLines,
        Self::Spans,
        Self::Headers,
        Self::Reply,
        Self::ReadBodies,
        Self::ChangeBodies,
        Self::Routing,
        Self::KeyValue,
        Self::CallOuts,
        Self::Connections,
    ];

    /// As in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::LogFields => "log_fields",
            Self::LogLines => "log_lines",
            Self::Spans => "spans",
            Self::Headers => "headers",
            Self::Reply => "reply",
            Self::ReadBodies => "read_bodies",
            Self::ChangeBodies => "change_bodies",
            Self::Routing => "routing",
            Self::KeyValue => "key_value",
            Self::CallOuts => "call_outs",
            Self::Connections => "connections",
        }
    }
}

// === impl Allow ===

impl Allow {
    /// Everything.
    pub const ALL: Self = Self((1 << Capability::ALL.len()) - 1);

    /// These, and nothing else.
    pub fn only(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self(capabilities.into_iter().fold(0, |all, capability| all | 1 << capability as u16))
    }

    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u16) != 0
    }
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self {
            memory: 16 << 20,
            deadline: Duration::from_millis(5),
            series: 1000,
            log_fields: 32,
            spans: 16,
            log_lines: 100,
            call_outs: 100,
            key_value: 1 << 20,
            bodies: 64 << 20,
        }
    }
}
