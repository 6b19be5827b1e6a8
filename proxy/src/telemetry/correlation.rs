//! The correlation id of an exchange: taken from the client where it is harmless, else made.
//! It does not know who writes it where.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName};
use rand::RngCore;

use crate::telemetry::record::Correlation;
use crate::telemetry::trace_context::push_hex;

/// Looked at first.
pub const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Looked at next, and what an id of our own is sent as.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over, in bytes.
const MAX_LENGTH: usize = 128;

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
            if let Some(id) = value.and_then(|value| valid(value.as_bytes())) {
                return Self { id: id.into(), header: name };
            }
        }
        let header = if correlation && !request { X_CORRELATION_ID } else { X_REQUEST_ID };
        Self { id: uuid_v7(now, random), header }
    }
}

/// The id where it is 1 to 128 of the characters that mean nothing in a log line, a URL's path or a shell's quotes.
pub fn valid(id: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/=+@-".contains(byte);
    let text = std::str::from_utf8(id).ok()?;
    ((1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(allowed)).then_some(text)
}

/// RFC 9562, section 5.7: milliseconds since the Unix epoch, then 74 random bits.
fn uuid_v7(now: SystemTime, random: &mut impl RngCore) -> Box<str> {
    let milliseconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let random = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let mut id = milliseconds << 80 | random & ((1 << 80) - 1);
    id = id & !(0xf << 76) | 0x7 << 76;
    id = id & !(0b11 << 62) | 0b10 << 62;
    let mut text = Vec::with_capacity(36);
    for (shift, digits) in [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)] {
        if !text.is_empty() {
            text.push(b'-');
        }
        push_hex(&mut text, id >> shift, digits);
    }
    String::from_utf8(text).unwrap_or_default().into_boxed_str()
}

#[cfg(test)]
mod tests;
