//! The proxy's own words: `tracing` events as lines on standard error, JSON or, on a terminal, text.
//! It says nothing itself, and nobody waits for it: lines go to a thread that writes them.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use super::access_log::{Output, Sender, Stamp, Writer, push_string};

/// Keeps diagnostics going; the last lines are written when it is dropped.
#[derive(Debug)]
pub struct Diagnostics {
    writer: Option<Writer>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a thread cannot be started")]
    Thread(#[from] io::Error),
    #[error("`TIDEGATE_LOG` is `{0}`, and must be off, error, warn, info, debug or trace")]
    Level(String),
    #[error("diagnostics are set up already")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// The variable that sets the level.
pub const VARIABLE: &str = "TIDEGATE_LOG";

/// How long the last lines may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

struct Lines {
    sender: Sender,
    level: LevelFilter,
    json: bool,
}

/// The fields of one event, in the format of the line.
struct Fields<'a> {
    json: bool,
    message: String,
    rest: &'a mut Vec<u8>,
}

thread_local! {
    static STAMP: RefCell<Stamp> = RefCell::default();
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Sets up diagnostics for the process, at the level of [`VARIABLE`], `info` where it is not set.
    ///
    /// # Errors
    /// The level is none, diagnostics are there already, or the thread cannot be started.
    pub fn start() -> Result<Self, Error> {
        let level = match std::env::var(VARIABLE) {
            Ok(text) => LevelFilter::from_str(&text).map_err(|_| Error::Level(text))?,
            Err(_) => LevelFilter::INFO,
        };
        let writer = Writer::start("diagnostics", Output::Stderr, None)?;
        let lines = Lines { sender: writer.sender(), level, json: !io::stderr().is_terminal() };
        tracing::subscriber::set_global_default(Registry::default().with(lines))?;
        Ok(Self { writer: Some(writer) })
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.shutdown(LAST_WORDS);
        }
    }
}

// === impl Lines ===

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say about every frame is not ours to print.
        let limit =
            if metadata.target().starts_with("tidegate") { self.level } else { self.level.min(LevelFilter::WARN) };
        *metadata.level() <= limit
    }

    fn line(&self, event: &Event<'_>) -> Vec<u8> {
        let mut rest = Vec::with_capacity(128);
        let mut fields = Fields { json: self.json, message: String::new(), rest: &mut rest };
        event.record(&mut fields);
        let message = fields.message;
        let metadata = event.metadata();
        let level = level(*metadata.level());
        let mut line = Vec::with_capacity(256);
        let now = |line: &mut Vec<u8>| STAMP.with_borrow(|stamp| stamp.push(SystemTime::now(), line));
        if self.json {
            line.extend_from_slice(b"{\"timestamp\":\"");
            now(&mut line);
            line.extend_from_slice(b"\",\"level\":\"");
            line.extend_from_slice(level.as_bytes());
            line.extend_from_slice(b"\",\"message\":");
            push_string(&mut line, message.as_bytes());
            line.extend_from_slice(b",\"target\":");
            push_string(&mut line, metadata.target().as_bytes());
            line.extend_from_slice(&rest);
            line.extend_from_slice(b"}\n");
        } else {
            now(&mut line);
            // Writing to memory does not fail.
            let _ = write!(line, " {level:5} ");
            line.extend(message.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
            line.extend_from_slice(&rest);
            line.push(b'\n');
        }
        line
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.sender.send(self.line(event), 1);
    }
}

// === impl Fields ===

impl Fields<'_> {
    fn key(&mut self, field: &Field) {
        if self.json {
            self.rest.push(b',');
            push_string(self.rest, field.name().as_bytes());
            self.rest.push(b':');
        } else {
            self.rest.push(b' ');
            self.rest.extend_from_slice(field.name().as_bytes());
            self.rest.push(b'=');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        self.key(field);
        push_string(self.rest, value.as_bytes());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.record_str(field, &text);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        let _ = write!(self.rest, "{value}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        let _ = write!(self.rest, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        let _ = write!(self.rest, "{value}");
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[cfg(test)]
mod tests;
