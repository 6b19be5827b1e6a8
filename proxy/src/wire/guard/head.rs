//! The strict check of a request's head, as pure functions over its bytes.
//! It knows no connection and decides no answer.

#[cfg(test)]
pub(super) mod tests;

use std::net::Ipv6Addr;

use memchr::memchr;

use crate::error::Reason;
use crate::wire::config::HeadLimits;

/// What a well-formed head says about the bytes that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub body: BodyLength,
    /// Whether an `Upgrade` was asked for.
    pub upgrade: bool,
}

/// How the end of a request's body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    None,
    /// So many bytes, more than none.
    Exact(u64),
    Chunked,
}

/// Finds the end of a head while it arrives, whatever the pieces are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// All before this was looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    lines: usize,
}

/// The longest target that hyper's URI holds.
const MAX_TARGET: usize = 65_000;
/// No registered method comes near.
const MAX_METHOD: usize = 32;

/// Longer field names are an attack, and hyper would refuse them in its own way.
const MAX_NAME: usize = 1024;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;

/// What each byte may stand in.
const CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing)] // evaluated while compiling
const fn classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut at = 0_usize;
    while at < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let byte = at as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        // RFC 9110, 5.6.2
        if alphanumeric
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        {
            table[at] |= TOKEN;
        }
        // Visible ASCII but `#`, and what no client sends unescaped.
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`') {
            table[at] |= TARGET;
        }
        // RFC 3986's unreserved: what a name may be made of in practice
        if alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            table[at] |= HOST;
        }
        at += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| is(byte, class))
}

/// Whether `bytes` is a token (RFC 9110, 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Whether this can be a request's method; `CONNECT` is for other proxies.
pub(in crate::wire) fn is_method(bytes: &[u8]) -> bool {
    is_token(bytes) && bytes.len() <= MAX_METHOD && bytes != b"CONNECT"
}

/// Whether `bytes` may stand in a request's target.
pub(in crate::wire) fn is_target(bytes: &[u8]) -> bool {
    all(bytes, TARGET)
}

/// Whether `bytes` may stand in a field's value (RFC 9110, 5.5): visible ASCII, obs-text, space and tab.
///
/// Values are most of what a head is made of. Without a way out in the middle, and without a table, many bytes are looked at in one step.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |fits, &byte| fits & ((byte >= b' ') | (byte == b'\t')) & (byte != 0x7f))
}

// === impl Scan ===

impl Scan {
    /// Looks at what arrived since the last call; `bytes` begins with the head each time.
    ///
    /// # Returns
    /// The head's length with its empty line, or `None` when that has not arrived.
    ///
    /// # Errors
    /// As soon as a byte makes it certain: a line that does not end in CRLF, or more than the limits allow.
    pub fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Reason> {
        // Something that is not HTTP (TLS, say) need not wait for the end of a line that never comes.
        if self.seen == 0 && bytes.first().is_some_and(|&first| !is(first, TOKEN)) {
            return Err(Reason::MalformedHead);
        }
        while let Some(at) = bytes.get(self.seen..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.seen + at;
            if end >= limits.max_size {
                return Err(Reason::HeadTooLarge);
            }
            let Some(line) = bytes.get(self.line..end).and_then(|line| line.strip_suffix(b"\r")) else {
                return Err(Reason::MalformedHead);
            };
            self.seen = end + 1;
            self.line = end + 1;
            if line.is_empty() {
                return Ok(Some(self.seen));
            }
            // The first line is the request's.
            if self.lines > limits.max_headers {
                return Err(Reason::HeadTooLarge);
            }
            self.lines += 1;
        }
        self.seen = bytes.len();
        if self.seen > limits.max_size { Err(Reason::HeadTooLarge) } else { Ok(None) }
    }
}

/// Checks a whole head, from the method to the empty line.
///
/// # Errors
/// [`Reason::MalformedHead`], or [`Reason::HeadTooLarge`].
pub fn check(bytes: &[u8], limits: &HeadLimits) -> Result<Head, Reason> {
    match Scan::default().advance(bytes, limits)? {
        Some(length) if length == bytes.len() => check_lines(bytes),
        _ => Err(Reason::MalformedHead),
    }
}

/// Whether the first line has the shape of a request line whose protocol is another than HTTP.
pub(super) fn is_foreign(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let words = [words.next(), words.next(), words.next(), words.next()];
    matches!(words, [Some([_, ..]), Some([_, ..]), Some(protocol @ [_, ..]), None]
        if !protocol.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"http/")))
}

/// The check of a head whose end a [`Scan`] found.
pub(super) fn check_lines(bytes: &[u8]) -> Result<Head, Reason> {
    let malformed = Reason::MalformedHead;
    let (first, mut rest) = next_line(bytes).ok_or(malformed)?;
    let request = RequestLine::parse(first)?;
    let mut fields = Fields::default();
    while let Some((line, after)) = next_line(rest) {
        if line.is_empty() {
            break;
        }
        fields.add(line).ok_or(malformed)?;
        rest = after;
    }
    fields.conclude(&request).ok_or(malformed)
}

/// Up to the CRLF, and what is behind it. The scan saw that every LF has its CR.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    Some((line.strip_suffix(b"\r\n")?, rest))
}

struct RequestLine<'a> {
    http_11: bool,
    /// Of a target in absolute form.
    authority: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Reason> {
        let malformed = Reason::MalformedHead;
        let (line, http_11) = match (line.strip_suffix(b" HTTP/1.1"), line.strip_suffix(b" HTTP/1.0")) {
            (Some(line), _) => (line, true),
            (_, Some(line)) => (line, false),
            _ => return Err(malformed),
        };
        let (method, target) = memchr(b' ', line).and_then(|at| line.split_at_checked(at)).ok_or(malformed)?;
        let target = target.strip_prefix(b" ").ok_or(malformed)?;
        if !is_method(method) || !is_target(target) {
            return Err(malformed);
        }
        if target.len() > MAX_TARGET {
            return Err(Reason::HeadTooLarge);
        }
        let authority = match target.first() {
            Some(b'/') => None,
            Some(b'*') if target.len() == 1 && method == b"OPTIONS" => None,
            _ => Some(absolute_authority(target).ok_or(malformed)?),
        };
        Ok(Self { http_11, authority })
    }
}

/// The authority of `http://authority/path`; userinfo does not pass, since `@` is not part of a host.
fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = target.split_at_checked(memchr(b':', target)?)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    is_host(authority).then_some(authority)
}

