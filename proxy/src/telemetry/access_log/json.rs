//! JSON: one object a line, written straight into the buffer.
//! It does not know which fields there are.

use std::io::Write as _;
use std::time::Duration;

use super::line::{Fields, Name};
use super::stamp::{push_decimal, push_milliseconds};
use crate::telemetry::trace_context::push_hex;

/// An object that is being written.
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

// === impl Json ===

impl<'a> Json<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { start: out.len(), out }
    }

    pub(super) fn end(mut self) {
        self.open(self.start);
        self.out.extend_from_slice(b"}\n");
    }

    // Where the name is known, one copy of a known length.
    #[inline(always)]
    fn key(&mut self, name: Name<'_>) -> &mut Vec<u8> {
        match name {
            Name::Own(key) => self.out.extend_from_slice(key.json.as_bytes()),
            Name::Foreign(name) => {
                self.out.push(b',');
                push_string(self.out, name.as_bytes());
                self.out.push(b':');
            }
        }
        self.out
    }

    /// Makes a brace of the comma before the first member.
    fn open(&mut self, start: usize) {
        match self.out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
    }
}

// Into their callers, since only there the name is known.
impl Fields for Json<'_> {
    #[inline(always)]
    fn text(&mut self, name: Name<'_>, value: &[u8]) {
        push_string(self.key(name), value);
    }

    fn phrase(&mut self, name: Name<'_>, words: &[&[u8]]) {
        push_phrase(self.key(name), words);
    }

    #[inline(always)]
    fn word(&mut self, name: Name<'_>, value: &[u8]) {
        self.written(name, |out| out.extend_from_slice(value));
    }

    #[inline(always)]
    fn written(&mut self, name: Name<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.key(name);
        out.push(b'"');
        write(out);
        out.push(b'"');
    }

    #[inline(always)]
    fn unsigned(&mut self, name: Name<'_>, value: u64) {
        push_decimal(self.key(name), value);
    }

    fn signed(&mut self, name: Name<'_>, value: i64) {
        let out = self.key(name);
        if value < 0 {
            out.push(b'-');
        }
        push_decimal(out, value.unsigned_abs());
    }

    fn float(&mut self, name: Name<'_>, value: f64) {
        let out = self.key(name);
        if value.is_finite() {
            // Writing to memory does not fail; the debug form is the shortest that reads back as the same number.
            let _ = write!(out, "{value:?}");
        } else {
            out.extend_from_slice(b"null");
        }
    }

    #[inline(always)]
    fn boolean(&mut self, name: Name<'_>, value: bool) {
        self.key(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn milliseconds(&mut self, name: Name<'_>, value: Duration) {
        push_milliseconds(self.key(name), value);
    }

    #[inline(always)]
    fn none(&mut self, name: Name<'_>) {
        self.key(name).extend_from_slice(b"null");
    }

    fn group<'a>(&mut self, name: Name<'_>, members: impl Iterator<Item = (&'a str, &'static str)>) {
        let start = self.key(name).len();
        for (member, word) in members {
            self.word(Name::Foreign(member), word.as_bytes());
        }
        self.open(start);
        self.out.push(b'}');
    }
}

/// Writes a JSON string; what is not UTF-8 becomes U+FFFD.
pub(in crate::telemetry) fn push_string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    push_text(out, value);
    out.push(b'"');
}

/// Writes words with a space between each, as one JSON string.
pub(super) fn push_phrase(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.push(b'"');
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        push_text(out, word);
    }
    out.push(b'"');
}

/// What stands between the quotes.
#[inline]
fn push_text(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        push_odd(out, value);
    }
}

#[cold]
fn push_odd(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Whether it is written as it is, as nearly all there is.
fn is_plain(value: &[u8]) -> bool {
    match value.len() {
        16.. => is_plain_by::<16>(value),
        8.. => is_plain_by::<8>(value),
        _ => are_plain(value),
    }
}

/// So many bytes at a time, which become a few wide instructions; what is left over is looked at as the last so many.
#[inline]
fn is_plain_by<const WIDTH: usize>(value: &[u8]) -> bool {
    let (chunks, _) = value.as_chunks::<WIDTH>();
    chunks.iter().chain(value.last_chunk::<WIDTH>()).all(|chunk| are_plain(chunk))
}

#[inline]
fn are_plain(bytes: &[u8]) -> bool {
    // Without a branch for each byte.
    !bytes.iter().fold(false, |odd, byte| odd | !matches!(byte, 0x20..=0x7e) | (*byte == b'"') | (*byte == b'\\'))
}

/// Escapes quotes, backslashes and control bytes, so that no reader sees an end where there is none.
pub(super) fn push_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    let special = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f);
    while let Some(at) = text.iter().position(special) {
        let (plain, rest) = text.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, rest)) = rest.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                out.extend_from_slice(b"\\u00");
                push_hex(out, u128::from(*byte), 2);
            }
        }
        text = rest;
    }
    out.extend_from_slice(text);
}
