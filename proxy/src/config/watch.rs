//! Notices that files have changed, by their content.
//! It does not know what is in them, nor what happens then.

use std::collections::hash_map::DefaultHasher;
use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Loaded;

/// How often files are read. Reading works where notifications do not: network file systems, symbolic links that are
/// swapped as a whole as Kubernetes does, files that are replaced by others.
const INTERVAL: Duration = Duration::from_millis(500);
/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// Watches files. A file that is missing for a moment, while another takes its place, has not changed.
pub struct Watcher {
    files: Vec<PathBuf>,
    /// The content that was last reported, by file; `None` where it could not be read then.
    known: Vec<Option<u64>>,
    /// What was last seen and not yet reported: it must stay so for a second look, lest half a file be read.
    seen: Option<Vec<Option<u64>>>,
    interval: Interval,
    /// A look that is under way; kept here, so that it is not lost with a future that is dropped.
    reading: Option<JoinHandle<Vec<Option<u64>>>>,
}

// === impl Watcher ===

impl Watcher {
    /// Watches the files of a configuration from the moment it was loaded: a change that came while its plugins were
    /// being compiled is reported. Must be called within a runtime.
    pub fn of(loaded: &Loaded) -> Self {
        Self::with(loaded.files.clone(), loaded.fingerprints.clone())
    }

    /// Remembers the files as they are now. Must be called within a runtime.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let known = fingerprints(&files);
        Self::with(files, known)
    }

    fn with(files: Vec<PathBuf>, known: Vec<Option<u64>>) -> Self {
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files, known, seen: None, interval, reading: None }
    }

    /// Waits until the content of any of the files is another than when it was last reported. Nothing is lost when the
    /// future is dropped.
    pub async fn changed(&mut self) {
        loop {
            if self.reading.is_none() {
                self.interval.tick().await;
            }
            // Files may lie on a disk that takes its time: the thread that serves the admin port does not wait for it.
            let files = &self.files;
            let reading = self.reading.get_or_insert_with(|| {
                let files = files.clone();
                spawn_blocking(move || fingerprints(&files))
            });
            let found = reading.await;
            self.reading = None;
            if found.is_ok_and(|found| self.notice(&found)) {
                return;
            }
        }
    }

    /// Whether this is a change to report.
    fn notice(&mut self, found: &[Option<u64>]) -> bool {
        let now: Vec<_> = found.iter().zip(&self.known).map(|(found, known)| found.or(*known)).collect();
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

/// The content of files, in short; `None` for one that cannot be read.
pub(super) fn fingerprints(files: &[PathBuf]) -> Vec<Option<u64>> {
    files.iter().map(|file| fingerprint(file)).collect()
}

fn fingerprint(file: &Path) -> Option<u64> {
    digest(open(file).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))?).ok()
}

/// Does not wait for the other end of a pipe: that would be the end of all reloads.
fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(file)
}

/// A hash of a file's content. Nobody gains by making two contents collide, so it need not be a cryptographic one.
pub(super) fn hash(content: &[u8]) -> u64 {
    // Reading from memory does not fail.
    digest(content).unwrap_or_default()
}

/// Hashes what is read, piece by piece: a file may be far larger than what is worth loading.
fn digest(mut content: impl Read) -> io::Result<u64> {
    let (mut hasher, mut piece) = (DefaultHasher::new(), vec![0; PIECE]);
    loop {
        let mut filled = 0;
        while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match content.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return Ok(hasher.finish());
        }
        piece.get(..filled).unwrap_or_default().hash(&mut hasher);
    }
}

#[cfg(test)]
mod tests;
