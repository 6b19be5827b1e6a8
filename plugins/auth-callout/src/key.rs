//! The name under which an answer is remembered: a keyed hash (HMAC-SHA-256, RFC 2104) of what the service was asked with.
//! Credentials go in, and do not come out. It knows no store.

use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The key of the hash. Who does not know it cannot try credentials against names.
#[derive(Clone, Copy)]
pub struct Secret([u8; 32]);

/// A name that is being made.
pub struct Name {
    inner: Sha256,
    outer: [u8; BLOCK],
}

// === impl Secret ===

impl Secret {
    /// One that nobody knows, from the host's random numbers.
    pub fn new() -> Self {
        // The state is 128 bits of the host's random numbers; hashed once more, none of them can be told from the result.
        let seed = RandomState::new();
        let mut hash = Sha256::new();
        (0_u8..8).for_each(|part| hash.update(seed.hash_one(part).to_le_bytes()));
        Self(hash.finalize().into())
    }

    /// One that is known already.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// What [`Secret::from_bytes`] reads.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Begins a name.
    pub fn name(&self) -> Name {
        let pad = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(self.0).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let mut inner = Sha256::new();
        inner.update(pad(0x36));
        Name { inner, outer: pad(0x5c) }
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Name ===

impl Name {
    /// Adds a part. Parts do not run into each other: `ab`, `c` gives another name than `a`, `bc`.
    pub fn part(&mut self, part: &[u8]) -> &mut Self {
        self.inner.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.inner.update(part);
        self
    }

    /// The name.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.outer);
        hash.update(self.inner.finalize());
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn it_is_hmac_sha_256() {
        // RFC 4231, test case 1, with the key filled up to the length of ours: HMAC pads keys with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mut name = Secret::from_bytes(&key).unwrap().name();
        name.inner = {
            use sha2::Digest;
            let mut inner = name.inner.clone();
            inner.update(b"Hi There");
            inner
        };
        let hex: String = name.finish().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn names_differ_by_part_and_secret() {
        let secret = Secret::new();
        let name = |secret: Secret, parts: &[&str]| {
            let mut name = secret.name();
            parts.iter().for_each(|part| _ = name.part(part.as_bytes()));
            name.finish()
        };
        assert_eq!(name(secret, &["a", "b"]), name(secret, &["a", "b"]));
        assert_ne!(name(secret, &["ab", ""]), name(secret, &["a", "b"]));
        assert_ne!(name(secret, &["a"]), name(Secret::new(), &["a"]));
        assert_eq!(Secret::from_bytes(secret.as_bytes()).map(|again| name(again, &["a"])), Some(name(secret, &["a"])));
        assert!(Secret::from_bytes(b"short").is_none());
    }
}
