//! A deadline that moves often and is seldom reached.
//! It does not know what is waited for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is armed late and moved lazily: while its wake-up is not later than the deadline it is left alone, and
/// looks again when it fires. So a deadline that moves with every request costs neither a visit to the timer wheel nor a
/// reading of the time, as long as the clock outlives the request: keep it where the connection is kept.
#[derive(Debug, Default)]
pub struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes.
    waker: Option<Waker>,
}

impl Clock {
    /// Not armed.
    pub const fn new() -> Self {
        Self { sleep: None, waker: None }
    }

    /// Whether whoever polled it last will be woken by it.
    pub fn is_armed(&self) -> bool {
        self.sleep.as_ref().is_some_and(|sleep| !sleep.is_elapsed())
    }

    /// Ready when `deadline` has passed, else the task is woken then (or before, to ask again).
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            // One that goes off in time and has not gone off says that it is not yet time.
            if let Some(sleep) = &mut self.sleep
                && sleep.deadline() <= deadline
            {
                // Nearly always it knows whom to wake, and polling it again would only make it forget and learn that.
                let knows = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                if knows && !sleep.is_elapsed() {
                    return Poll::Pending;
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    // A task that has used up its turn is told to wait without being put down: it is woken at once, to ask again.
                    self.waker = has_budget_remaining().then(|| cx.waker().clone());
                    return Poll::Pending;
                }
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.waker = None;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(sleep_until(deadline))),
            }
        }
    }

    /// What the future gives, or `None` when it gives nothing until `deadline`. It stays where it is: a timeout that owns its
    /// future moves it.
    pub async fn within<T>(&mut self, deadline: Instant, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx, deadline).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_deadline_that_moves_either_way_is_kept() {
        let mut clock = Clock::new();
        let far = Instant::now() + Duration::from_secs(60);
        let polled = poll_fn(|cx| Poll::Ready(clock.poll(cx, far))).await;
        assert!(polled.is_pending() && clock.is_armed());
        for limit in [40, 10, 30].map(Duration::from_millis) {
            let deadline = Instant::now() + limit;
            poll_fn(|cx| clock.poll(cx, deadline)).await;
            assert!(Instant::now() >= deadline, "{limit:?}");
        }
    }

    #[tokio::test]
    async fn a_task_that_has_used_up_its_turn_is_woken_all_the_same() {
        let mut clock = Clock::new();
        let deadline = Instant::now() + Duration::from_millis(20);
        let mut first = true;
        let waiting = poll_fn(|cx| {
            if std::mem::take(&mut first) {
                while has_budget_remaining() {
                    let _ = tokio::task::coop::poll_proceed(cx).map(|proceeded| proceeded.made_progress());
                }
            }
            clock.poll(cx, deadline)
        });
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_in_time_is_given_and_what_does_not_is_not() {
        let mut clock = Clock::new();
        let at = Instant::now() + Duration::from_millis(10);
        assert_eq!(clock.within(at, pin!(std::future::pending::<()>())).await, None);
        assert_eq!(clock.within(at, pin!(std::future::ready(7))).await, Some(7), "ready counts, however late");
    }
}
