//! A deadline that moves often and is seldom reached.
//! It does not know what is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is armed late and moved lazily: while its wake-up is not later than the deadline it is left alone, and
/// looks again when it fires. So a deadline that moves with every request costs no visit to the timer wheel.
#[derive(Debug, Default)]
pub struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// Not armed.
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready when `deadline` has passed, else the task is woken then (or before, to ask again).
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if sleep.is_elapsed() || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
