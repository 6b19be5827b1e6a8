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
    /// What becomes of an exchange whose plugin failed.
    pub on_failure: OnFailureFile,
    /// Refuse the whole configuration when this plugin cannot load, instead of going on without it.
    pub required: bool,
    /// What it may use.
    pub budget: BudgetFile,
}

/// What becomes of an exchange whose plugin failed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailureFile {
    /// It goes on as if the plugin were not there.
    #[default]
    Open,
    /// It is answered with an error.
    Closed,
}

/// What a plugin may use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetFile {
    /// Linear memory, for each instance; there is one instance per worker.
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
}

impl Default for PluginFile {
    fn default() -> Self {
        Self {
            builtin: None,
            file: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
            on_failure: OnFailureFile::default(),
            required: false,
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
        }
    }
}
