//! Measures the bodies of requests and responses, and counts by what stands in them.
//! How fields are found stands in `fields`, how a stream is read in `events`; here is only when.

use tidegate_sdk::prelude::*;

pub mod config;
pub mod events;
pub mod fields;
pub mod metrics;

use config::{Config, Which};
use events::Events;
use fields::Found;
use metrics::{Named, Sizes, Sums};

struct BodyMetrics {
    config: Config,
    /// In the order of `config.labels`.
    sets: Vec<LabelSet>,
    /// Stands where a metric has fewer labels than there could be.
    nothing: Label,
    /// Names of which an event of a response has one, if it is of interest; empty when all are.
    names: Vec<String>,
    sizes: [Sizes; 2],
    numbers: Vec<Number>,
    bodies: LabelSet,
    reasons: LabelSet,
    unread: Counter<2>,
}

enum Number {
    Sum(Sums),
    Spread(Sizes),
}

/// What is known of one exchange.
#[derive(Default)]
struct State {
    found: Found,
    events: Events,
    request: Progress,
    response: Progress,
}

/// How far the reading of a body has come.
#[derive(Default, PartialEq)]
enum Progress {
    /// It is of no interest.
    #[default]
    Nothing,
    /// The hook was asked for.
    Wanted,
    /// It comes in pieces, as events.
    Events,
    Read,
    Unread(&'static str),
}

#[plugin]
impl BodyMetrics {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        config.check()?;
        // Unless the head says that there is something to read.
        define.request_body(BodyMode::skip())?;
        define.response_body(BodyMode::skip())?;
        let mut sets = Vec::new();
        for field in &config.labels {
            sets.push(define.label_set(&field.label, &field.values)?);
        }
        let bodies = define.label_set("body", ["request", "response"])?;
        let reasons = define.label_set("reason", ["too_long", "malformed", "encoded"])?;
        let labels: Vec<&str> = config.labels.iter().map(|field| &*field.label).collect();
        #[allow(clippy::cast_precision_loss, reason = "bounds of buckets are far below 2^52")]
        let buckets: Vec<f64> = config.buckets.iter().map(|size| size.bytes() as f64).collect();
        let size = |name, help| Sizes::define(define, Named { name, unit: "By", help }, &labels, &buckets);
        let sizes = [
            size("body.request.size", "Bytes of the bodies of requests")?,
            size("body.response.size", "Bytes of the bodies of responses")?,
        ];
        let mut numbers = Vec::new();
        for field in &config.numbers {
            let named = Named { name: &field.metric, unit: &field.unit, help: "Numbers found in bodies" };
            numbers.push(match field.buckets.is_empty() {
                true => Number::Sum(Sums::define(define, named, &labels)?),
                false => Number::Spread(Sizes::define(define, named, &labels, &field.buckets)?),
            });
        }
        let unread = define.counter("body.unread").unit("{body}").help("Bodies that could not be read");
        Ok(Self {
            unread: unread.labels(["body", "reason"]).build()?,
            nothing: bodies.other(),
            names: fields::names(Which::Response, &config),
            sets,
            sizes,
            numbers,
            bodies,
            reasons,
            config,
        })
    }

    fn request_head(&self, exchange: &Exchange, state: &mut State) -> Result<()> {
        if !self.config.reads(Which::Request) {
            return Ok(());
        }
        state.request = kind(exchange.request_headers(), false);
        if state.request == Progress::Wanted {
            exchange.request_body_mode(BodyMode::buffer(self.config.limit.bytes()))?;
        }
        Ok(())
    }

    fn request_body(&self, _exchange: &Exchange, body: &mut Body, state: &mut State) {
        state.request = self.read(Which::Request, &body.read(), &mut state.found);
    }

    fn response_head(&self, exchange: &Exchange, state: &mut State) -> Result<()> {
        if !self.config.reads(Which::Response) {
            return Ok(());
        }
        state.response = kind(exchange.response_headers(), self.config.event_streams);
        match state.response {
            Progress::Wanted => exchange.response_body_mode(BodyMode::buffer(self.config.limit.bytes()))?,
            Progress::Events => exchange.response_body_mode(BodyMode::stream())?,
            _ => {}
        }
        Ok(())
    }

