//! The series of a plugin's metrics on one worker: from the guest's two numbers to a handle, and the budget over all of them.
//! It knows what was defined, not who defines it.

mod admitted;

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_abi::MetricKind;

use super::definitions::{Definitions, OTHER};
use super::drops::Why;
use crate::telemetry::metrics::{Counter, Family, Gauge, Histogram, Shard};
use crate::telemetry::trace_context::TraceContext;
pub(super) use admitted::{Admitted, Vocabulary};

/// Metrics whose label sets span at most so many series have a table (24 bytes a series), others a hash map.
const DENSE: u64 = 4096;

/// A change of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Update {
    Add(f64),
    Set(f64),
    Record(f64),
}

/// The metrics of a plugin on one worker.
pub(super) struct Series {
    metrics: Vec<Metric>,
    /// Absent while a plugin is tried out on the control thread, which has no series.
    source: Option<Source>,
}

struct Source {
    plugin: Arc<str>,
    shard: Shard,
    admitted: Arc<Admitted>,
    budget: usize,
}

struct Metric {
    kind: MetricKind,
    family: Family,
    /// For each label its values, without `other`.
    labels: Vec<Vec<Box<str>>>,
    cells: Cells,
    overflow: Option<Handle>,
}

enum Cells {
    Dense(Vec<Cell>),
    Sparse { span: u64, cells: HashMap<u32, Cell> },
}

/// What is known of a series number.
#[derive(Clone, Default)]
enum Cell {
    #[default]
    New,
    Own(Handle),
    /// It came when the budget was used up: it counts in the metric's overflow series from now on.
    Overflow,
}

#[derive(Clone)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

// === impl Series ===

impl Series {
    /// For the control thread: no series at all.
    pub const fn none() -> Self {
        Self { metrics: Vec::new(), source: None }
    }

    /// The tables for what was defined; `families` in the same order. All that `admitted` knows may be `budget` series.
    pub fn new(
        plugin: Arc<str>,
        definitions: &Definitions,
        families: &[Family],
        shard: Shard,
        admitted: Arc<Admitted>,
        budget: usize,
    ) -> Self {
        let metrics = definitions.metrics.iter().zip(families).map(|(metric, family)| {
            let sets = metric.labels.iter().filter_map(|&set| definitions.label_sets.get(set));
            let labels: Vec<_> = sets.map(|set| set.values.clone()).collect();
            let span = labels.iter().fold(1_u64, |span, values| span.saturating_mul(values.len() as u64 + 1));
            let cells = match usize::try_from(span) {
                Ok(length) if span <= DENSE => Cells::Dense(vec![Cell::New; length]),
                _ => Cells::Sparse { span, cells: HashMap::new() },
            };
            Metric { kind: metric.kind, family: family.clone(), labels, cells, overflow: None }
        });
        Self { metrics: metrics.collect(), source: Some(Source { plugin, shard, admitted, budget }) }
    }

    /// Changes a series.
    ///
    /// # Errors
    /// [`Why::Invalid`] when nothing was changed; [`Why::Budget`] when the overflow series was changed instead.
    pub fn update(
        &mut self,
        metric: u32,
        series: u32,
        update: Update,
        trace: Option<&TraceContext>,
    ) -> Result<(), Why> {
        let (Some(target), Some(source)) = (self.metrics.get_mut(metric as usize), &self.source) else {
            return Err(Why::Invalid);
        };
        if !fits(target.kind, update) {
            return Err(Why::Invalid);
        }
        let cell = target.cells.get(series).ok_or(Why::Invalid)?;
        if let Cell::New = cell {
            let values = values(&target.labels, series);
            *cell = if source.admitted.admit(&target.family, &values, source.budget) {
                Cell::Own(source.handle(target.kind, &target.family, &values))
            } else {
                Cell::Overflow
            };
        }
        if let Cell::Own(handle) = cell {
            handle.apply(update, trace);
            return Ok(());
        }
        let overflow = target
            .overflow
            .get_or_insert_with(|| source.handle(target.kind, &target.family, &vec![OTHER; target.labels.len()]));
        overflow.apply(update, trace);
        Err(Why::Budget)
    }
}

/// Whether an update is one for this kind of metric, and its value one that can be counted.
fn fits(kind: MetricKind, update: Update) -> bool {
    match (kind, update) {
        (MetricKind::Counter, Update::Add(value)) => value.is_finite() && value >= 0.0,
        (MetricKind::Gauge, Update::Add(value) | Update::Set(value))
        | (MetricKind::Histogram, Update::Record(value)) => value.is_finite(),
        _ => false,
    }
}

/// The label values of a series, by the rule of [`tidegate_abi::series`]: the last label is the least significant.
fn values(labels: &[Vec<Box<str>>], series: u32) -> Vec<&str> {
    let mut rest = series as usize;
    let mut values: Vec<_> = labels
        .iter()
        .rev()
        .map(|values| {
            let index = rest % (values.len() + 1);
            rest /= values.len() + 1;
            values.get(index).map_or(OTHER, |value| &**value)
        })
        .collect();
    values.reverse();
    values
}

// === impl Source ===

impl Source {
    fn handle(&self, kind: MetricKind, family: &Family, values: &[&str]) -> Handle {
        let mut labels = vec![&*self.plugin];
        labels.extend(values);
        match kind {
            MetricKind::Counter => Handle::Counter(self.shard.counter(family, &labels)),
            MetricKind::Gauge => Handle::Gauge(self.shard.gauge(family, &labels)),
            MetricKind::Histogram => Handle::Histogram(self.shard.histogram(family, &labels)),
        }
    }
}

// === impl Cells ===

impl Cells {
    /// The cell of a series; `None` for a number that no label values give.
    fn get(&mut self, series: u32) -> Option<&mut Cell> {
        /// Refused series are remembered up to here, so that a guest that counts through all of them costs no memory.
        const REMEMBERED: usize = 16 * 1024;
        match self {
            Self::Dense(cells) => cells.get_mut(series as usize),
            Self::Sparse { span, .. } if u64::from(series) >= *span => None,
            Self::Sparse { cells, .. } => {
                if cells.len() >= REMEMBERED && !cells.contains_key(&series) {
                    cells.retain(|_, cell| matches!(cell, Cell::Own(_)));
                }
                Some(cells.entry(series).or_default())
            }
        }
    }
}

// === impl Handle ===

impl Handle {
    fn apply(&self, update: Update, trace: Option<&TraceContext>) {
        match (self, update) {
            (Self::Counter(counter), Update::Add(value)) => _ = counter.add_f64(value),
            (Self::Gauge(gauge), Update::Add(value)) => _ = gauge.add(value),
            (Self::Gauge(gauge), Update::Set(value)) => _ = gauge.set(value),
            (Self::Histogram(histogram), Update::Record(value)) => {
                _ = match trace {
                    Some(trace) => histogram.record_with_exemplar(value, trace.trace_id, trace.span.0),
                    None => histogram.record(value),
                };
            }
            // `fits` let only these through.
            _ => {}
        }
    }
}
