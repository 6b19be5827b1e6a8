//! Times and numbers as text: RFC 3339 in UTC with microseconds, milliseconds with three digits.
//! It reads no clock.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of the largest 64-bit number.
const MAX_DIGITS: usize = 20;

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
        push_padded::<6>(out, since.subsec_micros().into());
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
    push_padded::<4>(&mut text, year.min(9999));
    for (before, number) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        text.push(before);
        push_padded::<2>(&mut text, number);
    }
    text.push(b'.');
    text.try_into().unwrap_or([b'0'; 20])
}

/// Writes milliseconds with three digits behind the point.
pub(super) fn push_milliseconds(out: &mut Vec<u8>, duration: Duration) {
    push_decimal(out, duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis().into()));
    out.push(b'.');
    push_padded::<3>(out, duration.subsec_micros().into());
}

/// Writes a number.
pub(in crate::telemetry) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        // Many are: octets of addresses, sizes of no body, attempts.
        out.push(b'0' + (number % 10) as u8);
        return;
    }
    let mut text = [0; MAX_DIGITS];
    let mut start = MAX_DIGITS;
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}

/// Writes the lowest digits of a number, so many of them.
fn push_padded<const DIGITS: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; DIGITS];
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}
