//! Values with a unit: durations, sizes, rates.
//! It does not know what is measured.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

use super::Syntax;

/// A duration longer than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time(pub Duration);

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size(pub u64);

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    pub count: NonZeroU32,
    pub per: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    Second,
    Minute,
    Hour,
}

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
/// A year: whatever waits longer was not meant.
const LONGEST: u64 = 366 * 24 * 3_600_000;

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
const LARGEST: u64 = 1 << 40;

/// One a nanosecond: governor counts in nanoseconds.
const MOST: u32 = 1_000_000_000;

// === impl Time ===

impl Syntax for Time {
    const FORMAT: &'static str = "duration";
    const ALLOWED: &'static str = "a duration, as `100ms` or `10m`";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        if unit.is_empty() && !number.is_empty() {
            return Err(format!("a duration has a unit; did you mean `{number}s`?"));
        }
        let (Ok(number), Some(&(_, factor))) = (number.parse::<u64>(), TIMES.iter().find(|(name, _)| *name == unit))
        else {
            return Err(match spelled_out(unit).filter(|_| !number.is_empty()) {
                Some(unit) => format!("did you mean `{number}{unit}`?"),
                None => "write a whole number and `ms`, `s`, `m` or `h`, as `100ms` or `10m`".to_owned(),
            });
        };
        match number.checked_mul(factor) {
            Some(0) => Err("it must be longer than zero".to_owned()),
            Some(all) if all <= LONGEST => Ok(Self(Duration::from_millis(all))),
            Some(_) | None => Err("it must be shorter than a year".to_owned()),
        }
    }

    fn show(&self) -> String {
        let all = u64::try_from(self.0.as_millis()).unwrap_or(LONGEST);
        let (unit, factor) =
            TIMES.into_iter().rev().find(|(_, factor)| all.is_multiple_of(*factor)).unwrap_or(("ms", 1));
        format!("{}{unit}", all / factor)
    }
}

// === impl Size ===

impl Syntax for Size {
    const FORMAT: &'static str = "size";
    const ALLOWED: &'static str = "a size, as `32KiB` or `64KB`";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        if unit.is_empty() && !number.is_empty() {
            return Err(format!("a size has a unit; did you mean `{number}B` or `{number}KiB`?"));
        }
        if let Some((name, _)) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit) && *name != unit) {
            return Err(format!("did you mean `{number}{name}`?"));
        }
        let (Ok(number), Some(&(_, factor))) = (number.parse::<u64>(), SIZES.iter().find(|(name, _)| *name == unit))
        else {
            return Err("write a whole number and `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, as `32KiB`".to_owned());
        };
        match number.checked_mul(factor) {
            Some(0) => Err("it must be at least one byte".to_owned()),
            Some(all) if all <= LARGEST => Ok(Self(all)),
            Some(_) | None => Err("it must be at most 1024GiB".to_owned()),
        }
    }

    fn show(&self) -> String {
        let fits = |&(_, factor): &(&str, u64)| self.0 >= factor && self.0.is_multiple_of(factor);
        let (unit, factor) = SIZES.into_iter().filter(fits).max_by_key(|(_, factor)| *factor).unwrap_or(("B", 1));
        format!("{}{unit}", self.0 / factor)
    }
}

impl Size {
    /// For lengths in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

// === impl Rate ===

impl Syntax for Rate {
    const FORMAT: &'static str = "rate";
    const ALLOWED: &'static str = "a rate, as `100/s` or `10/m`";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        if unit.is_empty() && !number.is_empty() {
            return Err(format!("a rate has a period; did you mean `{number}/s`?"));
        }
        let per = match unit {
            "/s" => Some(Period::Second),
            "/m" => Some(Period::Minute),
            "/h" => Some(Period::Hour),
            _ => None,
        };
        let (Ok(count), Some(per)) = (number.parse::<u32>(), per) else {
            return Err(match unit.strip_prefix('/').and_then(spelled_out).filter(|unit| *unit != "ms") {
                Some(unit) if !number.is_empty() => format!("did you mean `{number}/{unit}`?"),
                _ => "write a whole number and `/s`, `/m` or `/h`, as `100/s`".to_owned(),
            });
        };
        let count = NonZeroU32::new(count).filter(|count| count.get() <= MOST).ok_or("it must be 1 to 1000000000")?;
        Ok(Self { count, per })
    }

    fn show(&self) -> String {
        let per = match self.per {
            Period::Second => "s",
            Period::Minute => "m",
            Period::Hour => "h",
        };
        format!("{}/{per}", self.count)
    }
}

