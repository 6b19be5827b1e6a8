//! The folder of the cache: who may write to it, how files come and go, and how much of the disk they take.
//! It does not know what stands in the files.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::entry;

/// Bytes that all files together may take. A compiled module has some three times the size of its source.
const MOST: u64 = 256 * 1024 * 1024;
/// What another process left half-written is removed when it is as old as this.
const ABANDONED: Duration = Duration::from_secs(3600);
/// The ending of a file that is being written.
const NEW: &str = ".new";

/// A folder that only this user, and root, can write to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    most: u64,
}

/// What is under a name.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    File(Vec<u8>),
    /// Something that is not to be trusted, and why.
    Refused(&'static str),
}

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot make or read the folder `{path}`: {source}")]
    Unusable { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` {why}: machine code that others could have written is not run; it must belong to the user that runs this, with mode 0700"
    )]
    Untrusted { path: PathBuf, why: &'static str },
}

// === impl Folder ===

impl Folder {
    /// The folder at `path`; made, for this user alone, where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or others can write to it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let metadata = fs::metadata(path).map_err(unusable)?;
        match refusal(&metadata) {
            Some(why) => Err(FolderError::Untrusted { path: path.to_owned(), why }),
            None => Ok(Self { path: path.to_owned(), most: MOST }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// With another limit of the bytes.
    #[cfg(test)]
    pub fn with_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Reads a file as a whole, so that nobody can change it afterwards.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Found> {
        // Not to follow a link, and not to wait for the other end of a pipe.
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(self.path.join(name));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Ok(Found::Refused("it is a link"));
            }
            Err(error) => return Err(error),
        };
        // Of what was opened, not of what has the name by now.
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Found::Refused("it is no file"));
        }
        if let Some(why) = refusal(&metadata) {
            return Ok(Found::Refused(why));
        }
        if metadata.len() > self.most {
            return Ok(Found::Refused("it is too large"));
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        (&file).take(self.most).read_to_end(&mut content)?;
        // The oldest go first, so what is used is made young. Where that is not possible, it is compiled again some day.
        let _ = file.set_modified(SystemTime::now());
        Ok(Found::File(content))
    }

    /// Writes a file; it appears whole or not at all, and replaces what had the name. Then the oldest files go until all fit. What is
    /// larger than all may be is not written.
    ///
    /// Nothing is flushed to the disk: a file that a crash of the machine has cut short is noticed when it is read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        if size as u64 > self.most {
            return Ok(());
        }
        let new = self.path.join(new_name(name));
        let written = self.write_new(&new, pieces).and_then(|()| fs::rename(&new, self.path.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written?;
        self.sweep(name)
    }

    fn write_new(&self, path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        pieces.iter().try_for_each(|piece| file.write_all(piece))
    }

    /// Removes the oldest files, but never `kept`, until the rest is small enough. Files that are not the cache's are left alone.
    fn sweep(&self, kept: &str) -> io::Result<()> {
        let now = SystemTime::now();
        let mut files = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            let (Some(name), Ok(metadata)) = (file.file_name().to_str().map(str::to_owned), file.metadata()) else {
                continue;
            };
            let modified = metadata.modified().unwrap_or(now);
            if entry::is_name(&name) {
                files.push((modified, metadata.len(), name));
            } else if is_new_name(&name) && now.duration_since(modified).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(file.path());
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in files {
            if total <= self.most {
                break;
            }
            // Another process may have removed it already.
            if name != kept {
                let _ = fs::remove_file(self.path.join(name));
                total -= size;
            }
        }
        Ok(())
    }
}

/// Why what this is of cannot be trusted, if so.
fn refusal(metadata: &Metadata) -> Option<&'static str> {
    const OTHERS_WRITE: u32 = 0o022;
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() && owner != 0 {
        return Some("belongs to another user");
    }
    (metadata.mode() & OTHERS_WRITE != 0).then_some("can be written to by others")
}

/// A name that no other thread or process has.
fn new_name(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}.{}-{}{NEW}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_new_name(name: &str) -> bool {
    let whole = name.strip_suffix(NEW).and_then(|name| name.rsplit_once('.'));
    whole.is_some_and(|(entry, _)| entry::is_name(entry))
}
