//! Times and sizes in a plugin's configuration, written as in the rest of it: `250ms`, `30s`, `64KiB`.
//! It knows no key.
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::units::{Size, Time};
//!
//! #[derive(Deserialize)]
//! struct Config { timeout: Time, limit: Size }
//!
//! let config: Config = serde_json::from_value(json!({ "timeout": "250ms", "limit": "64KiB" })).unwrap();
//! assert_eq!(Duration::from(config.timeout), Duration::from_millis(250));
//! assert_eq!(config.limit.bytes(), 65_536);
//! ```

use std::fmt::{self, Formatter};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A time: a whole number of `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A size: a whole number of `B`, `KB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB` or `GiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(usize);

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// The number that a text with one of these units stands for.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(known, _)| *known == unit.trim_start()).map(|(_, factor)| *factor)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads a text with a unit, and says what is wanted where there is something else: a number without one, most of all.
struct Quantity {
    what: &'static str,
    units: &'static [(&'static str, u64)],
}

const TIME: Quantity = Quantity { what: "time, as `250ms` or `30s`", units: &TIMES };
const SIZE: Quantity = Quantity { what: "size, as `64KiB`", units: &SIZES };

// === impl Quantity ===

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        read(text, self.units).ok_or_else(|| E::custom(format_args!("`{text}` is no {}", self.what)))
    }
}

// === impl Time ===

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TIME).map(|milliseconds| Self(Duration::from_millis(milliseconds)))
    }
}

// === impl Size ===

impl Size {
    /// A size of this many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_str(SIZE)?;
        let bytes = usize::try_from(bytes).map_err(|_| D::Error::custom(format_args!("{bytes} bytes are too many")))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{SIZES, TIMES, read};

    #[test]
    fn what_has_no_unit_or_a_wrong_one_is_refused() {
        assert_eq!(read("250ms", &TIMES), Some(250));
        assert_eq!(read("1 h", &TIMES), Some(3_600_000));
        assert_eq!(read("64KB", &SIZES), Some(64_000));
        for text in ["", "5", "ms", "1.5s", "-1s", "5d", "5S", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(read(text, &TIMES), None, "{text}");
        }
    }
}
