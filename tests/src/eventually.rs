//! Waiting for something that happens soon, without guessing how soon.
//! It knows nothing of what is waited for.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it broken; far beyond what a slow machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `holds` is true; fails the test, saying `what`, when patience ends.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    eventually_some(what, || holds().then_some(()));
}

/// Asks again and again until there is a value.
#[track_caller]
pub fn eventually_some<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
