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
}
