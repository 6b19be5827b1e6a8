//! What a plugin defines while it is configured: label sets, metrics, its tick, how it wants bodies.
//! It only encodes and checks what the host cannot say as clearly.

use std::marker::PhantomData;
use std::time::Duration;

use tidegate_abi::MetricKind;

use crate::label::OTHER;
use crate::metric::{Family, second};
use crate::{BodyMode, Bytes, Counter, Error, Gauge, Histogram, LabelSet, Refused, Result, ffi};

/// Defines things; only `configure` has one.
#[derive(Debug, Default)]
pub struct Define {
    sets: Vec<(String, LabelSet)>,
}

/// A metric that is being defined; `build` ends it. `M` is what it becomes, without labels.
#[derive(Debug)]
#[must_use = "a metric is defined by `build`"]
pub struct Builder<'d, M, const N: usize = 0> {
    define: &'d Define,
    kind: PhantomData<M>,
    name: &'d str,
    unit: &'d str,
    help: &'d str,
    labels: [&'d str; N],
    buckets: Vec<f64>,
}

// === impl Define ===

impl Define {
    pub(crate) const fn new() -> Self {
        Self { sets: Vec::new() }
    }

    /// Defines a closed set of values; its name is the label's name. A value that is given twice counts once, and `other` is
    /// always there: it stands for everything that is not in the set.
    ///
    /// # Errors
    /// When the name is not one that a label may have, or taken by another set, or when there are too many values.
    pub fn label_set<I>(&mut self, name: &str, values: I) -> Result<LabelSet>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut texts: Vec<String> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for value in values {
            let value = value.into();
            if value != OTHER && seen.insert(value.clone()) {
                texts.push(value);
            }
        }
        let mut encoded = Vec::new();
        put_bytes(&mut encoded, name.as_bytes());
        put_count(&mut encoded, texts.len());
        for text in &texts {
            put_bytes(&mut encoded, text.as_bytes());
        }
        let number = Refused::check(ffi::define_label_set(&encoded)).map_err(|why| match why {
            Refused::Invalid => Error::new(format_args!(
                "the label set `{name}` is not valid: a label's name has letters, digits, `_` and `.`, its values at most 128 bytes"
            )),
            why => Error::new(format_args!("the label set `{name}` was refused: {why}")),
        })?;
        let set = LabelSet::new(number, texts);
        self.sets.push((name.to_owned(), set));
        Ok(set)
    }

    /// Starts to define a counter. Its scrape name ends in `_total`, so the name need not.
    pub fn counter<'d>(&'d self, name: &'d str) -> Builder<'d, Counter> {
        self.metric(name)
    }

    /// Starts to define a gauge.
    pub fn gauge<'d>(&'d self, name: &'d str) -> Builder<'d, Gauge> {
        self.metric(name)
    }

    /// Starts to define a histogram.
    pub fn histogram<'d>(&'d self, name: &'d str) -> Builder<'d, Histogram> {
        self.metric(name)
    }

    /// Asks for a call of `tick` at this interval: 100 ms to 1 h, on every worker.
    ///
    /// # Errors
    /// When the interval is outside of that.
    pub fn tick_every(&mut self, interval: Duration) -> Result<()> {
        let milliseconds = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let asked = Refused::check(ffi::tick_every(milliseconds));
        asked
            .map_err(|why| Error::new(format_args!("a tick every {interval:?} was refused: {why} (100 ms to 1 h)")))?;
        Ok(())
    }

    /// How `request_body` wants the bodies of requests, unless an exchange says otherwise.
    ///
    /// # Errors
    /// When it peeks at, or buffers, more than 64 MiB.
    pub fn request_body(&mut self, mode: BodyMode) -> Result<()> {
        body(mode, tidegate_abi::Body::Request)
    }

    /// How `response_body` wants the bodies of responses, unless an exchange says otherwise.
    ///
    /// # Errors
    /// When it peeks at, or buffers, more than 64 MiB.
    pub fn response_body(&mut self, mode: BodyMode) -> Result<()> {
        body(mode, tidegate_abi::Body::Response)
    }

    /// What the instance before this one handed over on the same worker, in its `hand_over`. `None` for the first one, and after
    /// one that trapped. It may be of an older version of the plugin, with another configuration: do not trust its shape.
    pub fn handed_over(&self) -> Option<Bytes> {
        Bytes::read(ffi::state_read)
    }

    fn metric<'d, M>(&'d self, name: &'d str) -> Builder<'d, M> {
        Builder { define: self, kind: PhantomData, name, unit: "", help: "", labels: [], buckets: Vec::new() }
    }
}

