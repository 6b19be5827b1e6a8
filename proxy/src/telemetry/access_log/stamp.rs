//! Times and numbers as text: RFC 3339 in UTC with microseconds, milliseconds with three digits.
//! It reads no clock.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Formats times; the part that changes once a second is kept.
#[derive(Debug, Default)]
pub struct Stamp {
    last: Cell<Option<(u64, [u8; 20])>>,
}

// === impl Stamp ===

impl Stamp {
    /// Writes `2026-01-02T03:04:05.678901Z`; a time before 1970 is 1970.
    pub fn push(&self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let text = match self.last.get() {
            Some((known, text)) if known == seconds => text,
            _ => {
                let text = to_the_second(seconds);
                self.last.set(Some((seconds, text)));
                text
            }
        };
        out.extend_from_slice(&text);
        push_padded(out, since.subsec_micros().into(), 6);
        out.push(b'Z');
    }
}

/// `2026-01-02T03:04:05.`
fn to_the_second(seconds: u64) -> [u8; 20] {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date in the proleptic Gregorian calendar, in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);

    let mut text = Vec::with_capacity(20);
    push_padded(&mut text, year.min(9999), 4);
    for (before, number) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        text.push(before);
        push_padded(&mut text, number, 2);
    }
    text.push(b'.');
    text.try_into().unwrap_or([b'0'; 20])
}

/// Writes milliseconds with three digits behind the point.
pub(super) fn push_milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    push_decimal(out, microseconds / 1000);
    out.push(b'.');
    push_padded(out, microseconds % 1000, 3);
}

/// Writes a number.
pub(in crate::telemetry) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(digit(number));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn push_padded(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    let start = out.len();
    for _ in 0..digits {
        out.push(digit(number));
        number /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn digit(number: u64) -> u8 {
    let digit = (number % 10) as u8;
    b'0' + digit
}
