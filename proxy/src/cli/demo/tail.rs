//! The temporary file that the proxy writes its access log to, and what is new in it.
//! It does not know what a line says.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Beyond this many bytes the file is emptied, so that a demo that is forgotten does not fill the disk.
const LARGEST: u64 = 4 << 20;

/// A file of its own in a directory of its own; both go when it is dropped.
#[derive(Debug)]
pub(super) struct LogFile {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    read: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

// === impl LogFile ===

impl LogFile {
    pub(super) fn create() -> io::Result<Self> {
        let name = format!("tidegate-demo-{}-{:08x}", std::process::id(), SmallRng::from_os_rng().random::<u32>());
        let directory = std::env::temp_dir().join(name);
        // Fails where it exists, and nobody else may look into it.
        DirBuilder::new().mode(0o700).create(&directory)?;
        let path = directory.join("access.log");
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = opened.inspect_err(|_| drop(std::fs::remove_dir(&directory)))?;
        Ok(Self { directory, path, file, read: 0, partial: Vec::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The lines that were finished since the last call.
    pub(super) fn lines(&mut self) -> io::Result<Vec<String>> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        self.file.read_to_end(&mut new)?;
        self.read += new.len() as u64;
        if self.read > LARGEST && self.partial.is_empty() && new.ends_with(b"\n") {
            // The proxy appends, so its next line is the first again.
            self.file.set_len(0)?;
            self.read = 0;
        }
        Ok(finished(&mut self.partial, &new))
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Splits off whole lines; what is left stays in `partial`.
fn finished(partial: &mut Vec<u8>, new: &[u8]) -> Vec<String> {
    partial.extend_from_slice(new);
    let end = partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = partial.split_off(end);
    let whole = std::mem::replace(partial, rest);
    String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn append(log: &LogFile, text: &[u8]) {
        OpenOptions::new().append(true).open(log.path()).unwrap().write_all(text).unwrap();
    }

    #[test]
    fn gives_each_line_once_and_whole() {
        let mut log = LogFile::create().unwrap();
        assert!(log.lines().unwrap().is_empty());
        append(&log, b"one\ntwo\nthr");
        assert_eq!(log.lines().unwrap(), ["one", "two"]);
        append(&log, b"ee");
        assert!(log.lines().unwrap().is_empty());
        append(&log, b"\n");
        assert_eq!(log.lines().unwrap(), ["three"]);
    }

    #[test]
    fn goes_on_after_the_file_was_emptied() {
        let mut log = LogFile::create().unwrap();
        let mut much = vec![b'x'; usize::try_from(LARGEST).unwrap()];
        much.push(b'\n');
        append(&log, &much);
        assert_eq!(log.lines().unwrap().len(), 1);
        assert_eq!(std::fs::metadata(log.path()).unwrap().len(), 0);
        append(&log, b"next\n");
        assert_eq!(log.lines().unwrap(), ["next"]);
    }

    #[test]
    fn leaves_nothing_behind() {
        let log = LogFile::create().unwrap();
        let directory = log.directory.clone();
        drop(log);
        assert!(!directory.exists());
    }
}
