//! A chunked body out of the bytes that carry it (RFC 9112, 7.1).
//! It copies no data, and reads no byte itself.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

use super::Malformed;
use super::answer::ends;
use crate::wire::headers::frames_or_routes;

/// Where in a body we stand.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Of all size lines.
    extensions: usize,
}

/// What came of the bytes that are there.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing; more are needed.
    More,
    Data(Bytes),
    /// The body is over.
    End(HeaderMap),
}

#[derive(Clone, Copy, Debug)]
enum At {
    Size,
    /// So much of the chunk is to come.
    Data(u64),
    /// Behind a chunk's data.
    Break,
    Trailers,
}

/// A chunk's size line may not be longer.
const MAX_LINE: usize = 4 * 1024;
/// All extensions of a body together, and all its trailers.
const MAX_EXTENSIONS: usize = 16 * 1024;
const MAX_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 100;

/// What ends a body without trailers, behind its last data.
const END: &[u8] = b"\r\n0\r\n\r\n";

// === impl Chunks ===

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { at: At::Size, extensions: 0 }
    }

    /// Takes what comes next from these bytes.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Result<Step, Malformed> {
        loop {
            match self.at {
                At::Size => {
                    let line = bytes.get(..bytes.len().min(MAX_LINE)).unwrap_or_default();
                    let Some(end) = memchr(b'\n', line) else {
                        return if line.len() < MAX_LINE { Ok(Step::More) } else { Err(Malformed) };
                    };
                    let (size, extensions) = size(line.get(..end).unwrap_or_default())?;
                    self.extensions += extensions;
                    if self.extensions > MAX_EXTENSIONS {
                        return Err(Malformed);
                    }
                    bytes.advance(end + 1);
                    self.at = if size == 0 { At::Trailers } else { At::Data(size) };
                }
                At::Data(_) if bytes.is_empty() => return Ok(Step::More),
                At::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::Break } else { At::Data(left) };
                    return Ok(Step::Data(bytes.split_to(taken)));
                }
                At::Break => match **bytes {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        self.at = At::Size;
                    }
                    [] | [b'\r'] => return Ok(Step::More),
                    _ => return Err(Malformed),
                },
                At::Trailers => return trailers(bytes),
            }
        }
    }

    /// Whether nothing follows the data that was taken last. Then the end is taken too: who has all data learns that with the last of it.
    pub(super) fn is_last(&self, bytes: &mut Bytes) -> bool {
        let last = matches!(self.at, At::Break) && bytes.starts_with(END);
        if last {
            bytes.advance(END.len());
        }
        last
    }
}

/// A chunk's size, and how many bytes of extensions follow it.
fn size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let line = line.strip_suffix(b"\r").ok_or(Malformed)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, extensions) = line.split_at_checked(digits).ok_or(Malformed)?;
    let text = str::from_utf8(digits).map_err(|_| Malformed)?;
    // Without digits, or with more than fit, it is no number.
    let size = u64::from_str_radix(text, 16).map_err(|_| Malformed)?;
    let is_text = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    let blank = extensions.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match extensions.get(blank..).unwrap_or_default() {
        [] => Ok((size, 0)),
        [b';', text @ ..] if text.iter().all(is_text) => Ok((size, extensions.len())),
        _ => Err(Malformed),
    }
}

fn trailers(bytes: &mut Bytes) -> Result<Step, Malformed> {
    if bytes.starts_with(b"\r\n") {
        bytes.advance(2);
        return Ok(Step::End(HeaderMap::new()));
    }
    if bytes.len() > MAX_TRAILERS {
        return Err(Malformed);
    }
    if !ends(bytes, 0) {
        return Ok(Step::More);
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let parsed = httparse::parse_headers(bytes, &mut fields).map_err(|_| Malformed)?;
    let httparse::Status::Complete((length, fields)) = parsed else { return Ok(Step::More) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?;
        if !frames_or_routes(name.as_str().as_bytes()) {
            trailers.append(name, value);
        }
    }
    // httparse takes a bare line feed for a line's end; whoever is behind us may not.
    let section = bytes.get(..length).unwrap_or_default();
    if memchr_iter(b'\n', section).any(|at| at == 0 || section.get(at - 1) != Some(&b'\r')) {
        return Err(Malformed);
    }
    bytes.advance(length);
    Ok(Step::End(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body that arrives in pieces of `step` bytes, and what is left behind it.
    fn read(body: &str, step: usize) -> Result<(String, HeaderMap, String), Malformed> {
        let mut chunks = Chunks::new();
        let (mut all, mut bytes) = (Vec::new(), Bytes::new());
        let mut pieces = body.as_bytes().chunks(step);
        loop {
            match chunks.next(&mut bytes)? {
                Step::More => {
                    let Some(piece) = pieces.next() else { return Err(Malformed) };
                    bytes = [&bytes[..], piece].concat().into();
                }
                Step::Data(data) => {
                    all.extend_from_slice(&data);
                    if chunks.is_last(&mut bytes) {
                        return Ok((text(&all), HeaderMap::new(), text(&bytes)));
                    }
                }
                Step::End(trailers) => return Ok((text(&all), trailers, text(&bytes))),
            }
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let body = "5\r\nhello\r\n1;a=b;c=\"d\"\r\n \r\n0005  \r\nworld\r\n0\r\nSum: 42\r\ncontent-length: 9\r\nsum: 43\r\n\r\nNEXT";
        for step in 1..=body.len() {
            let (data, trailers, _) = read(body, step).unwrap();
            assert_eq!(data, "hello world", "{step}");
            assert_eq!(trailers.get_all("sum").iter().collect::<Vec<_>>(), ["42", "43"]);
            assert_eq!(trailers.len(), 2, "what frames a message is none");
            let plain = "3\r\nabc\r\n0\r\n\r\n";
            assert_eq!(read(plain, step.min(plain.len())).unwrap().0, "abc", "{step}");
        }
        assert_eq!(read(body, body.len()).unwrap().2, "NEXT", "nothing behind it is taken");
        assert_eq!(read("1\r\na\r\n0\r\n\r\nNEXT", 100).unwrap().2, "NEXT");
    }

    #[test]
    fn what_is_no_chunked_body_is_refused() {
        for body in [
            "\r\nhello",
            "x\r\n",
            "-1\r\na",
            "+1\r\na",
            "0x1\r\na",
            " 1\r\na",
            "1\na\r\n0\r\n\r\n",
            "1 1\r\na",
            "1;\u{1}\r\na",
            "5\r\nhelloX0\r\n\r\n",
            "5\r\nhello\rX",
            "10000000000000000\r\na",
            "1,2\r\na",
            "0\r\nbad name: x\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\na: b\n\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
        ] {
            for step in [1, body.len()] {
                assert!(read(body, step).is_err(), "{body:?}");
            }
        }
    }

    #[test]
    fn what_comes_beside_the_data_is_bounded() {
        let line = format!("1;{}\r\na\r\n", "x".repeat(MAX_LINE));
        let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(17);
        let trailer = format!("0\r\na: {}\r\n\r\n", "x".repeat(MAX_TRAILERS));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MOST_TRAILERS + 1));
        for body in [line, many, trailer, trailers] {
            assert!(read(&body, 512).is_err(), "{}", &body[..20]);
        }
    }
}
