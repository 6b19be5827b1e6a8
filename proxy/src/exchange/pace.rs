//! How long plugins may have a worker in one go, when more of their calls are ready: then everything else on it has its turn.
//! It calls no hook, and ends none.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Calls that take longer than this, together, are the last in a row. A single one may take as long as its deadline.
const IN_A_ROW: Duration = Duration::from_millis(1);

/// The time that calls have taken since others had their turn.
#[derive(Debug, Default)]
pub(super) struct Pace(Duration);

// === impl Pace ===

impl Pace {
    /// Makes a call, and counts its time.
    pub(super) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = call();
        self.0 += begun.elapsed();
        result
    }

    /// Ready when another call may be made. Otherwise the task is woken again when the worker has looked after its other tasks and
    /// its sockets.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 < IN_A_ROW {
            return Poll::Ready(());
        }
        self.0 = Duration::ZERO;
        // A plain wake-up would come before the sockets.
        pin!(tokio::task::yield_now()).poll(cx)
    }
}
