//! Where the record lies while the walk waits and the request's body is on its way: both need it in turns, on one core.
//! It calls no hook.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::{Context, Waker};

use crate::exchange::Stop;
use crate::telemetry::record::Record;

/// A place for the record of one exchange. Only exchanges whose request's body is looked at as it passes have one.
///
/// Who needs the record takes it, and lays it back before it lets anything else run: calls of hooks are synchronous, so nobody
/// has it for longer than one poll, but for the walk between two of its waits.
#[derive(Default)]
pub(super) struct Desk {
    record: Cell<Option<Box<Record>>>,
    /// What the request's body ends the sending with.
    stop: Cell<Option<Stop>>,
    /// Whether all of the request's body is on its way upstream.
    sent: Cell<bool>,
    /// Whether the request's body has no part in the exchange any more, as that is over or has an answer of ours: what lies here is not for it,
    /// and its slots are others'.
    over: Cell<bool>,
    /// Whoever found no record here.
    without: RefCell<Vec<Waker>>,
    /// Whoever found its slot in use.
    waiting: RefCell<Vec<Waker>>,
}

// === impl Desk ===

impl Desk {
    pub(super) fn lay(&self, record: Box<Record>) {
        self.record.set(Some(record));
        wake(&self.without);
    }

    pub(super) fn take(&self) -> Option<Box<Record>> {
        self.record.take()
    }

    /// The request is not to be sent any further; the first cause stands.
    pub(super) fn stop(&self, stop: Stop) {
        let first = self.stop.take().unwrap_or(stop);
        self.stop.set(Some(first));
    }

    pub(super) fn stopped(&self) -> Option<Stop> {
        self.stop.take()
    }

    /// No plugin holds back anything of the request's body any more.
    pub(super) fn sent(&self) {
        self.sent.set(true);
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.get()
    }

    /// The request's body has no part in the exchange any more.
    pub(super) fn close(&self) {
        self.over.set(true);
        wake(&self.without);
        wake(&self.waiting);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Has the task woken when the record is here.
    pub(super) fn wait_for_record(&self, cx: &Context<'_>) {
        note(&self.without, cx);
    }

    /// Has the task woken when a hook does not wait any more.
    pub(super) fn wait_for_turn(&self, cx: &Context<'_>) {
        note(&self.waiting, cx);
    }

    /// A hook does not wait any more.
    pub(super) fn turn(&self) {
        wake(&self.waiting);
    }
}

fn note(waiting: &RefCell<Vec<Waker>>, cx: &Context<'_>) {
    let mut waiting = waiting.borrow_mut();
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}

fn wake(waiting: &RefCell<Vec<Waker>>) {
    // Apart, so that whoever is woken may come at once.
    let waiting = waiting.take();
    waiting.into_iter().for_each(Waker::wake);
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("over", &self.over.get()).finish_non_exhaustive()
    }
}
