//! One file of the cache: a head that says what it is, and the compiled module.
//! It reads and writes no file.

use super::Digest;

/// The first bytes of every file, so that one of another kind is never taken for one of ours.
const MAGIC: &[u8; 16] = b"tidegate module\x01";
const ENDING: &str = ".compiled";

/// A compiled module that is whole, and the one that was asked for. There is no other way to one than the check.
pub(super) struct Verified<'a>(&'a [u8]);

// === impl Verified ===

impl<'a> Verified<'a> {
    /// Checks a file's content.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn new(content: &'a [u8], key: &Digest) -> Result<Self, &'static str> {
        let Some(rest) = content.strip_prefix(MAGIC) else { return Err("it is no compiled module") };
        let Some((its_key, rest)) = rest.split_first_chunk::<{ Digest::LENGTH }>() else {
            return Err("it is cut short");
        };
        let Some((its_digest, artifact)) = rest.split_first_chunk::<{ Digest::LENGTH }>() else {
            return Err("it is cut short");
        };
        if its_key != key.as_bytes() {
            return Err("it is of another module, or for another engine");
        }
        if its_digest != digest(key, artifact).as_bytes() {
            return Err("its content is not what was written");
        }
        Ok(Self(artifact))
    }

    pub const fn artifact(&self) -> &'a [u8] {
        self.0
    }
}

/// What stands before the module in its file.
pub(super) fn head(key: &Digest, artifact: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), key.as_bytes(), digest(key, artifact).as_bytes()].concat()
}

/// The name of the file.
pub(super) fn name(key: &Digest) -> String {
    format!("{key}{ENDING}")
}

/// Whether a file in the folder can be one of the cache: nothing else is ever removed.
pub(super) fn is_name(name: &str) -> bool {
    let digits = |text: &str| text.len() == 2 * Digest::LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.strip_suffix(ENDING).is_some_and(digits)
}

/// Covers the key too: a file under another's name is noticed before its content is looked at.
fn digest(key: &Digest, artifact: &[u8]) -> Digest {
    Digest::of(&[MAGIC, key.as_bytes(), artifact])
}
