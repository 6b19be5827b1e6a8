//! Heads as they stand on the wire, read as hyper reads them: with its parser.
//! It does not know where they come from.

#[cfg(test)]
mod tests;

use std::io;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use memchr::memchr_iter;

/// How many interim answers a request may get, and how many bytes their headers may have together. Who goes on is broken,
/// or means ill.
const MOST: usize = 100;
const MOST_BYTES: usize = 64 * 1024;
/// hyper takes no answer with more headers.
const MOST_HEADERS: usize = 100;
/// Up to here a status line tells what kind of answer it begins: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// The head of an interim answer.
pub(super) type InterimHead = (StatusCode, Version, HeaderMap);

/// Hears the interim answers to one request.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// What came of a head that is not all there.
    part: Vec<u8>,
    count: usize,
    bytes: usize,
}

// === impl Hearing ===

impl Hearing {
    /// Hears what came, and says whether there can be more. What is no answer is left to hyper.
    ///
    /// # Errors
    /// Where there were more than a request may get; to be given to hyper, which then gives the connection up.
    pub(super) fn hear(&mut self, bytes: &[u8], mut tell: impl FnMut(InterimHead)) -> io::Result<bool> {
        // Nearly always all of it is here, and it is the final answer.
        if self.part.is_empty() && is_interim(bytes) == Some(false) {
            return Ok(false);
        }
        let mut seen = self.part.len().saturating_sub(3);
        self.part.extend_from_slice(bytes);
        loop {
            match is_interim(&self.part) {
                None => return Ok(true),
                Some(false) => return Ok(false),
                Some(true) => {}
            }
            // Else a head that comes byte by byte would be read once for each.
            if !ends(self.part.get(std::mem::take(&mut seen)..).unwrap_or_default()) {
                return Ok(true);
            }
            let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut answer = httparse::Response::new(&mut fields);
            let length = match answer.parse(&self.part) {
                Ok(httparse::Status::Complete(length)) => length,
                // hyper stops reading where a head is larger than its buffer.
                Ok(httparse::Status::Partial) => return Ok(true),
                Err(_) => return Ok(false),
            };
            let Some(head) = interim(&answer) else { return Ok(false) };
            self.count += 1;
            self.bytes += head.2.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
            if self.count > MOST || self.bytes > MOST_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many interim answers"));
            }
            tell(head);
            self.part.drain(..length);
        }
    }
}

/// Whether an interim answer begins here; `None` where that cannot be seen yet. 101 is final.
fn is_interim(bytes: &[u8]) -> Option<bool> {
    // Empty lines before it are passed over.
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let line = bytes.get(begin..begin + STATUS_LINE)?;
    Some(line.get(9) == Some(&b'1') && !line.ends_with(b"101"))
}

/// Whether there is an empty line.
fn ends(bytes: &[u8]) -> bool {
    memchr_iter(b'\n', bytes).any(|at| matches!(bytes.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
}

fn interim(answer: &httparse::Response<'_, '_>) -> Option<InterimHead> {
    let version = if answer.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    Some((StatusCode::from_u16(answer.code?).ok()?, version, headers(answer.headers)?))
}

/// Reads the head of a request that hyper wrote. What it says of the connection was hyper's own word, unless an upgrade was asked for.
pub(super) fn request<B>(written: &[u8], body: B) -> Option<Request<B>> {
    let lines = written.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut fields);
    // All of it, and nothing else: what is sent again must be what was sent.
    if parsed.parse(written).ok()? != httparse::Status::Complete(written.len()) {
        return None;
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(parsed.path?).ok()?;
    let headers = request.headers_mut();
    *headers = self::headers(parsed.headers)?;
    headers.remove(CONNECTION);
    if headers.contains_key(UPGRADE) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    Some(request)
}

fn headers(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(headers)
}
