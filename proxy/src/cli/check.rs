//! `tidegate check`.
//! It opens no port.

use clap::ValueEnum;
use serde_json::json;

use super::{ConfigArguments, Exit, print, source};
use crate::config::{self, Config, Diagnostics};

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
        Format::Text => match source::open(file) {
            Ok(loaded) => print::out(&format!("ok: {}\n", summary(&loaded.config))),
            Err(exit) => exit,
        },
        Format::Json => {
            let (exit, found) = match config::load(file) {
                Ok(loaded) => (Exit::Success, Diagnostics::new(loaded.warnings)),
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