/// Whether this is a name, an IPv4 address or a bracketed IPv6 address, with a port or without.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.strip_prefix(b"[") {
        Some(rest) => {
            let Some((inside, after)) = memchr(b']', rest).and_then(|at| rest.split_at_checked(at)) else {
                return false;
            };
            if !std::str::from_utf8(inside).is_ok_and(|inside| inside.parse::<Ipv6Addr>().is_ok()) {
                return false;
            }
            (inside, after.get(1..).unwrap_or_default())
        }
        None => {
            let (name, port) = host.split_at_checked(memchr(b':', host).unwrap_or(host.len())).unwrap_or((host, b""));
            if !all(name, HOST) || name.starts_with(b".") {
                return false;
            }
            (name, port)
        }
    };
    let port_fits = match port.strip_prefix(b":") {
        Some(digits) => is_port(digits),
        None => port.is_empty(),
    };
    !name.is_empty() && name.len() <= 255 && port_fits
}

fn is_port(digits: &[u8]) -> bool {
    let append = |port: u32, digit: &u8| digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'));
    (1..=5).contains(&digits.len()) && digits.iter().try_fold(0, append).is_some_and(|port| port <= u32::from(u16::MAX))
}

#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl<'a> Fields<'a> {
    /// Takes one field line; `None` when it is not well-formed or repeats what must stand once.
    fn add(&mut self, line: &'a [u8]) -> Option<()> {
        // A line that begins with a space (obs-fold) has no token before its colon, nor has `Name :`.
        let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
        let value = value.strip_prefix(b":")?;
        if !is_token(name) || name.len() > MAX_NAME || !is_value(value) {
            return None;
        }
        // Only the lengths of the names that matter are looked at further.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let value = trim(value);
                if self.host.is_some() || !is_host(value) {
                    return None;
                }
                self.host = Some(value);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(trim(value))?;
                if self.length.replace(length).is_some() {
                    return None;
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !trim(value).eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                self.chunked = true;
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            _ => {}
        }
        Some(())
    }

    /// Puts the fields and the request line together; `None` when they contradict each other.
    fn conclude(self, request: &RequestLine<'_>) -> Option<Head> {
        if self.host.is_none() && request.http_11 {
            return None;
        }
        if let (Some(authority), Some(host)) = (request.authority, self.host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return None;
        }
        let body = match (self.length, self.chunked) {
            (Some(_), true) => return None,
            (None, true) if !request.http_11 => return None,
            (None, true) => BodyLength::Chunked,
            (None | Some(0), false) => BodyLength::None,
            (Some(length), false) => BodyLength::Exact(length),
        };
        // HTTP/1.0 knows no Upgrade (RFC 9110, 7.8).
        Some(Head { body, upgrade: self.upgrade && request.http_11 })
    }
}

/// Without the optional white space around it.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Digits only, and a number that fits with room to spare.
fn content_length(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, digit| digit.is_ascii_digit().then(|| length * 10 + u64::from(digit - b'0')))
}
