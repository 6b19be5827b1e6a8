//! Whether a version was replaced, for those who want to know when.
//! It replaces nothing.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Set once.
#[derive(Debug, Default)]
pub(super) struct Retired {
    is_set: Cell<bool>,
    /// By plugin: each waits in one place at a time, so what waited before it does not any more.
    waiting: RefCell<Vec<Option<Waker>>>,
}

// === impl Retired ===

impl Retired {
    pub(super) fn set(&self) {
        self.is_set.set(true);
        self.waiting.take().into_iter().flatten().for_each(Waker::wake);
    }

    /// Ready once it is set, for what a plugin does.
    pub(super) fn poll(&self, plugin: usize, cx: &Context<'_>) -> Poll<()> {
        if self.is_set.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() <= plugin {
            waiting.resize(plugin + 1, None);
        }
        if let Some(waker) = waiting.get_mut(plugin)
            && !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The plugin does not wait for it any more.
    pub(super) fn forget(&self, plugin: usize) {
        if let Some(waker) = self.waiting.borrow_mut().get_mut(plugin) {
            *waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    use super::*;

    struct Task(Sender<()>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn a_tick_that_is_over_is_not_kept() {
        let (woken, wakes) = channel();
        let retired = Retired::default();
        let tick = |plugin| {
            let task = Arc::new(Task(woken.clone()));
            assert!(retired.poll(plugin, &Context::from_waker(&Waker::from(Arc::clone(&task)))).is_pending());
            task
        };
        let over: Vec<_> = (0..100).map(|_| tick(1)).collect();
        retired.forget(1);
        assert!(over.iter().all(|task| Arc::strong_count(task) == 1), "as long as its waker is kept, so is a task");
        let _waiting = [tick(0), tick(1)];
        retired.set();
        assert_eq!(wakes.try_iter().count(), 2);
        assert!(retired.poll(2, &Context::from_waker(Waker::noop())).is_ready());
    }
}
