//! When a plugin that keeps failing may be tried again.
//! Pure: it is told the time, and knows nothing of why the plugin failed.

use std::time::{Duration, Instant};

/// So many faults within [`WINDOW`] put a plugin into quarantine.
const FAULTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The recent faults of one instance, and the quarantine they led to.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    recent: Vec<Instant>,
    until: Option<Instant>,
    /// How long the last quarantine was; doubles until a whole [`WINDOW`] passed without a fault.
    last: Option<Duration>,
}

impl Quarantine {
    /// Notes a fault. Returns how long the plugin now rests, when it was one too many.
    pub fn fault(&mut self, now: Instant) -> Option<Duration> {
        if self.recent.last().is_none_or(|&last| now.duration_since(last) > WINDOW) {
            self.last = None;
        }
        self.recent.retain(|&fault| now.duration_since(fault) <= WINDOW);
        self.recent.push(now);
        // After a quarantine one more fault is enough.
        if self.last.is_none() && self.recent.len() < FAULTS {
            return None;
        }
        let rest = self.last.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.recent = vec![now];
        self.last = Some(rest);
        self.until = Some(now + rest);
        Some(rest)
    }

    /// Whether the plugin is shut out now. Ends the quarantine when its time is over.
    pub fn rests(&mut self, now: impl FnOnce() -> Instant) -> bool {
        match self.until {
            None => false,
            Some(until) if now() < until => true,
            Some(_) => {
                self.until = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_longer_each_time_and_forgets_after_a_good_minute() {
        let mut quarantine = Quarantine::default();
        let mut now = Instant::now();
        for _ in 0..FAULTS - 1 {
            assert_eq!(quarantine.fault(now), None);
        }
        let mut rests = Vec::new();
        for _ in 0..8 {
            let rest = quarantine.fault(now).unwrap();
            assert!(quarantine.rests(|| now));
            now += rest;
            assert!(!quarantine.rests(|| now));
            rests.push(rest.as_secs());
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += WINDOW * 2;
        assert_eq!(quarantine.fault(now), None, "a good minute makes up for it");
    }

    #[test]
    fn rare_faults_do_not_add_up() {
        let mut quarantine = Quarantine::default();
        let start = Instant::now();
        for fault in 0..20 {
            assert_eq!(quarantine.fault(start + WINDOW / 2 * fault), None);
        }
    }
}
