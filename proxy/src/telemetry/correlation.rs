//! The correlation id of an exchange: taken from the client where it is harmless, else made.
//! It does not know who writes it where.

use std::fmt;
use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use rand::RngCore;

use crate::telemetry::record::Correlation;
use crate::telemetry::trace_context::hex_digits;

/// Looked at first.
pub const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Looked at next, and what an id of our own is sent as.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over, in bytes.
const MAX_LENGTH: usize = 128;
/// Of an id of our own, in bytes.
const LENGTH: usize = 36;

/// The id as the headers' value that it is sent as: made once, and shared by all that carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(HeaderValue);

// === impl Correlation ===

impl Correlation {
    /// The client's id, else a new one. A header whose id is not taken over is the one that gets the new id.
    pub fn begin(headers: &HeaderMap, now: SystemTime, random: &mut impl RngCore) -> Self {
        // One look at the names costs less than two look-ups.
        let (mut correlation, mut request) = (false, false);
        for name in headers.keys() {
            correlation |= name == X_CORRELATION_ID;
            request |= name == X_REQUEST_ID;
        }
        for (name, present) in [(X_CORRELATION_ID, correlation), (X_REQUEST_ID, request)] {
            let value = if present { headers.get(&name) } else { None };
            if let Some(id) = value.and_then(CorrelationId::taken_over) {
                return Self { id, header: name };
            }
        }
        let header = if correlation && !request { X_CORRELATION_ID } else { X_REQUEST_ID };
        Self { id: CorrelationId::new(now, random), header }
    }
}

// === impl CorrelationId ===

impl CorrelationId {
    /// The client's, where it is 1 to 128 of the characters that mean nothing in a log line, a URL's path or a shell's quotes.
    fn taken_over(value: &HeaderValue) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/=+@-".contains(byte);
        let id = value.as_bytes();
        ((1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(allowed)).then(|| {
            let mut value = value.clone();
            value.set_sensitive(false);
            Self(value)
        })
    }

    /// RFC 9562, section 5.7: milliseconds since the Unix epoch, then 74 random bits.
    fn new(now: SystemTime, random: &mut impl RngCore) -> Self {
        let milliseconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let random = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        let mut id = milliseconds << 80 | random & ((1 << 80) - 1);
        id = id & !(0xf << 76) | 0x7 << 76;
        id = id & !(0b11 << 62) | 0b10 << 62;
        let digits = hex_digits(id);
        let mut text = [b'-'; LENGTH];
        for (from, to) in [(0..8, 0..8), (8..12, 9..13), (12..16, 14..18), (16..20, 19..23), (20..32, 24..36)] {
            if let (Some(from), Some(to)) = (digits.get(from), text.get_mut(to)) {
                to.copy_from_slice(from);
            }
        }
        // Cannot fail: hexadecimal digits and dashes.
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// As a header's value, without a copy.
    pub fn to_value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// For whoever moves it out of a buffer.
    pub(super) fn value_mut(&mut self) -> &mut HeaderValue {
        &mut self.0
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Deref for CorrelationId {
    type Target = str;

    fn deref(&self) -> &str {
        // Always ASCII.
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&str> for CorrelationId {
    /// An id that somebody has looked at; one that no header can have is empty.
    fn from(id: &str) -> Self {
        Self(HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("")))
    }
}

#[cfg(test)]
mod tests;
