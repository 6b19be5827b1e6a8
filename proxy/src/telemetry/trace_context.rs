//! Trace and span ids, and the headers that carry them: W3C trace context, and B3 where the caller speaks it.
//! It decides nothing about sampling.
//!
//! Bad input is never an error: it begins a new trace. Baggage is not touched and so goes through.
//! <https://www.w3.org/TR/trace-context-2/>

use std::num::NonZeroU64;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::b3;

/// Eight bytes that are not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub u64);

/// Where an exchange stands in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    /// The exchange's own (server) span.
    pub span: SpanId,
    /// The caller's span, where there was a valid one.
    pub parent: Option<SpanId>,
    /// The decision at the head of the exchange; the outcome may still add the trace.
    pub sampled: bool,
    /// Whether the trace id is known to be random (level 2 of the specification).
    pub random: bool,
    /// `tracestate`, handed on as received.
    pub state: Option<HeaderValue>,
    /// Which form of B3 the request came with, and so goes on with.
    pub b3: Option<b3::Form>,
}

/// What the request's headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// `None` begins a new trace.
    pub caller: Option<Caller>,
    /// The caller's decision about sampling, where it made one. B3 can carry one without a trace.
    pub decision: Option<bool>,
    /// Which form of B3 was there, valid or not.
    pub b3: Option<b3::Form>,
}

/// The span that sent the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub trace_id: u128,
    pub span: SpanId,
    pub random: bool,
    pub state: Option<HeaderValue>,
}

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;
/// `00-` trace id `-` span id `-` flags.
const LENGTH: usize = 55;
/// More members than this, and the state is not handed on (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;

// === impl SpanId ===

impl SpanId {
    /// All 16, in lower case.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(super) fn digits(self) -> [u8; 16] {
        let mut text = [0; 16];
        let halves = [(self.0 >> 32) as u32, self.0 as u32];
        text.as_chunks_mut().0.iter_mut().zip(halves).for_each(|(digits, half)| *digits = eight_digits(half));
        text
    }
}

/// Reads the caller's trace. W3C wins over B3 where both are valid.
pub fn extract(headers: &HeaderMap) -> Incoming {
    // One look at the names costs less than looking up all that there could be.
    let traced = |name: &HeaderName| name == TRACEPARENT || b3::is_ours(name);
    if !headers.keys().any(traced) {
        return Incoming::default();
    }
    let b3 = b3::form(headers);
    if let Some((trace_id, span, flags)) = parent(headers) {
        let caller = Caller { trace_id, span, random: flags & RANDOM != 0, state: state(headers) };
        return Incoming { caller: Some(caller), decision: Some(flags & SAMPLED != 0), b3 };
    }
    let Some(form) = b3 else { return Incoming::default() };
    let b3::Read { ids, decision } = b3::extract(form, headers);
    let caller = ids.map(|(trace_id, span)| Caller { trace_id, span, random: false, state: None });
    Incoming { caller, decision, b3 }
}

/// Writes the context for an upstream whose parent is `span`: W3C always, B3 in the form that the request had.
pub fn inject(context: &TraceContext, span: SpanId, headers: &mut HeaderMap) {
    let mut text = Vec::with_capacity(LENGTH);
    text.extend_from_slice(b"00-");
    text.extend_from_slice(&hex_digits(context.trace_id));
    text.push(b'-');
    text.extend_from_slice(&span.digits());
    let flags = if context.sampled { SAMPLED } else { 0 } | if context.random { RANDOM } else { 0 };
    text.extend_from_slice(&[b'-', b'0', b'0' + flags]);
    // Cannot fail: hexadecimal digits and dashes.
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
        headers.insert(TRACEPARENT, value);
    }
    match &context.state {
        Some(state) => _ = headers.insert(TRACESTATE, state.clone()),
        // One look at the names costs less than a look-up.
        None if headers.keys().any(|name| name == TRACESTATE) => _ = headers.remove(TRACESTATE),
        None => {}
    }
    if let Some(form) = context.b3 {
        b3::inject(form, context, span, headers);
    }
}

