//! A copy of a message's headers in one piece, for whoever reads them when the message has gone.
//! It is made to be cheap: one allocation, where a map of its own takes several and a count for each value.

use http::HeaderMap;
use tidegate_abi::Reader;

/// Name and value of each header, in the encoding that plugins read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CopiedHeaders {
    bytes: Vec<u8>,
}

/// What a header takes, with the lengths of its name and its value; a request has a short one for each long one.
const USUAL: usize = 64;

// === impl CopiedHeaders ===

impl CopiedHeaders {
    pub fn of(headers: &HeaderMap) -> Self {
        // To add up the lengths would cost a walk of its own.
        let mut bytes = Vec::with_capacity(headers.len() * USUAL);
        for (name, value) in headers {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            bytes.reserve(8 + name.len() + value.len());
            push(&mut bytes, name);
            push(&mut bytes, value);
        }
        Self { bytes }
    }

    /// The value of a header with this number, from 0, among those of its name. Case does not matter.
    pub fn get(&self, name: &str, index: usize) -> Option<&[u8]> {
        let mut reader = Reader::new(&self.bytes);
        let pairs = std::iter::from_fn(|| Some((reader.bytes().ok()?, reader.bytes().ok()?)));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).nth(index).map(|(_, value)| value)
    }

    /// All of them, as a plugin reads them.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for CopiedHeaders {
    /// Values can be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopiedHeaders").field("bytes", &self.bytes.len()).finish()
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the largest head that is read has a few hundred KiB")]
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::CopiedHeaders;

    #[test]
    fn values_are_found_by_name_and_number() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("accept", "*/*"), ("x-a", "2"), ("x-empty", "")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let copied = CopiedHeaders::of(&headers);
        let get = |name, index| copied.get(name, index).map(|value| str::from_utf8(value).unwrap());
        assert_eq!([get("X-A", 0), get("x-a", 1), get("x-a", 2)], [Some("1"), Some("2"), None]);
        assert_eq!([get("accept", 0), get("x-empty", 0), get("", 0), get("x", 0)], [Some("*/*"), Some(""), None, None]);
        let length = 4 * 8 + "x-a1accept*/*x-a2x-empty".len();
        assert_eq!(copied.encoded().len(), length);
        assert_eq!(CopiedHeaders::of(&HeaderMap::new()).encoded(), b"");
    }
}
