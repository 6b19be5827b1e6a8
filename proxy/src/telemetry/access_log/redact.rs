//! Queries without the values that nobody should read.
//! It does not know where the query goes.

use std::sync::Arc;

/// Writes the query with the values of these parameters replaced.
pub(in crate::telemetry) fn push_redacted(query: &str, names: &[Arc<str>], out: &mut Vec<u8>) {
    if names.is_empty() {
        out.extend_from_slice(query.as_bytes());
        return;
    }
    // Some servers take `;` for `&`.
    for pair in query.split_inclusive(['&', ';']) {
        let end = if pair.ends_with(['&', ';']) { pair.len() - 1 } else { pair.len() };
        let (body, separator) = pair.split_at(end);
        match body.split_once('=') {
            Some((name, _)) if names.iter().any(|redacted| same(name, redacted)) => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"=REDACTED");
            }
            _ => out.extend_from_slice(body.as_bytes()),
        }
        out.extend_from_slice(separator.as_bytes());
    }
}

/// The query with the values of these parameters replaced.
pub(in crate::telemetry) fn redacted(query: Option<&str>, names: &[Arc<str>]) -> Option<String> {
    let query = query?;
    let mut text = Vec::with_capacity(query.len());
    push_redacted(query, names, &mut text);
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Compares without case, and sees through percent-encoding.
fn same(encoded: &str, name: &str) -> bool {
    let mut bytes = encoded.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let decoded = std::iter::from_fn(|| {
        let byte = bytes.next()?;
        if byte == b'%' {
            let mut ahead = bytes.clone();
            if let (Some(high), Some(low)) = (digit(ahead.next()), digit(ahead.next())) {
                bytes = ahead;
                return u8::try_from(high << 4 | low).ok();
            }
        }
        Some(byte)
    });
    decoded.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}
