//! JSON: one object a line, written straight into the buffer.
//! It does not know which fields there are.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::line::{Fields, Name};
use super::stamp::{Stamp, push_decimal, push_milliseconds};
use crate::telemetry::trace_context::push_hex;

/// An object that is being written.
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

// === impl Json ===

impl<'a> Json<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, name: Name<'_>) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        match name {
            Name::Own(name) => {
                self.out.push(b'"');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'"');
            }
            Name::Foreign(name) => push_string(self.out, name.as_bytes()),
        }
        self.out.push(b':');
        self.out
    }
}

impl Fields for Json<'_> {
    fn text(&mut self, name: Name<'_>, value: &[u8]) {
        push_string(self.key(name), value);
    }

    fn word(&mut self, name: Name<'_>, value: &[u8]) {
        let out = self.key(name);
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
    }

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

    fn boolean(&mut self, name: Name<'_>, value: bool) {
        self.key(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn milliseconds(&mut self, name: Name<'_>, value: Duration) {
        push_milliseconds(self.key(name), value);
    }

    fn timestamp(&mut self, name: Name<'_>, at: SystemTime, stamp: &Stamp) {
        let out = self.key(name);
        out.push(b'"');
        stamp.push(at, out);
        out.push(b'"');
    }

    fn hex(&mut self, name: Name<'_>, value: u128, digits: usize) {
        let out = self.key(name);
        out.push(b'"');
        push_hex(out, value, digits);
        out.push(b'"');
    }

    fn none(&mut self, name: Name<'_>) {
        self.key(name).extend_from_slice(b"null");
    }

    fn group<'a>(&mut self, name: Name<'_>, members: impl Iterator<Item = (&'a str, &'static str)>) {
        self.key(name).push(b'{');
        self.first = true;
        for (member, word) in members {
            self.word(Name::Foreign(member), word.as_bytes());
        }
        self.out.push(b'}');
        self.first = false;
    }
}

/// Writes a JSON string; what is not UTF-8 becomes U+FFFD.
pub(in crate::telemetry) fn push_string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    // Nearly all there is: looked at without a branch for each byte, and copied at once.
    let odd = |odd: bool, byte: &u8| odd | (*byte < 0x20) | (*byte > 0x7e) | (*byte == b'"') | (*byte == b'\\');
    if !value.iter().fold(false, odd) {
        out.extend_from_slice(value);
        out.push(b'"');
        return;
    }
    for chunk in value.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
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
