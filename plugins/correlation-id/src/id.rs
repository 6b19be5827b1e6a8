//! Ids: which are valid, and how new ones are made. Pure, but for the seed.
//! It does not know where an id comes from.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
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

/// An id that was made. It needs no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// ASCII; what is not used is 0.
    bytes: [u8; Id::LONGEST],
    length: usize,
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
    pub fn make(&mut self, now: SystemTime) -> Id {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let random = u128::from(self.random()) << 64 | u128::from(self.random());
        self.format.write(millis, random)
    }

    /// 64 bits: a keyed hash (SipHash) of a number that never comes twice. They need to be unique, and hard to guess; they are
    /// no secrets.
    fn random(&mut self) -> u64 {
        self.made += 1;
        self.seed.hash_one(self.made)
    }
}

// === impl Format ===

impl Format {
    /// The id with this time in milliseconds (48 bits count) and these random bits.
    fn write(self, millis: u128, random: u128) -> Id {
        const RANDOM_80: u128 = (1 << 80) - 1;
        let timed = (millis << 80) | (random & RANDOM_80);
        match self {
            Self::UuidV7 => Id::uuid(timed, 7),
            Self::UuidV4 => Id::uuid(random, 4),
            Self::Ulid => Id::crockford(timed),
            Self::Hex => Id::hex(random),
        }
    }
}

// === impl Id ===

impl Id {
    const LONGEST: usize = 36;

    /// A UUID of these bits, but for its version and its variant.
    fn uuid(bits: u128, version: u128) -> Self {
        let bits = bits & !(0xf << 76) & !(0b11 << 62) | version << 76 | 0b10 << 62;
        let mut bytes = [b'-'; Self::LONGEST];
        let bits = bits.to_be_bytes();
        write_hex(&bits[..4], &mut bytes[..8]);
        write_hex(&bits[4..6], &mut bytes[9..13]);
        write_hex(&bits[6..8], &mut bytes[14..18]);
        write_hex(&bits[8..10], &mut bytes[19..23]);
        write_hex(&bits[10..], &mut bytes[24..]);
        Self { bytes, length: Self::LONGEST }
    }

    fn hex(bits: u128) -> Self {
        let mut bytes = [0; Self::LONGEST];
        write_hex(&bits.to_be_bytes(), &mut bytes[..32]);
        Self { bytes, length: 32 }
    }

    /// 128 bits in 26 characters, most significant first.
    fn crockford(bits: u128) -> Self {
        let mut bytes = [0; Self::LONGEST];
        for (place, letter) in bytes[..26].iter_mut().rev().enumerate() {
            let five = u8::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            *letter = digit(five, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ");
        }
        Self { bytes, length: 26 }
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        self.bytes.get(..self.length).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }
}

impl PartialEq<&str> for Id {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

/// Writes two hexadecimal digits for each byte.
fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4, b"0123456789abcdef"), digit(byte & 15, b"0123456789abcdef"));
        }
    }
}

/// The digit for this number, which is below their count.
fn digit(number: u8, digits: &[u8]) -> u8 {
    digits.get(usize::from(number)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests;
