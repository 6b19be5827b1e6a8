//! What the access log said of the requests of the last seconds: rate, durations, shares.
//! It does not know where lines come from.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far it looks back. Long enough for shares of some percent, short enough to see a change.
const SPAN: Duration = Duration::from_secs(30);

/// The requests of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Window {
    seen: VecDeque<Seen>,
    begun: Option<Instant>,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) duration_ms: f64,
    pub(super) status: u64,
}

/// The figures of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// 0 to 1.
    pub(super) failed: f64,
    /// 0 to 1.
    pub(super) limited: f64,
}

// === impl Window ===

impl Window {
    pub(super) fn push(&mut self, seen: Seen) {
        self.begun.get_or_insert(seen.at);
        self.seen.push_back(seen);
        while self.seen.front().is_some_and(|first| seen.at.duration_since(first.at) > SPAN) {
            self.seen.pop_front();
        }
    }

    /// `None` before the first second is over: too early for a rate.
    pub(super) fn figures(&self, now: Instant) -> Option<Figures> {
        let span = now.duration_since(self.begun?).min(SPAN);
        let seen: Vec<_> = self.seen.iter().filter(|seen| now.duration_since(seen.at) <= SPAN).collect();
        if span < Duration::from_secs(1) || seen.is_empty() {
            return None;
        }
        let mut durations: Vec<_> = seen.iter().map(|seen| seen.duration_ms).collect();
        durations.sort_by(f64::total_cmp);
        let all = seen.len() as f64;
        let share = |matches: fn(u64) -> bool| seen.iter().filter(|seen| matches(seen.status)).count() as f64 / all;
        Some(Figures {
            per_second: all / span.as_secs_f64(),
            p50_ms: quantile(&durations, 50),
            p99_ms: quantile(&durations, 99),
            failed: share(|status| status >= 500),
            limited: share(|status| status == 429),
        })
    }
}

/// The smallest value that so many percent are not above (nearest rank).
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: Instant, duration_ms: f64, status: u64) -> Seen {
        Seen { at, duration_ms, status }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let hundred: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 50), 50.0);
        assert_eq!(quantile(&hundred, 99), 99.0);
        assert_eq!(quantile(&[7.0], 50), 7.0);
        assert_eq!(quantile(&[7.0, 9.0], 99), 9.0);
        assert_eq!(quantile(&[], 50), 0.0);
    }

    #[test]
    fn rates_and_shares_are_of_the_time_that_was_seen() {
        let begun = Instant::now();
        let mut window = Window::default();
        for number in 0..80_u64 {
            let status = match number {
                0 | 1 => 503,
                2 => 429,
                _ => 200,
            };
            window.push(seen(begun + Duration::from_millis(25 * number), 2.0, status));
        }
        let figures = window.figures(begun + Duration::from_secs(2)).unwrap();
        assert_eq!(figures, Figures { per_second: 40.0, p50_ms: 2.0, p99_ms: 2.0, failed: 0.025, limited: 0.0125 });
    }

    #[test]
    fn what_is_long_ago_counts_no_more() {
        let begun = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.figures(begun), None);
        window.push(seen(begun, 1000.0, 500));
        assert_eq!(window.figures(begun), None, "too early");
        let later = begun + SPAN + Duration::from_secs(5);
        window.push(seen(later, 1.0, 200));
        let figures = window.figures(later).unwrap();
        assert_eq!((figures.p99_ms, figures.failed), (1.0, 0.0));
    }
}
