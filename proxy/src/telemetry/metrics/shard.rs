//! The series of one thread: where handles come from.
//! It does not know which other shards there are.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::counter::{Counter, CounterCell, Gauge, GaugeCell};
use super::histogram::{Histogram, HistogramCell};
use super::snapshot::Value;
use super::{Family, Kind, lock};

/// The series of one thread, or of any thread where it is [`super::Registry::shared`]. Clones are the same shard.
///
/// Asking for a series takes a lock and allocates: do it when a view is built or at a first sight, and keep the handle.
/// The same family and labels always give the same series, so a handle that is asked for again after a reload counts on.
#[derive(Clone)]
pub struct Shard {
    writers: Writers,
    series: Arc<Mutex<Series>>,
}

/// Who may update the cells of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    One,
    Many,
}

/// By [`Family::index`], then by label values.
type Series = HashMap<usize, HashMap<Labels, Cell>>;

pub(super) type Labels = Box<[Box<str>]>;

#[derive(Clone, Debug)]
enum Cell {
    Counter(Arc<CounterCell>),
    Gauge(Arc<GaugeCell>),
    Histogram(Arc<HistogramCell>),
}

// === impl Shard ===

impl Shard {
    pub(super) fn new(writers: Writers) -> Self {
        Self { writers, series: Arc::default() }
    }

    /// The counter with these label values, one for each label of the family; a missing value is empty, one too many ignored.
    /// A family that is no counter gives a handle that counts into nothing.
    pub fn counter(&self, family: &Family, labels: &[&str]) -> Counter {
        let cell = match self.cell(family, labels) {
            Cell::Counter(cell) => cell,
            Cell::Gauge(_) | Cell::Histogram(_) => wrong_kind(family),
        };
        Counter { cell, writers: self.writers }
    }

    /// The gauge with these label values; see [`Shard::counter`].
    pub fn gauge(&self, family: &Family, labels: &[&str]) -> Gauge {
        let cell = match self.cell(family, labels) {
            Cell::Gauge(cell) => cell,
            Cell::Counter(_) | Cell::Histogram(_) => wrong_kind(family),
        };
        Gauge { cell, writers: self.writers }
    }

    /// The histogram with these label values; see [`Shard::counter`].
    pub fn histogram(&self, family: &Family, labels: &[&str]) -> Histogram {
        let cell = match self.cell(family, labels) {
            Cell::Histogram(cell) => cell,
            Cell::Counter(_) | Cell::Gauge(_) => {
                debug_assert!(false, "{family:?} is of another kind");
                Arc::new(HistogramCell::new(Arc::default()))
            }
        };
        Histogram { cell, writers: self.writers }
    }

    pub(super) fn forget(&self, family: &Family, labels: &[&str]) {
        if let Some(series) = lock(&self.series).get_mut(&family.index()) {
            series.remove(&values(family, labels));
        }
    }

    /// Calls `each` with every series of the family.
    pub(super) fn read(&self, family: &Family, mut each: impl FnMut(&Labels, Value)) {
        // The cells are read after the lock is given back, so that a reader that waits for a writer holds up nobody.
        let series: Vec<_> = match lock(&self.series).get(&family.index()) {
            Some(series) => series.iter().map(|(labels, cell)| (labels.clone(), cell.clone())).collect(),
            None => return,
        };
        for (labels, cell) in series {
            each(&labels, cell.read());
        }
    }

    fn cell(&self, family: &Family, labels: &[&str]) -> Cell {
        debug_assert_eq!(labels.len(), family.definition().labels.len(), "labels of {family:?}");
        let mut series = lock(&self.series);
        let series = series.entry(family.index()).or_default();
        series.entry(values(family, labels)).or_insert_with(|| Cell::new(family)).clone()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("writers", &self.writers).finish_non_exhaustive()
    }
}

// === impl Cell ===

impl Cell {
    fn new(family: &Family) -> Self {
        match family.definition().kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Histogram => Self::Histogram(Arc::new(HistogramCell::new(family.bounds()))),
        }
    }

    fn read(&self) -> Value {
        match self {
            Self::Counter(cell) => {
                let (whole, fraction) = cell.read();
                Value::Counter { whole, fraction }
            }
            Self::Gauge(cell) => Value::Gauge(cell.read()),
            Self::Histogram(cell) => Value::Histogram(cell.read()),
        }
    }
}

fn values(family: &Family, labels: &[&str]) -> Labels {
    let given = labels.iter().copied().chain(std::iter::repeat(""));
    given.take(family.definition().labels.len()).map(Box::from).collect()
}

/// Not on a path that a user can reach: families and the kinds of their handles stand side by side in our code.
fn wrong_kind<T: Default>(family: &Family) -> Arc<T> {
    debug_assert!(false, "{family:?} is of another kind");
    Arc::default()
}
