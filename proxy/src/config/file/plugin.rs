//! `plugins`: what runs in the sandbox, and what it may use.
//! It loads nothing.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::syntax::{Size, Text, Time};

/// A plugin and what it may use. It has either `builtin` or `file`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginFile {
    /// A plugin that is shipped in the binary.
    #[schemars(length(min = 1), example = &"correlation-id")]
    pub builtin: Option<String>,
    /// A WebAssembly module. Relative to the directory of the configuration.
    #[schemars(length(min = 1), example = &"plugins/checkout.wasm")]
    pub file: Option<String>,
    /// Handed to the plugin as it is; the plugin says what it takes.
    #[schemars(extend("default" = {}))]
    pub config: serde_json::Value,
    /// What becomes of an exchange whose plugin failed. Where it is not said, the shipped `auth-callout` is `closed`.
    #[schemars(extend("default" = "open"))]
    pub on_failure: Option<OnFailureFile>,
    /// Refuse the whole configuration when this plugin cannot load, instead of going on without it.
    pub required: bool,
    /// What shares an instance of it.
    pub isolation: IsolationFile,
    /// What it is allowed to do. What is not listed is denied and counted; it can read facts and headers all the same.
    #[schemars(example = ["metrics", "log_fields"])]
    pub allow: Vec<CapabilityFile>,
    /// What it may use.
    pub budget: BudgetFile,
}

/// What shares an instance of a plugin.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IsolationFile {
    /// All exchanges of a worker: cheap, and what it remembers stays.
    #[default]
    Worker,
    /// Nothing: each exchange has a fresh instance, which is started for it and forgotten after it.
    Exchange,
}

/// What a plugin can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityFile {
    /// Metrics of its own.
    Metrics,
    /// Fields of the exchange's log line.
    LogFields,
    /// Log lines of its own.
    LogLines,
    /// Child spans, and attributes, events and status of spans.
    Spans,
    /// Changing headers and trailers, and the correlation id.
    Headers,
    /// Answering instead of the upstream.
    Reply,
    /// Seeing bodies.
    ReadBodies,
    /// Changing bodies; goes with `read_bodies`.
    ChangeBodies,
    /// Choosing route, upstream and timeout, and what limits count by.
    Routing,
    /// A store of keys and values, shared by all workers.
    KeyValue,
    /// Requests of its own to upstreams.
    CallOuts,
    /// Closing connections as they open.
    Connections,
}

/// What becomes of an exchange whose plugin failed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailureFile {
    /// It goes on as if the plugin were not there.
    Open,
    /// It is answered with an error.
    Closed,
}

/// What a plugin may use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetFile {
    /// Linear memory, for each instance; how many there are is for `isolation` to say.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "4GiB"), example = &"16MiB")]
    pub memory: Text<Size>,
    /// Wall time of one call of a hook.
    #[schemars(example = &"5ms")]
    pub deadline: Text<Time>,
    /// Series over all its metrics; what is beyond counts into one more.
    #[schemars(range(min = 1, max = 1_000_000), example = 1000)]
    pub series: u32,
    /// Fields it may add to a log line.
    #[schemars(range(min = 0, max = 1000), example = 32)]
    pub log_fields: u32,
    /// Child spans it may start in an exchange.
    #[schemars(range(min = 0, max = 1000), example = 16)]
    pub spans: u32,
    /// Log lines of its own in a second, on each worker.
    #[schemars(range(min = 0, max = 1_000_000), example = 100)]
    pub log_lines: u32,
    /// Call-outs under way at a time, on each worker.
    #[schemars(range(min = 0, max = 10_000), example = 100)]
    pub call_outs: u32,
    /// Its store, over all workers: keys, values, and 64 bytes more for each.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "4GiB"), example = &"1MiB")]
    pub key_value: Text<Size>,
    /// Bodies that it holds back at a time, peeked at or buffered, on each worker. A body that would be more passes by it unseen; where it
    /// fails closed, or refuses bodies that are too long, the exchange is answered 503 instead.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "64GiB"), example = &"64MiB")]
    pub bodies: Text<Size>,
}

impl Default for PluginFile {
    fn default() -> Self {
        Self {
            builtin: None,
            file: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
            on_failure: None,
            required: false,
            isolation: IsolationFile::default(),
            allow: CapabilityFile::ALL.to_vec(),
            budget: BudgetFile::default(),
        }
    }
}

impl Default for BudgetFile {
    fn default() -> Self {
        Self {
            memory: Text(Size(16 << 20)),
            deadline: Text(Time(Duration::from_millis(5))),
            series: 1000,
            log_fields: 32,
            spans: 16,
            log_lines: 100,
            call_outs: 100,
            key_value: Text(Size(1 << 20)),
            bodies: Text(Size(64 << 20)),
        }
    }
}

impl CapabilityFile {
    const ALL: [Self; 12] = [
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
}
