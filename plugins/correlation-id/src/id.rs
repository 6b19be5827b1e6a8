//! Ids: which are valid, and how new ones are made. Pure, but for the seed.
//! It does not know where an id comes from.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_sdk::prelude::*;

/// Longest id that is taken from a request.
const LONGEST: usize = 128;

/// How a new id looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By time (RFC 9562, 5.7): `0198c2a4-…`, sorts by when it was made.
    #[default]
    UuidV7,
    /// By chance (RFC 9562, 5.4).
    UuidV4,
    /// By time, in 26 letters and digits (Crockford's base 32).
    Ulid,
    /// By chance, 32 hexadecimal digits.
    Hex,
}

/// Makes ids.
#[derive(Debug)]
pub struct Maker {
    format: Format,
    /// Its keys are the host's random numbers, other ones in each instance.
    seed: RandomState,
    made: u64,
}

/// The id that these bytes are: 1 to 128 letters, digits and `-._~+/=:@`.
pub fn valid(bytes: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    let fits = !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(plain);
    fits.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

// === impl Maker ===

impl Maker {
    /// Makes ids of this format.
    pub fn new(format: Format) -> Self {
        Self { format, seed: RandomState::new(), made: 0 }
    }

    /// A new id for an exchange that began at `now`.
    pub fn make(&mut self, now: SystemTime) -> String {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.format.write(millis, self.random())
    }

    /// 128 bits: a keyed hash (SipHash) of a number that never comes twice. They need to be unique, and hard to guess; they are
    /// no secrets.
    fn random(&mut self) -> u128 {
        self.made += 1;
        let half = |part: u8| u128::from(self.seed.hash_one((self.made, part)));
        half(0) << 64 | half(1)
    }
}

// === impl Format ===

impl Format {
    /// The id with this time in milliseconds (48 bits count) and these random bits.
    fn write(self, millis: u128, random: u128) -> String {
        const RANDOM_80: u128 = (1 << 80) - 1;
        let timed = (millis << 80) | (random & RANDOM_80);
        match self {
            Self::UuidV7 => uuid(timed, 7),
            Self::UuidV4 => uuid(random, 4),
            Self::Ulid => crockford(timed),
            Self::Hex => format!("{random:032x}"),
        }
    }
}

/// A UUID of these bits, but for its version and its variant.
fn uuid(bits: u128, version: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | version << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    let mut from = 0;
    for to in [8, 12, 16, 20, 32] {
        if from > 0 {
            id.push('-');
        }
        id.push_str(hex.get(from..to).unwrap_or_default());
        from = to;
    }
    id
}

/// 128 bits in 26 characters, most significant first.
fn crockford(bits: u128) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut id = String::with_capacity(26);
    for place in (0..26).rev() {
        let digit = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
        // The index is below 32.
        id.push(ALPHABET.get(digit).map_or('0', |&letter| char::from(letter)));
    }
    id
}

#[cfg(test)]
mod tests;
