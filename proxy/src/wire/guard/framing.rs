//! Follows the framing of a request's body, so that the place of the next head is known.
//! It keeps no byte of the body.

use crate::wire::config::HeadLimits;
use crate::wire::guard::head::{self, BodyLength};
use crate::wire::headers;

/// Where in a body we stand.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes are owed.
    Length(u64),
    Chunked(Chunks),
}

/// What a piece of input was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// How many of the bytes belong to the body.
    pub taken: usize,
    pub state: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is owed.
    Open,
    /// The body is complete.
    Done,
    /// The byte after those taken must not stand there.
    Malformed,
}

/// A chunk's size line may not be longer, extensions and all.
const MAX_SIZE_LINE: usize = 256;
/// All extensions of a body together (hyper stops at twice of this).
const MAX_EXTENSIONS: usize = 8 * 1024;
/// Sixteen hexadecimal digits would fill 64 bits; a chunk this large is an attack.
const MAX_SIZE_DIGITS: u32 = 15;

/// RFC 9112, 7.1, without any leniency.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    size: u64,
    digits: u32,
    /// Of the line or trailer that is being read.
    line: usize,
    extensions: usize,
    trailers: usize,
    trailer_bytes: usize,
    max_trailers: usize,
    max_trailer_bytes: usize,
    /// The name of the trailer being read, as far as it matters.
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    /// After `;`: a token must begin.
    ExtensionName {
        empty: bool,
    },
    ExtensionValue {
        empty: bool,
    },
    /// Within quotes.
    Quoted,
    /// After a backslash within quotes.
    Escaped,
    /// After the closing quote.
    Unquoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// The start of a field name, in lower case.
#[derive(Debug, Default)]
struct Name {
    bytes: [u8; 18],
    length: usize,
}

// === impl Framing ===

impl Framing {
    /// `None` when no body follows.
    pub(super) fn new(length: BodyLength, limits: &HeadLimits) -> Option<Self> {
        match length {
            BodyLength::None => None,
            BodyLength::Exact(length) => Some(Self::Length(length)),
            BodyLength::Chunked => Some(Self::Chunked(Chunks::new(limits))),
        }
    }

    /// Follows the next bytes, up to the end of the body.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Step { taken, state: if *left == 0 { Progress::Done } else { Progress::Open } }
            }
            Self::Chunked(chunks) => chunks.feed(bytes),
        }
    }
}

// === impl Chunks ===

impl Chunks {
    pub(super) fn new(limits: &HeadLimits) -> Self {
        Self {
            at: At::Size,
            size: 0,
            digits: 0,
            line: 0,
            extensions: 0,
            trailers: 0,
            trailer_bytes: 0,
            max_trailers: limits.max_headers,
            max_trailer_bytes: limits.max_size,
            name: Name::default(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            if self.at == At::Data {
                // The only state that skips: the data itself is not looked at.
                let skipped = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                self.size -= skipped as u64;
                taken += skipped;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            match self.step(byte) {
                Some(Progress::Done) => return Step { taken: taken + 1, state: Progress::Done },
                Some(_) => taken += 1,
                None => return Step { taken, state: Progress::Malformed },
            }
        }
        Step { taken, state: Progress::Open }
    }

    /// One byte that is not data; `None` when it must not stand here.
    fn step(&mut self, byte: u8) -> Option<Progress> {
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                self.digits += 1;
                self.size = self.size * 16 + u64::from(digit);
                if self.digits > MAX_SIZE_DIGITS {
                    return None;
                }
                At::Size
            }
            (
                At::Size | At::ExtensionName { empty: false } | At::ExtensionValue { empty: false } | At::Unquoted,
                b'\r',
            ) if self.digits > 0 => At::SizeLf,
            (
                At::Size | At::ExtensionName { empty: false } | At::ExtensionValue { empty: false } | At::Unquoted,
                b';',
            ) if self.digits > 0 => At::ExtensionName { empty: true },
            (At::ExtensionName { empty: false }, b'=') => At::ExtensionValue { empty: true },
            (At::ExtensionValue { empty: true }, b'"') => At::Quoted,
            (At::ExtensionName { .. }, byte) if head::is_token(&[byte]) => At::ExtensionName { empty: false },
            (At::ExtensionValue { .. }, byte) if head::is_token(&[byte]) => At::ExtensionValue { empty: false },
            (At::Quoted, b'"') => At::Unquoted,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, byte) if head::is_value(&[byte]) => At::Quoted,
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                self.line = 0;
                if self.size == 0 { At::TrailerStart } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::TrailerStart | At::TrailerName, byte) if head::is_token(&[byte]) => {
                if self.at == At::TrailerStart {
                    self.trailers += 1;
                    self.name = Name::default();
                }
                self.name.push(byte);
                At::TrailerName
            }
            (At::TrailerName, b':') if !self.name.is_forbidden() => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, byte) if head::is_value(&[byte]) => At::TrailerValue,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => return Some(Progress::Done),
            _ => return None,
        };
        self.within_limits().then_some(Progress::Open)
    }

    fn within_limits(&mut self) -> bool {
        match self.at {
            At::Data | At::DataCr | At::DataLf | At::EndLf => true,
            At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf => {
                self.trailer_bytes += 1;
                self.trailer_bytes <= self.max_trailer_bytes && self.trailers <= self.max_trailers
            }
            at => {
                self.line += 1;
                self.extensions += usize::from(!matches!(at, At::Size | At::SizeLf));
                self.line <= MAX_SIZE_LINE && self.extensions <= MAX_EXTENSIONS
            }
        }
    }
}

// === impl Name ===

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
            self.length += 1;
        }
    }

    fn is_forbidden(&self) -> bool {
        headers::frames_or_routes(self.bytes.get(..self.length).unwrap_or_default())
    }
}
