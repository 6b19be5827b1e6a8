//! What this thread has done to breakers: noted as it happens, under the breaker's lock, and told of later.
//! It shares nothing between threads.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use super::State;

/// A breaker has changed its state.
#[derive(Clone, Debug)]
pub struct Transition {
    pub upstream: Arc<str>,
    pub state: State,
    pub at: SystemTime,
}

/// As many are kept at most on a thread that never asks.
const MOST: usize = 1024;

thread_local! {
    static TRANSITIONS: RefCell<Vec<Transition>> = const { RefCell::new(Vec::new()) };
}

/// Notes that this thread has changed a breaker's state.
pub fn note(upstream: &Arc<str>, state: State) {
    TRANSITIONS.with_borrow_mut(|all| {
        if all.len() < MOST {
            all.push(Transition { upstream: Arc::clone(upstream), state, at: SystemTime::now() });
        }
    });
}

/// What this thread has done since it was asked last, in order.
pub fn take() -> Vec<Transition> {
    TRANSITIONS.with_borrow_mut(std::mem::take)
}
