//! `tidegate check`.
//! It opens no port.

use clap::ValueEnum;
use serde_json::json;

use super::{ConfigArguments, Exit, print, source};
use crate::config::{self, Config, Diagnostics};
use crate::supervisor;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people, with the lines in question
    Text,
    /// One JSON object, for other tools
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let file = &arguments.config.config;
    match arguments.format {
        Format::Text => match source::open(file).and_then(|loaded| {
            let summary = summary(&loaded.config);
            supervisor::check(&loaded).map(|()| summary).map_err(|faults| source::refuse(&faults))
        }) {
            Ok(summary) => print::out(&format!("ok: {summary}\n")),
            Err(exit) => exit,
        },
        Format::Json => {
            let checked = config::load(file).and_then(|loaded| {
                let warnings = loaded.warnings.clone();
                supervisor::check(&loaded).map(|()| warnings)
            });
            let (exit, found) = match checked {
                Ok(warnings) => (Exit::Success, Diagnostics::new(warnings)),
                Err(faults) => (Exit::Misuse, faults),
            };
            let report = json!({ "ok": exit == Exit::Success, "diagnostics": found });
            match print::out(&format!("{report}\n")) {
                Exit::Success => exit,
                failed => failed,
            }
        }
    }
}

/// `2 listeners, 1 route, …`.
fn summary(config: &Config) -> String {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    [
        count(config.listeners.len(), "listener", "listeners"),
        count(config.routes.len(), "route", "routes"),
        count(config.upstreams.len(), "upstream", "upstreams"),
        count(config.limits.len(), "limit", "limits"),
        count(config.plugins.len(), "plugin", "plugins"),
    ]
    .join(", ")
}