/// The one `traceparent`, where there is exactly one and it is valid: trace id, span and flags.
fn parent(headers: &HeaderMap) -> Option<(u128, SpanId, u8)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let value = value.as_bytes().trim_ascii();
    let version = hex(value.get(..2)?)?;
    match (version, value.get(LENGTH)) {
        (0xff, _) => return None,
        (0, Some(_)) => return None,
        // A later version may say more behind another dash.
        (_, Some(next)) if *next != b'-' => return None,
        _ => {}
    }
    let dash = |at: usize| value.get(at).filter(|byte| **byte == b'-');
    dash(2).and(dash(35)).and(dash(52))?;
    let trace_id = hex(value.get(3..35)?).filter(|id| *id != 0)?;
    let span = span_id(value.get(36..52)?)?;
    let flags = u8::try_from(hex(value.get(53..LENGTH)?)?).ok()?;
    // Only bit 0 means the same in every later version.
    let flags = if version == 0 { flags } else { flags & SAMPLED };
    Some((trace_id, span, flags))
}

/// All of `tracestate`, in order; `None` where there is none or any of it is not valid.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let first = values.next()?;
    let mut members = 0;
    let mut check = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').all(|member| {
            let member = member.trim_ascii();
            members += usize::from(!member.is_empty());
            member.is_empty() || is_member(member)
        })
    };
    let mut valid = check(first);
    let mut joined = Vec::new();
    for value in values {
        valid = valid && check(value);
        if joined.is_empty() {
            joined.extend_from_slice(first.as_bytes());
        }
        joined.push(b',');
        joined.extend_from_slice(value.as_bytes());
    }
    if !valid || !(1..=MAX_MEMBERS).contains(&members) {
        return None;
    }
    if joined.is_empty() { Some(first.clone()) } else { HeaderValue::from_bytes(&joined).ok() }
}

/// Whether it is `key=value` by section 3.3.1.3.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|byte| *byte == b'=') else { return false };
    let (key, value) = member.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    let value_is_valid = (1..=256).contains(&value.len())
        && value.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'='));
    let simple = |part: &[u8], digit_first: bool, most: usize| {
        let rest = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        let first = |byte: &u8| byte.is_ascii_lowercase() || digit_first && byte.is_ascii_digit();
        part.len() <= most && part.first().is_some_and(first) && part.iter().all(rest)
    };
    let key_is_valid = match key.iter().position(|byte| *byte == b'@') {
        None => simple(key, true, 256),
        Some(at) => {
            let (tenant, system) = key.split_at(at);
            simple(tenant, true, 241) && simple(system.get(1..).unwrap_or_default(), false, 14)
        }
    };
    value_is_valid && key_is_valid
}

/// Sixteen lower-case hexadecimal digits that are not all zero.
pub(super) fn span_id(digits: &[u8]) -> Option<SpanId> {
    let id = NonZeroU64::new(u64::try_from(hex(digits)?).ok()?)?;
    (digits.len() == 16).then_some(SpanId(id.get()))
}

/// Up to 32 lower-case hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0, |number: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// The lowest digits of a number (32 at most), in lower case.
pub(super) fn push_hex(text: &mut Vec<u8>, number: u128, digits: usize) {
    let all = hex_digits(number);
    text.extend_from_slice(all.get(all.len() - digits.min(all.len())..).unwrap_or_default());
}

/// All 32 digits of a number, in lower case.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(super) fn hex_digits(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    let halves = [(number >> 64) as u64, number as u64];
    text.as_chunks_mut().0.iter_mut().zip(halves).for_each(|(digits, half)| *digits = SpanId(half).digits());
    text
}

/// All digits at once, each in a byte of its own: some twenty instructions, and no branch.
#[inline]
const fn eight_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut digits = number as u64;
    digits = (digits << 16 | digits) & 0x0000_ffff_0000_ffff;
    digits = (digits << 8 | digits) & 0x00ff_00ff_00ff_00ff;
    digits = (digits << 4 | digits) & 0x0f0f_0f0f_0f0f_0f0f;
    // From 10 on, six more reach the upper half of the byte.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    (digits + b'0' as u64 * ONES + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests;
