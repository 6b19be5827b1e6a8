//! Since when an output does not get out what it should, and why: noted by its own thread, read by whoever asks for the health.
//! It does not know what an output is. The lock is never held while one works.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::telemetry::access_log::Stamp;
use crate::telemetry::metrics::Counter;

/// How one output fares.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Count what is lost.
    lost: Vec<Counter>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// An attempt that has not ended.
    attempt: Option<Start>,
    /// The first of the attempts that failed without one in between that did not, and why the last of them did.
    failing: Option<(Start, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    at: SystemTime,
    /// What was lost before.
    lost: f64,
}

/// An output that does not work.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    since: SystemTime,
    cause: String,
    /// How much was lost since.
    pub lost: f64,
}

/// An attempt that takes longer is told like one that failed.
const HANGS: Duration = Duration::from_secs(5);

// === impl Watch ===

impl Watch {
    /// Nothing was tried yet. What is lost in an outage is what these count meanwhile.
    pub(super) fn new(lost: Vec<Counter>) -> Self {
        Self(Arc::new(Shared { lost, state: Mutex::default() }))
    }

    /// Something is tried.
    pub(super) fn begin(&self) {
        let start = self.start();
        self.state().attempt = Some(start);
    }

    /// It worked; whether it had not before.
    pub(super) fn succeed(&self) -> bool {
        std::mem::take(&mut *self.state()).failing.is_some()
    }

    /// It failed; whether it did not before.
    pub(super) fn fail(&self, cause: impl fmt::Display) -> bool {
        let now = self.start();
        let mut state = self.state();
        let begun = state.attempt.take();
        let before = state.failing.as_ref().map(|(since, _)| *since);
        state.failing = Some((before.or(begun).unwrap_or(now), cause.to_string()));
        before.is_none()
    }

    /// What is wrong now.
    pub(super) fn outage(&self) -> Option<Outage> {
        let lost = self.lost();
        let state = self.state();
        let (since, cause) = match (&state.failing, state.attempt) {
            (Some((since, cause)), _) => (*since, cause.clone()),
            (None, Some(begun)) if begun.at.elapsed().is_ok_and(|elapsed| elapsed > HANGS) => {
                (begun, "it hangs".to_owned())
            }
            (None, _) => return None,
        };
        Some(Outage { since: since.at, cause, lost: lost - since.lost })
    }

    fn start(&self) -> Start {
        Start { at: SystemTime::now(), lost: self.lost() }
    }

    fn lost(&self) -> f64 {
        self.0.lost.iter().map(Counter::get).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Outage ===

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut since = Vec::new();
        Stamp::default().push(self.since, &mut since);
        write!(f, "since {}: {}", String::from_utf8_lossy(&since), self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::metrics::catalogue::Catalogue;

    #[test]
    fn an_outage_lasts_from_the_first_failure_to_the_next_success() {
        let registry = Registry::new();
        let counts = crate::telemetry::counts(&registry, &Catalogue::new(&registry).unwrap());
        counts.write_failed.add(100);
        let watch = Watch::new(vec![counts.write_failed.clone()]);
        assert!(watch.outage().is_none());
        watch.begin();
        assert!(watch.outage().is_none(), "an attempt that has just begun is none");
        counts.write_failed.add(1);
        assert!(watch.fail("disk full"));
        let first = watch.outage().unwrap();
        watch.begin();
        counts.write_failed.add(2);
        assert!(!watch.fail("gone"));
        let later = watch.outage().unwrap();
        assert_eq!((first.lost, later.lost, later.since), (1.0, 3.0, first.since));
        assert!(later.to_string().ends_with("Z: gone"), "{later}");
        assert!(watch.succeed() && watch.outage().is_none() && !watch.succeed());
    }

    #[test]
    fn an_attempt_without_an_end_is_an_outage() {
        let watch = Watch::new(Vec::new());
        let begun = SystemTime::now() - HANGS - Duration::from_secs(1);
        watch.state().attempt = Some(Start { at: begun, lost: 0.0 });
        assert_eq!(watch.outage().unwrap().since, begun);
        assert!(watch.fail("timeout"));
        assert_eq!(watch.outage().unwrap().since, begun);
    }
}
