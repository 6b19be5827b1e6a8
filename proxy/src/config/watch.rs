//! Notices that files have changed, by their content.
//! It does not know what is in them, nor what happens then.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often files are read. Reading works where notifications do not: network file systems, symbolic links that are
/// swapped as a whole as Kubernetes does, files that are replaced by others.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches files. A file that is missing for a moment, while another takes its place, has not changed.
pub struct Watcher {
    files: Vec<PathBuf>,
    /// The content that was last reported, by file; `None` where it could not be read then.
    known: Vec<Option<u64>>,
    /// What was last seen and not yet reported: it must stay so for a second look, lest half a file be read.
    seen: Option<Vec<Option<u64>>>,
    interval: Interval,
}

// === impl Watcher ===

impl Watcher {
    /// Remembers the files as they are now. Must be called within a runtime.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let known = fingerprints(&files);
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files, known, seen: None, interval }
    }

    /// Waits until the content of any of the files is another than when it was last reported. Nothing is lost when the
    /// future is dropped.
    pub async fn changed(&mut self) {
        loop {
            self.interval.tick().await;
            let files = self.files.clone();
            // Files may lie on a disk that takes its time: the thread that serves the admin port does not wait for it.
            let Ok(found) = tokio::task::spawn_blocking(move || fingerprints(&files)).await else { continue };
            if self.notice(found) {
                return;
            }
        }
    }

    /// Whether this is a change to report.
    fn notice(&mut self, found: Vec<Option<u64>>) -> bool {
        let now: Vec<_> = found.into_iter().zip(&self.known).map(|(found, known)| found.or(*known)).collect();
        if now == self.known {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return false;
        }
        self.seen = None;
        self.known = now;
        true
    }
}

fn fingerprints(files: &[PathBuf]) -> Vec<Option<u64>> {
    files.iter().map(|file| fingerprint(file)).collect()
}

/// A hash of a file's content. Nobody gains by making two contents collide, so it need not be a cryptographic one.
fn fingerprint(file: &Path) -> Option<u64> {
    let content = std::fs::read(file).ok()?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests;
