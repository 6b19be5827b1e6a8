//! logfmt: `key=value` pairs, values quoted where they must be.
//! It does not know which fields there are.

use std::io::Write as _;
use std::time::Duration;

use super::json::{push_phrase, push_string};
use super::line::{Fields, Name};
use super::stamp::{push_decimal, push_milliseconds};

/// A line that is being written. What has no value is left out.
pub(super) struct Logfmt<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

// === impl Logfmt ===

impl<'a> Logfmt<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    /// For pairs behind something else.
    pub(super) fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: false }
    }

    pub(super) fn end(self) {
        self.out.push(b'\n');
    }

    fn key(&mut self, name: Name<'_>) -> &mut Vec<u8> {
        self.separate();
        self.name(name);
        self.out.push(b'=');
        self.out
    }

    fn separate(&mut self) {
        if !self.first {
            self.out.push(b' ');
        }
        self.first = false;
    }

    fn name(&mut self, name: Name<'_>) {
        match name {
            Name::Own(key) => self.out.extend_from_slice(key.name.as_bytes()),
            // A key cannot be quoted: what could end it is replaced.
            Name::Foreign(name) => {
                let plain = |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'=' | b'"' | b'\\');
                self.out.extend(name.bytes().map(|byte| if plain(byte) { byte } else { b'_' }));
            }
        }
    }
}

impl Fields for Logfmt<'_> {
    fn text(&mut self, name: Name<'_>, value: &[u8]) {
        push_value(self.key(name), value);
    }

    fn phrase(&mut self, name: Name<'_>, words: &[&[u8]]) {
        push_phrase(self.key(name), words);
    }

    fn word(&mut self, name: Name<'_>, value: &[u8]) {
        self.key(name).extend_from_slice(value);
    }

    fn written(&mut self, name: Name<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.key(name));
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
        if value.is_finite() {
            // Writing to memory does not fail.
            let _ = write!(self.key(name), "{value:?}");
        }
    }

    fn boolean(&mut self, name: Name<'_>, value: bool) {
        self.key(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn milliseconds(&mut self, name: Name<'_>, value: Duration) {
        push_milliseconds(self.key(name), value);
    }

    fn none(&mut self, _: Name<'_>) {}

    fn group<'a>(&mut self, name: Name<'_>, members: impl Iterator<Item = (&'a str, &'static str)>) {
        for (member, word) in members {
            self.separate();
            self.name(name);
            self.out.push(b'.');
            self.name(Name::Foreign(member));
            self.out.push(b'=');
            self.out.extend_from_slice(word.as_bytes());
        }
    }
}

/// Quoted, and escaped as in JSON, where it is empty or anything but plain characters stands in it.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'=' | b'"' | b'\\');
    if !value.is_empty() && value.iter().all(plain) {
        out.extend_from_slice(value);
    } else {
        push_string(out, value);
    }
}
