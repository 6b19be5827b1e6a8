//! SHA-256, of bytes and of whatever can be hashed.
//! It does not know what for.

use std::fmt;
use std::hash::Hasher;

use ring::digest::{Context, SHA256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) struct Digest([u8; Digest::LENGTH]);

/// A digest that is being made.
pub(super) struct Hashing(Context);

// === impl Digest ===

impl Digest {
    pub const LENGTH: usize = 32;

    /// Of these pieces, one behind the other.
    pub fn of(pieces: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        pieces.iter().for_each(|piece| context.update(piece));
        Self::from(context)
    }

    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<Context> for Digest {
    fn from(context: Context) -> Self {
        let mut bytes = [0; Self::LENGTH];
        // As long as that by definition; were it not, the rest would stay zero.
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }
}

/// In hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

// === impl Hashing ===

impl Hashing {
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds bytes in such a way that nothing can be moved from one call to the next.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub fn done(self) -> Digest {
        self.0.into()
    }
}

/// For what can only be hashed by the standard library's trait.
impl Hasher for Hashing {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bytes of the digest so far.
    fn finish(&self) -> u64 {
        let digest = Digest::from(self.0.clone());
        digest.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(&[]).to_string(), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(&[b"a", b"", b"bc"]).to_string(), abc);
    }

    #[test]
    fn nothing_moves_from_one_piece_to_the_next() {
        let of = |pieces: &[&[u8]]| {
            let mut hashing = Hashing::new();
            pieces.iter().for_each(|piece| hashing.bytes(piece));
            hashing.done()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
    }
}
