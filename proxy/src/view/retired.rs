//! Whether a version was replaced, for those who want to know when.
//! It replaces nothing.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Set once.
#[derive(Debug, Default)]
pub(super) struct Retired {
    is_set: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

// === impl Retired ===

impl Retired {
    pub(super) fn set(&self) {
        self.is_set.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Ready once it is set.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_set.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
