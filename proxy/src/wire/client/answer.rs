//! The head of an answer as it stands on the wire, and how the end of its body is known (RFC 9112, 6.3).
//! It reads no byte itself.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use memchr::memchr_iter;

use super::Malformed;

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
}

/// What a head says about the bytes behind it, where they are not about the request alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// As the head frames it: an answer to `HEAD`, and some others, have no body all the same.
    pub(super) body: Length,
    pub(super) keep_alive: bool,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Exact(u64),
    Chunked,
    /// It ends with the connection.
    Close,
}

/// More headers than this are an attack, or a mistake.
const MOST_HEADERS: usize = 100;
/// Room for what we add on the way: without it the map would grow for each answer.
const MORE: usize = 4;

/// Reads a head; `None` where it is not all there. With its length. A final head's fields take the room of `old`, whatever it holds.
pub(super) fn parse(bytes: &Bytes, old: &mut HeaderMap) -> Result<Option<(Head, Facts, usize)>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut fields);
    let httparse::Status::Complete(length) = parsed.map_err(|_| Malformed)? else { return Ok(None) };
    let version = if answer.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let mut headers = if is_interim(status) { HeaderMap::new() } else { std::mem::take(old) };
    headers.clear();
    let facts = fill(&mut headers, bytes, answer.headers, version)?;
    Ok(Some((Head { status, version, headers }, facts, length)))
}

/// Fills `headers`, in which there is nothing.
fn fill(
    headers: &mut HeaderMap,
    bytes: &Bytes,
    fields: &[httparse::Header<'_>],
    version: Version,
) -> Result<Facts, Malformed> {
    headers.reserve(fields.len() + MORE);
    let (mut close, mut stay) = (false, version == Version::HTTP_11);
    let (mut codings, mut lengths, mut length) = (0_usize, 0_usize, None);
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(|_| Malformed)?;
        if name == CONNECTION {
            close |= has_token(field.value, b"close");
            stay |= has_token(field.value, b"keep-alive");
        } else if name == CONTENT_LENGTH {
            for said in field.value.split(|byte| *byte == b',') {
                let said = number(said.trim_ascii()).ok_or(Malformed)?;
                if *length.get_or_insert(said) != said {
                    return Err(Malformed);
                }
                lengths += 1;
            }
        } else if name == TRANSFER_ENCODING {
            // We ask for no other (RFC 9112, 7.4), and could not undo one. HTTP/1.0 has none.
            if version == Version::HTTP_10 || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed);
            }
            codings += 1;
        }
        headers.append(name, value);
    }
    let body = match (codings, length) {
        (0, Some(length)) => Length::Exact(length),
        (0, None) => Length::Close,
        (1, _) => Length::Chunked,
        _ => return Err(Malformed),
    };
    match (body, length) {
        // It would be believed further on.
        (Length::Chunked, Some(_)) => _ = headers.remove(CONTENT_LENGTH),
        (_, Some(length)) if lengths > 1 => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
        _ => {}
    }
    Ok(Facts { body, keep_alive: stay && !close })
}

/// Whether another answer follows; 101 is final (RFC 9110, 15.2.2).
pub(super) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Whether there is an empty line behind a line that begins before `seen`, where there was none.
pub(super) fn ends(bytes: &[u8], seen: usize) -> bool {
    let new = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    memchr_iter(b'\n', new).any(|at| matches!(new.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<(Head, Facts, usize)>, Malformed> {
        parse(&Bytes::copy_from_slice(format!("{head}\r\n").as_bytes()), &mut HeaderMap::new())
    }

    fn facts(head: &str) -> Option<(Length, bool)> {
        let (_, facts, _) = read(head).ok()??;
        Some((facts.body, facts.keep_alive))
    }

    #[test]
    fn a_head_is_read_as_it_stands() {
        let text = "\r\nHTTP/1.1 200 Fine\r\nx-a: 1\r\nX-B:\r\nx-a: \t2 \r\nx-binary: \u{e9}\r\n\r\nbody";
        let bytes = Bytes::from_static(text.as_bytes());
        let mut old = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("of a request"))]);
        let (head, _, length) = parse(&bytes, &mut old).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), head.version, &bytes[length..]), (200, Version::HTTP_11, &b"body"[..]));
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 4] =
            [("x-a", b"1"), ("x-a", b"2"), ("x-b", b""), ("x-binary", "\u{e9}".as_bytes())];
        assert_eq!(fields, expected);
        for length in 0..length {
            let part = bytes.slice(..length);
            assert!(parse(&part, &mut old).unwrap().is_none(), "{length}");
            assert!(!ends(&part, 1) || length < 4, "{length}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_known_as_it_was_said() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n", (Length::Close, true)),
            ("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n", (Length::Close, false)),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\n", (Length::Close, false)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 7\r\n", (Length::Exact(7), false)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 7\r\nconnection: Keep-Alive\r\n", (Length::Exact(7), true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", (Length::Exact(0), true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\nContent-Length: 5\r\n", (Length::Exact(5), true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", (Length::Chunked, true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", (Length::Chunked, true)),
        ] {
            assert_eq!(facts(head), Some(expected), "{head:?}");
        }
        let length = |head: &str| {
            let (head, ..) = read(head).unwrap().unwrap();
            head.headers.get_all(CONTENT_LENGTH).iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n"), ["5"], "said once");
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n";
        assert!(length(both).is_empty(), "what does not count is not said");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(MOST_HEADERS + 1));
        for head in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2 200 OK\r\n",
            "HTTP/1.1 abc\r\n",
            "HTTP/1.1 099 x\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n",
            "HTTP/1.1 200 OK\r\nbad name: x\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n",
            "HTTP/1.1 200 OK\r\na: \u{1}\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: \r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5,\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            &many,
        ] {
            assert!(read(head).is_err(), "{head:?}");
        }
    }
}