fn body(mode: BodyMode, body: tidegate_abi::Body) -> Result<()> {
    let name = if body == tidegate_abi::Body::Request { "request" } else { "response" };
    mode.tell(body).map_err(|why| {
        Error::new(format_args!("the {name}'s body in mode {:?} was refused: {why} (64 MiB at most)", mode.mode))
    })
}

// === impl Builder ===

impl<'d, M, const N: usize> Builder<'d, M, N> {
    /// The unit, as OpenTelemetry writes it: `s`, `By`, `{request}`.
    pub fn unit(mut self, unit: &'d str) -> Self {
        self.unit = unit;
        self
    }

    /// What the metric tells, for whoever reads a scrape.
    pub fn help(mut self, help: &'d str) -> Self {
        self.help = help;
        self
    }

    /// Its labels, by the names of label sets that were defined before. Updates name their labels in this order.
    pub fn labels<const L: usize>(self, labels: [&'d str; L]) -> Builder<'d, M, L> {
        let Self { define, kind, name, unit, help, labels: _, buckets } = self;
        Builder { define, kind, name, unit, help, labels, buckets }
    }

    fn family(self, kind: MetricKind) -> Result<Family<N>> {
        let Self { define, name, unit, help, labels, buckets, .. } = self;
        let mut encoded = Vec::new();
        put_u32(&mut encoded, kind as u32);
        for text in [name, unit, help] {
            put_bytes(&mut encoded, text.as_bytes());
        }
        put_count(&mut encoded, N);
        let mut sets = [(0, 0); N];
        for (to, label) in sets.iter_mut().zip(labels) {
            let Some((_, set)) = define.sets.iter().find(|(name, _)| name == label) else {
                return Err(Error::new(format_args!(
                    "the metric `{name}` has the label `{label}`, but no label set of that name was defined before it"
                )));
            };
            *to = (set.number(), set.count());
            put_u32(&mut encoded, set.number().cast_unsigned());
        }
        put_count(&mut encoded, buckets.len());
        for boundary in buckets {
            encoded.extend(boundary.to_le_bytes());
        }
        let metric = Refused::check(ffi::define_metric(&encoded)).map_err(|why| match why {
            Refused::Invalid => Error::new(format_args!(
                "the metric `{name}` is not valid: a name has letters, digits, `_` and `.` and does not begin with a name of the \
                 proxy's, labels are different ones, and boundaries of buckets rise"
            )),
            why => Error::new(format_args!("the metric `{name}` was refused: {why}")),
        })?;
        Ok(Family { metric, sets, second: second(unit) })
    }
}

impl<const N: usize> Builder<'_, Counter, N> {
    /// Defines the counter.
    ///
    /// # Errors
    /// When the name is not valid or taken by a metric of another shape, or a label has no set.
    pub fn build(self) -> Result<Counter<N>> {
        self.family(MetricKind::Counter).map(Counter::new)
    }
}

impl<const N: usize> Builder<'_, Gauge, N> {
    /// Defines the gauge.
    ///
    /// # Errors
    /// When the name is not valid or taken by a metric of another shape, or a label has no set.
    pub fn build(self) -> Result<Gauge<N>> {
        self.family(MetricKind::Gauge).map(Gauge::new)
    }
}

impl<const N: usize> Builder<'_, Histogram, N> {
    /// The upper boundaries of the buckets, rising, in the metric's unit. Without them the host has defaults for durations.
    pub fn buckets(mut self, boundaries: impl IntoIterator<Item = f64>) -> Self {
        self.buckets = boundaries.into_iter().collect();
        self
    }

    /// Defines the histogram.
    ///
    /// # Errors
    /// When the name is not valid or taken by a metric of another shape, a label has no set, or the boundaries do not rise.
    pub fn build(self) -> Result<Histogram<N>> {
        self.family(MetricKind::Histogram).map(Histogram::new)
    }
}

// === the encoding of the ABI, which `tidegate_abi::Reader` reads ===

pub(crate) fn put_bytes(encoded: &mut Vec<u8>, bytes: &[u8]) {
    put_count(encoded, bytes.len());
    encoded.extend(bytes);
}

fn put_count(encoded: &mut Vec<u8>, count: usize) {
    put_u32(encoded, u32::try_from(count).unwrap_or(u32::MAX));
}

pub(crate) fn put_u32(encoded: &mut Vec<u8>, number: u32) {
    encoded.extend(number.to_le_bytes());
}
