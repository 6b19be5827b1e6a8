//! The labels that come from a request, packed into one integer: each from a closed set.
//! It knows no metric.

use std::borrow::Cow;
use std::hash::{BuildHasherDefault, Hasher};

use ::http::{Method, StatusCode, Version};

use crate::error::Reason;

/// What a method that is not known is called, by the HTTP convention.
pub(super) const OTHER: &str = "_OTHER";

/// The methods of RFC 9110 section 9 and RFC 5789, then all others.
pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER];

/// By the HTTP convention, without the protocol's name.
pub(super) const VERSIONS: [&str; 5] = ["0.9", "1.0", "1.1", "2", "3"];

/// The labels of a served request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Index into [`METHODS`].
    pub method: u8,
    /// Index into [`VERSIONS`].
    pub version: u8,
    pub https: bool,
    pub error: Option<Reason>,
    /// 0, or 100 to 599.
    pub status: u16,
}

/// For tables whose keys the client cannot choose freely: fast instead of safe against chosen collisions.
pub(super) type ByKey = BuildHasherDefault<KeyHasher>;

/// The multiplication of the FxHash that rustc uses.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

// === impl Server ===

impl Server {
    pub(super) fn new(
        method: &Method,
        status: Option<StatusCode>,
        version: Version,
        https: bool,
        error: Option<Reason>,
    ) -> Self {
        Self {
            method: method_index(method),
            version: version_index(version),
            https,
            error,
            status: status_code(status),
        }
    }

    /// Different for different labels.
    pub(super) fn key(&self) -> u32 {
        let Self { method, version, https, error, status } = *self;
        let error = error.map_or(0, |reason| 1 + reason as u32);
        u32::from(method) | u32::from(version) << 4 | u32::from(https) << 7 | u32::from(status) << 8 | error << 18
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    pub(super) fn error_type(&self) -> Cow<'static, str> {
        error_type(self.error, self.status, 500)
    }
}

// === impl KeyHasher ===

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // hashbrown takes its tag from the upper bits and the bucket from the lower ones.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.write_u64(word);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Index into [`METHODS`].
pub(super) fn method_index(method: &Method) -> u8 {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        _ => 9,
    }
}

/// The code where it is one of HTTP's five classes; else 0, as where there is none.
pub(super) fn status_code(status: Option<StatusCode>) -> u16 {
    status.map(|status| status.as_u16()).filter(|code| (100..=599).contains(code)).unwrap_or(0)
}

/// Empty where there is no status.
pub(super) fn status_text(status: u16) -> String {
    if status == 0 { String::new() } else { status.to_string() }
}

/// The reason, else the status where it means a failure to whoever asked; empty where nothing failed.
pub(super) fn error_type(error: Option<Reason>, status: u16, failed_from: u16) -> Cow<'static, str> {
    match error {
        Some(reason) => Cow::Borrowed(reason.as_str()),
        None if status >= failed_from => Cow::Owned(status.to_string()),
        None => Cow::Borrowed(""),
    }
}

fn version_index(version: Version) -> u8 {
    match version {
        Version::HTTP_09 => 0,
        Version::HTTP_10 => 1,
        Version::HTTP_2 => 3,
        Version::HTTP_3 => 4,
        _ => 2,
    }
}