    fn response_body(&self, _exchange: &Exchange, body: &mut Body, state: &mut State) {
        let piece = body.read();
        if state.response != Progress::Events {
            state.response = self.read(Which::Response, &piece, &mut state.found);
            return;
        }
        let State { found, events, .. } = state;
        let too_long = events.read(&piece, self.config.limit.bytes(), |data| {
            if self.is_of_interest(data)
                && let Ok(json) = serde_json::from_slice(data)
            {
                found.read(Which::Response, &json, &self.config, &self.sets);
            }
        });
        if too_long > 0 {
            self.count_unread("response", "too_long");
        }
    }

    fn log(&self, exchange: &Exchange, state: &mut State) {
        for (body, progress, bytes) in [
            ("request", &state.request, exchange.request_bytes()),
            ("response", &state.response, exchange.response_bytes()),
        ] {
            match progress {
                Progress::Unread(reason) => self.count_unread(body, reason),
                // The hook was not called with the whole of it.
                Progress::Wanted if bytes > self.config.limit.bytes() as u64 => self.count_unread(body, "too_long"),
                _ => {}
            }
        }
        let mut labels = [self.nothing; config::LABELS];
        for (at, ((label, field), set)) in labels.iter_mut().zip(&self.config.labels).zip(&self.sets).enumerate() {
            let found = state.found.label(at);
            *label = found.unwrap_or_else(|| set.other());
            if found.is_some() {
                exchange.log_field(&field.label, *label);
                exchange.span().attribute(&field.label, *label);
            }
        }
        let bytes = [exchange.request_bytes(), exchange.response_bytes()];
        for (sizes, bytes) in self.sizes.iter().zip(bytes) {
            #[allow(clippy::cast_precision_loss, reason = "a histogram's sum is a float anyway")]
            sizes.record(bytes as f64, labels);
        }
        for (at, (number, field)) in self.numbers.iter().zip(&self.config.numbers).enumerate() {
            let Some(value) = state.found.number(at) else { continue };
            match number {
                Number::Sum(counter) => counter.add(value, labels),
                Number::Spread(histogram) => histogram.record(value, labels),
            }
            exchange.log_field(&field.metric, value);
            exchange.span().attribute(&field.metric, value);
        }
    }
}

impl BodyMetrics {
    /// Reads a body that is there as a whole.
    fn read(&self, which: Which, body: &[u8], found: &mut Found) -> Progress {
        match serde_json::from_slice(body) {
            Ok(json) => {
                found.read(which, &json, &self.config, &self.sets);
                Progress::Read
            }
            Err(_) => Progress::Unread("malformed"),
        }
    }

    /// Whether an event may have a field that is wanted: most of a stream's events have none, and need not be parsed.
    fn is_of_interest(&self, data: &[u8]) -> bool {
        let has = |name: &String| data.windows(name.len()).any(|part| part == name.as_bytes());
        data.first() == Some(&b'{') && (self.names.is_empty() || self.names.iter().any(has))
    }

    fn count_unread(&self, body: &str, reason: &str) {
        self.unread.add(1, [self.bodies.get(body), self.reasons.get(reason)]);
    }
}

/// What can be made of a body, by its head.
fn kind(headers: Headers, event_streams: bool) -> Progress {
    let Some(content_type) = headers.get("content-type") else { return Progress::Nothing };
    let content_type = content_type.to_str_lossy().to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let kind = match (is_json, essence) {
        (true, _) => Progress::Wanted,
        (false, "text/event-stream") if event_streams => Progress::Events,
        _ => return Progress::Nothing,
    };
    match headers.get("content-encoding") {
        Some(encoding) if !encoding.eq_ignore_ascii_case(b"identity") => Progress::Unread("encoded"),
        _ => kind,
    }
}

#[cfg(test)]
mod tests;
