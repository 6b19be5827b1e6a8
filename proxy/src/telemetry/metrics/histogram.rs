//! Handles of histograms, and the cells behind them: buckets, sum and exemplars that a reader never sees torn.
//! They know neither names nor labels.
//!
//! A cell is a seqlock: the sequence is odd while its writer changes something, and a reader tries again when it was odd
//! or has moved. The writer never waits. Everything behind it is an atomic, so a torn read is thrown away, not undefined.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::shard::Writers;
use super::{counter, lock};

/// A series that counts observations in buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub(super) cell: Arc<HistogramCell>,
    pub(super) writers: Writers,
}

/// One observation that stands for its bucket, and the span it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub value: f64,
    pub trace_id: u128,
    pub span_id: u64,
    pub at: SystemTime,
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// The sum of all values.
    pub sum: f64,
    /// Observations for each bucket (not cumulative), the last one to infinity.
    pub buckets: Vec<u64>,
    /// The latest sampled observation of each bucket.
    pub exemplars: Vec<Option<Exemplar>>,
}

#[derive(Debug)]
pub(super) struct HistogramCell {
    bounds: Arc<[f64]>,
    sequence: AtomicU64,
    /// Bits of an `f64`.
    sum: AtomicU64,
    buckets: Box<[AtomicU64]>,
    /// Made at the first one: most series of plugins never see any.
    exemplars: OnceLock<Box<[ExemplarCell]>>,
    /// Writers of the shared shard take turns; the only writer of a worker's shard never comes here.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct ExemplarCell {
    value: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
    /// 0 where there is no exemplar.
    span: AtomicU64,
    /// Since the Unix epoch.
    nanoseconds: AtomicU64,
}

// === impl Histogram ===

impl Histogram {
    /// Counts an observation. `false` and nothing counted where it is negative or not finite.
    #[inline]
    pub fn record(&self, value: f64) -> bool {
        self.observe(value, None)
    }

    /// Counts an observation and keeps it as its bucket's exemplar; a span id of 0 is no exemplar.
    #[inline]
    pub fn record_with_exemplar(&self, value: f64, trace_id: u128, span_id: u64) -> bool {
        self.observe(value, Some((trace_id, span_id)))
    }

    fn observe(&self, value: f64, exemplar: Option<(u128, u64)>) -> bool {
        if !value.is_finite() || value < 0.0 {
            return false;
        }
        match self.writers {
            Writers::One => self.cell.write(value, exemplar),
            Writers::Many => self.cell.write_in_turn(value, exemplar),
        }
        true
    }
}

// === impl Observations ===

impl Observations {
    /// How many observations there were: always what the buckets add up to.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, bucket| sum.wrapping_add(*bucket))
    }

    /// For each bucket, how many observations were at most its upper bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0_u64, |sum, bucket| {
            *sum = sum.wrapping_add(*bucket);
            Some(*sum)
        })
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (into, from) in self.buckets.iter_mut().zip(other.buckets) {
            *into = into.wrapping_add(from);
        }
        self.exemplars.resize(self.buckets.len(), None);
        for (into, from) in self.exemplars.iter_mut().zip(other.exemplars) {
            *into = [*into, from].into_iter().flatten().max_by_key(|exemplar| exemplar.at);
        }
    }
}

// === impl HistogramCell ===

impl HistogramCell {
    pub(super) fn new(bounds: Arc<[f64]>) -> Self {
        Self {
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            bounds,
            sequence: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            exemplars: OnceLock::new(),
            turn: Mutex::new(()),
        }
    }

    #[cold]
    fn write_in_turn(&self, value: f64, exemplar: Option<(u128, u64)>) {
        let _turn = lock(&self.turn);
        self.write(value, exemplar);
    }

    #[inline]
    fn write(&self, value: f64, exemplar: Option<(u128, u64)>) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        match exemplar {
            Some((trace_id, span_id)) if span_id != 0 => self.write_with_exemplar(index, value, trace_id, span_id),
            _ => self.change(index, value, || {}),
        }
    }

    // Apart, so that whoever has no exemplar does not pay for it.
    #[inline(never)]
    fn write_with_exemplar(&self, index: usize, value: f64, trace_id: u128, span_id: u64) {
        let at = now();
        // Made before the sequence is odd: a reader waits for nothing that allocates.
        let slot = self.exemplar_cells().get(index);
        self.change(index, value, || {
            if let Some(slot) = slot {
                slot.write(value, trace_id, span_id, at);
            }
        });
    }

    #[inline]
    fn change(&self, index: usize, value: f64, more: impl FnOnce()) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        counter::add_float(&self.sum, value, Writers::One);
        more();
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    fn exemplar_cells(&self) -> &[ExemplarCell] {
        self.exemplars.get_or_init(|| self.buckets.iter().map(|_| ExemplarCell::default()).collect())
    }

    pub(super) fn read(&self) -> Observations {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let seen = self.read_unchecked();
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return seen;
                }
            }
            // The writer may share our core and wait for it.
            std::thread::yield_now();
        }
    }

    fn read_unchecked(&self) -> Observations {
        Observations {
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            exemplars: match self.exemplars.get() {
                Some(slots) => slots.iter().map(ExemplarCell::read).collect(),
                None => vec![None; self.buckets.len()],
            },
        }
    }
}

// === impl ExemplarCell ===

impl ExemplarCell {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a trace id")]
    fn write(&self, value: f64, trace_id: u128, span_id: u64, nanoseconds: u64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.trace_high.store((trace_id >> 64) as u64, Ordering::Relaxed);
        self.trace_low.store(trace_id as u64, Ordering::Relaxed);
        self.span.store(span_id, Ordering::Relaxed);
        self.nanoseconds.store(nanoseconds, Ordering::Relaxed);
    }

    fn read(&self) -> Option<Exemplar> {
        let span_id = self.span.load(Ordering::Relaxed);
        let trace_high = u128::from(self.trace_high.load(Ordering::Relaxed));
        let trace_low = u128::from(self.trace_low.load(Ordering::Relaxed));
        (span_id != 0).then(|| Exemplar {
            value: f64::from_bits(self.value.load(Ordering::Relaxed)),
            trace_id: trace_high << 64 | trace_low,
            span_id,
            at: UNIX_EPOCH + Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
