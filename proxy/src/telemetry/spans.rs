//! Spans: kept in the record until the exchange ends, then handed to the exporter's bounded queue.
//! It never waits for the exporter, and builds no span on a worker.
//!
//! Each span that is produced is counted once more: as exported, or as dropped with a reason.

mod attributes;
mod trail;
mod tree;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc::UnboundedSender;

use crate::telemetry::metrics::Counter;

pub use trail::Trail;

/// The way to one exporter, bounded by the number of spans that wait.
#[derive(Debug)]
pub struct SpanQueue {
    /// Unbounded itself: `waiting` is the bound.
    sender: UnboundedSender<Vec<Trail>>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    queue_full: Counter,
    shutdown: Counter,
    pub(super) redact_query: Arc<[Arc<str>]>,
}

/// One worker's trails until its next flush.
#[derive(Debug, Default)]
pub struct SpanBuffer {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: Option<Arc<SpanQueue>>,
    trails: Vec<Trail>,
}

/// Waking the exporter costs a system call, so it is done once for many.
const FULL: usize = 64;

// === impl SpanQueue ===

impl SpanQueue {
    pub(super) fn new(
        sender: UnboundedSender<Vec<Trail>>,
        waiting: Arc<AtomicUsize>,
        limit: usize,
        (queue_full, shutdown): (Counter, Counter),
        redact_query: Arc<[Arc<str>]>,
    ) -> Self {
        Self { sender, waiting, limit, queue_full, shutdown, redact_query }
    }

    /// Takes room for so many spans; `false` and they are counted as dropped where there is none.
    fn reserve(&self, spans: usize) -> bool {
        if self.waiting.fetch_add(spans, Relaxed) + spans <= self.limit {
            return true;
        }
        self.waiting.fetch_sub(spans, Relaxed);
        self.queue_full.add(spans as u64);
        false
    }

    fn send(&self, trails: Vec<Trail>) {
        if let Err(refused) = self.sender.send(trails) {
            let spans = refused.0.iter().map(Trail::spans).sum::<usize>();
            self.waiting.fetch_sub(spans, Relaxed);
            self.shutdown.add(spans as u64);
        }
    }
}

// === impl SpanBuffer ===

impl SpanBuffer {
    /// Takes the spans of one exchange, if the queue has room for them.
    pub(super) fn push(&self, queue: &Arc<SpanQueue>, trail: Trail) {
        if !queue.reserve(trail.spans()) {
            return;
        }
        let mut inner = self.inner.borrow_mut();
        // Two versions of the configuration may be under way, with an exporter each.
        if !inner.queue.as_ref().is_some_and(|known| Arc::ptr_eq(known, queue)) {
            inner.flush();
            inner.queue = Some(Arc::clone(queue));
        }
        inner.trails.push(trail);
        if inner.trails.len() >= FULL {
            inner.flush();
        }
    }

    /// Hands over what is there.
    pub(super) fn flush(&self) {
        self.inner.borrow_mut().flush();
    }
}

impl Drop for SpanBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

// === impl Inner ===

impl Inner {
    fn flush(&mut self) {
        if let Some(queue) = self.queue.take()
            && !self.trails.is_empty()
        {
            queue.send(std::mem::take(&mut self.trails));
        }
    }
}

#[cfg(test)]
mod tests;
