//! What one plugin is still to be told of, on one worker.
//! It tells nobody.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tidegate_abi::Hook;

use crate::plugin::contract::Event;

/// As many wait at most; what comes beyond is lost, and the plugin learns how much.
const MOST: usize = 1024;

/// The events that wait for one plugin, in order.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: RefCell<VecDeque<(Hook, Event)>>,
    lost: Cell<u64>,
    /// Whether somebody asks for them.
    asked: Cell<bool>,
}

// === impl Events ===

impl Events {
    /// Keeps an event, or says that it is `lost`. Whether somebody must begin to ask.
    pub(super) fn push(&self, hook: Hook, mut event: Event, lost: impl FnOnce()) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST {
            self.lost.set(self.lost.get() + 1);
            lost();
            return false;
        }
        // Those that were lost came before this one.
        event.lost = self.lost.take();
        waiting.push_back((hook, event));
        !self.asked.replace(true)
    }

    /// The next one. After `None` nobody asks any more.
    pub(super) fn pop(&self) -> Option<(Hook, Event)> {
        let next = self.waiting.borrow_mut().pop_front();
        self.asked.set(next.is_some());
        next
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::plugin::contract::Happened;

    #[test]
    fn what_is_beyond_is_lost_and_told_with_the_next() {
        let events = Events::default();
        let happened = |state| {
            let what = Happened::BreakerTransition { upstream: "app".into(), state };
            Event { at: SystemTime::now(), lost: 0, what }
        };
        let mut lost = 0;
        let mut asks = 0;
        for _ in 0..MOST + 3 {
            asks += u32::from(events.push(Hook::BreakerTransition, happened("open"), || lost += 1));
        }
        assert_eq!((lost, asks), (3, 1));
        assert_eq!(events.pop().unwrap().1.lost, 0, "the oldest is kept");
        assert!(!events.push(Hook::BreakerTransition, happened("closed"), || lost += 1));
        let all: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert_eq!((all.len(), all.last().unwrap().1.lost, lost), (MOST, 3, 3));
        assert!(events.push(Hook::BreakerTransition, happened("open"), || ()), "somebody must begin anew");
    }
}