impl Rate {
    /// With a burst as large as the rate where none is given.
    pub fn quota(self, burst: Option<NonZeroU32>) -> Quota {
        let quota = match self.per {
            Period::Second => Quota::per_second(self.count),
            Period::Minute => Quota::per_minute(self.count),
            Period::Hour => Quota::per_hour(self.count),
        };
        quota.allow_burst(burst.unwrap_or(self.count))
    }
}

/// The digits at the start, and what follows them.
/// The unit of time that is meant by one in other words.
fn spelled_out(unit: &str) -> Option<&'static str> {
    match unit {
        "msec" | "millis" | "milliseconds" => Some("ms"),
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hr" | "hour" | "hours" => Some("h"),
        _ => None,
    }
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::Quota;

    use super::{Rate, Size, Time};
    use crate::config::syntax::Syntax;

    #[test]
    fn a_unit_in_other_words_is_understood_in_the_error() {
        assert_eq!(Time::parse("30sec").unwrap_err(), "did you mean `30s`?");
        assert_eq!(
            Time::parse("5 min").unwrap_err(),
            "write a whole number and `ms`, `s`, `m` or `h`, as `100ms` or `10m`"
        );
        assert_eq!(Rate::parse("100/sec").unwrap_err(), "did you mean `100/s`?");
        assert!(Rate::parse("100/msec").unwrap_err().starts_with("write a whole number"));
    }

    #[test]
    fn values_are_read_and_written_alike() {
        for (text, milliseconds) in
            [("100ms", 100), ("1s", 1_000), ("90s", 90_000), ("10m", 600_000), ("1h", 3_600_000)]
        {
            let time = Time::parse(text).unwrap();
            assert_eq!(time, Time(Duration::from_millis(milliseconds)));
            assert_eq!(time.show(), text);
        }
        for (text, bytes) in [("1B", 1), ("32KiB", 32 << 10), ("1MiB", 1 << 20), ("64KB", 64_000), ("2GiB", 2 << 30)] {
            let size = Size::parse(text).unwrap();
            assert_eq!(size, Size(bytes));
            assert_eq!(Size::parse(&size.show()), Ok(size), "{text}");
        }
        for text in ["100/s", "10/m", "5/h"] {
            assert_eq!(Rate::parse(text).unwrap().show(), text);
        }
    }

    #[test]
    fn a_rate_is_a_quota() {
        let hundred = NonZeroU32::new(100).unwrap();
        let rate = Rate::parse("100/m").unwrap();
        assert_eq!(rate.quota(None), Quota::per_minute(hundred));
        let burst = NonZeroU32::new(7).unwrap();
        assert_eq!(rate.quota(Some(burst)), Quota::per_minute(hundred).allow_burst(burst));
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        assert!(Time::parse("30").unwrap_err().contains("`30s`"));
        assert!(Size::parse("32kib").unwrap_err().contains("`32KiB`"));
        assert!(Size::parse("64").unwrap_err().contains("`64B`"));
        assert!(Rate::parse("100").unwrap_err().contains("`100/s`"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "s", "-1s", "1.5s", "1 s", "0s", "1d", "99999999999999999999s", "18446744073709551615h", "9999999h"]
        {
            assert!(Time::parse(text).is_err(), "{text}");
        }
        for text in ["", "KiB", "0B", "-1B", "1Ki", "18446744073709551615GiB", "1025GiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
        for text in ["", "/s", "0/s", "1/d", "1 / s", "4294967296/s", "-1/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
