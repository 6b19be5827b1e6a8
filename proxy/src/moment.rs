//! The time, read as seldom as it can be: one reading serves everything that a thread does at that moment.
//! It arms no timer, and does not know what the time is for.
//!
//! A reading costs some 50 ns on a virtual machine; an exchange that read the clock wherever it needs a time took eighteen of them. What
//! is measured is read ([`now`]); what is only compared with limits of seconds takes the last reading ([`recent`]). A
//! worker reads at least every 20 ms, with its ticks.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long the wall clock is believed to run as the monotonic one does; then it is asked again.
const ANCHORED: Duration = Duration::from_millis(20);

thread_local! {
    static RECENT: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The two clocks at one moment.
    static ANCHOR: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// Reads the clock.
pub fn now() -> Instant {
    let now = Instant::now();
    RECENT.set(Some(now));
    now
}

/// The last reading on this thread.
pub fn recent() -> Instant {
    RECENT.get().unwrap_or_else(now)
}

/// What the wall clock says at a moment that was just read.
pub fn wall(moment: Instant) -> SystemTime {
    if let Some((then, at)) = ANCHOR.get()
        && let Some(since) = moment.checked_duration_since(then)
        && since < ANCHORED
    {
        return at + since;
    }
    let at = SystemTime::now();
    ANCHOR.set(Some((moment, at)));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reading_is_the_recent_one() {
        let first = recent();
        assert_eq!(recent(), first, "the clock is not read again");
        let second = now();
        assert!(second >= first);
        assert_eq!(recent(), second);
    }

    #[test]
    fn the_wall_clock_runs_along_and_is_asked_again() {
        let start = now();
        let at = wall(start);
        assert_eq!(wall(start + ANCHORED / 2), at + ANCHORED / 2);
        // Beyond, and before it, the clock itself is asked.
        for moment in [start + ANCHORED, start] {
            let asked = wall(moment);
            assert!(asked >= at && asked <= SystemTime::now(), "{asked:?}");
        }
    }
}
