//! How long a worker does nothing but one thing, and a way to let the others have their turn.
//! It does not know what is done.

use std::time::{Duration, Instant};

/// A worker that does something long.
#[derive(Debug)]
pub struct Hold {
    since: Instant,
    longest: Duration,
}

impl Hold {
    pub fn begin() -> Self {
        Self { since: Instant::now(), longest: Duration::ZERO }
    }

    /// Lets everything else of the worker that is ready have its turn.
    pub async fn pause(&mut self) {
        self.longest = self.end();
        tokio::task::yield_now().await;
        self.since = Instant::now();
    }

    /// The longest time at a stretch so far.
    pub fn end(&self) -> Duration {
        self.longest.max(self.since.elapsed())
    }
}
