//! Interim answers (1xx but 101) on their way to an HTTP/1.1 client, ahead of the final one (RFC 9110, 15.2).
//! It does not know where they come from, and writes nothing itself: the guard does, between two messages of hyper's.

use std::io::Write;

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, StatusCode, Version};

use crate::wire::guard::Handle;
use crate::wire::headers;

/// Takes the interim answers to one request. There is one only where the client can read them: HTTP/1.0 has none.
#[derive(Debug)]
pub struct Interim(Handle);

// === impl Interim ===

impl Interim {
    pub(super) const fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// Passes an interim answer on, which came in `version`, without what was for the hop behind us. A `100 Continue` is not: the
    /// one that the client waits for is our own, said when its body is first asked for. One more than the client
    /// has room for is dropped.
    pub fn pass(&self, status: StatusCode, version: Version, mut headers: HeaderMap) {
        if !status.is_informational() || matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        headers::strip_response(&mut headers);
        // There is no content that these could speak of.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRAILER);
        headers::add_via(&mut headers, version);
        self.0.push_interim(&encode(status, &headers));
    }
}

fn encode(status: StatusCode, headers: &HeaderMap) -> BytesMut {
    let mut out = BytesMut::new().writer();
    // Writing to memory does not fail.
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let mut out = out.into_inner();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_as_it_must_be() {
        let mut headers = HeaderMap::new();
        headers.append("link", "</a>".parse().unwrap());
        headers.append("link", "</b>".parse().unwrap());
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
        assert_eq!(encode(StatusCode::from_u16(103).unwrap(), &headers), expected);
        let unknown = StatusCode::from_u16(199).unwrap();
        assert_eq!(encode(unknown, &HeaderMap::new()), "HTTP/1.1 199 \r\n\r\n");
    }
}
