//! The configuration, and what is wrong with one.
//! It reads no body.

use tidegate_sdk::prelude::*;
use tidegate_sdk::units::Size;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Upper bounds of the buckets of both sizes, rising, in bytes.
    #[serde(default = "sizes")]
    pub buckets: Vec<Size>,
    /// Fields whose values become labels of all metrics.
    #[serde(default)]
    pub labels: Vec<LabelField>,
    /// Fields whose numbers are counted.
    #[serde(default)]
    pub numbers: Vec<NumberField>,
    /// How long a body is read at most; a longer one passes unread.
    #[serde(default = "limit")]
    pub limit: Size,
    /// Whether streams of server-sent events are read, event by event.
    #[serde(default = "yes")]
    pub event_streams: bool,
}

/// A field whose value becomes a label.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelField {
    /// The name of the label, of the log field and of the span attribute.
    pub label: String,
    /// In which body it stands.
    pub body: Which,
    /// Where it stands, as RFC 6901 has it.
    pub pointer: String,
    /// The values that it can have; all else is `other`.
    pub values: Vec<String>,
}

/// A field whose number is counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberField {
    /// The name of the metric, of the log field and of the span attribute.
    pub metric: String,
    /// The metric's unit.
    #[serde(default)]
    pub unit: String,
    /// In which body it stands.
    pub body: Which,
    /// Where it stands, as RFC 6901 has it; the first of several that is there counts.
    pub pointer: Pointers,
    /// Upper bounds of buckets, rising: with them the metric is a histogram, else a counter.
    #[serde(default)]
    pub buckets: Vec<f64>,
}

/// One pointer or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Pointers {
    One(String),
    Several(Vec<String>),
}

/// Which body is meant.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    Request,
    Response,
}

/// As many labels as a metric of this plugin can have.
pub const LABELS: usize = 3;

// === impl Config ===

impl Config {
    /// Says what is wrong, by the key.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<()> {
        if self.labels.len() > LABELS {
            return Err(Error::new(format_args!("config.labels: there are {} of {LABELS} at most", self.labels.len())));
        }
        let labels = self.labels.iter().enumerate().map(|(at, field)| ("labels", at, &field.pointer));
        let numbers = self.numbers.iter().enumerate();
        let numbers = numbers.flat_map(|(at, field)| field.pointer.iter().map(move |pointer| ("numbers", at, pointer)));
        for (key, at, pointer) in labels.chain(numbers) {
            if !pointer.starts_with('/') {
                let text =
                    format!("config.{key}[{at}].pointer: `{pointer}` is no JSON pointer, as `/usage/total_tokens`");
                return Err(Error::new(text));
            }
        }
        if self.limit.bytes() == 0 || self.limit.bytes() > 64 << 20 {
            return Err(Error::new("config.limit: it is 1B to 64MiB"));
        }
        Ok(())
    }

    /// Whether a field of this body is wanted.
    pub fn reads(&self, which: Which) -> bool {
        self.labels.iter().any(|field| field.body == which) || self.numbers.iter().any(|field| field.body == which)
    }
}

// === impl Pointers ===

impl Pointers {
    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::One(pointer) => std::slice::from_ref(pointer).iter(),
            Self::Several(pointers) => pointers.iter(),
        }
    }
}

/// A factor of four from one to the next: fine enough to tell a chat message from a file, few enough for three labels.
fn sizes() -> Vec<Size> {
    [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20].map(Size::new).into()
}

const fn limit() -> Size {
    Size::new(64 << 10)
}

const fn yes() -> bool {
    true
}
