//! Requests of a plugin's own to upstreams of the configuration.
//! It sends nothing; the host does, under the upstream's breaker and with the trace of the exchange.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tidegate_abi::Reader;

use crate::define::{put_bytes, put_u32};
use crate::wait::{Answered, Ticket, bounded_milliseconds};
use crate::{Bytes, Error, Refused, Result, ffi};

/// An HTTP request to one of the upstreams that the configuration names. `call_out` of what the hook is about sends it:
/// [`Exchange::call_out`](crate::Exchange::call_out), [`Background::call_out`](crate::Background::call_out).
///
/// The host sends it to an endpoint of the upstream, as a child of the exchange's span and with the trace's headers and the
/// correlation id; the `host` header is the endpoint's unless it is set. The upstream's breaker and connect timeout hold.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a call-out is made by `call_out(..).await`"]
pub struct CallOut {
    pub(crate) upstream: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// The answer to a [`CallOut`], whole: with any status, 4xx and 5xx too.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
}

/// Why there is no [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutError {
    /// It was not sent: there is no such upstream ([`Refused::Absent`]), too many are under way ([`Refused::Budget`]), a part of
    /// it is not valid, the operator does not allow it, or the hook cannot wait.
    Refused(Refused),
    /// No answer came; this is the reason, from the proxy's closed list: `connect_failed`, `timeout`, `breaker_open`,
    /// `upstream_body_too_large` (an answer over 1 MiB) and so on.
    Failed(String),
}

// === impl CallOut ===

impl CallOut {
    /// A request with this method to an upstream, by its name in the configuration. The path begins with `/`, and has the query if
    /// there is one.
    pub fn new(method: impl Into<String>, upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            upstream: upstream.into(),
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// A GET.
    pub fn get(upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new("GET", upstream, path)
    }

    /// A POST.
    pub fn post(upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new("POST", upstream, path)
    }

    /// Adds a header. Those that frame the message are the proxy's, and refused.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body: 1 MiB at most.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a JSON value, and `content-type` with it.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// How long it may take until the answer was read to its end: 1 ms to 1 h, 5 s where nothing is said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn encoded(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            put_bytes(&mut headers, name.as_bytes());
            put_bytes(&mut headers, value);
        }
        let mut encoded = Vec::new();
        for text in [&self.upstream, &self.method, &self.path] {
            put_bytes(&mut encoded, text.as_bytes());
        }
        put_u32(&mut encoded, self.timeout.map_or(0, |timeout| bounded_milliseconds(timeout).max(1)));
        put_bytes(&mut encoded, &headers);
        put_bytes(&mut encoded, &self.body);
        encoded
    }
}

/// Sends a call-out and waits for its answer.
pub(crate) async fn call_out(call_out: CallOut) -> Result<Answer, CallOutError> {
    let ticket = Ticket::new(ffi::call_out(&call_out.encoded()), true).map_err(CallOutError::Refused)?;
    drop(call_out);
    match ticket.await {
        Answered::Response { status, headers, body } => Ok(Answer { status, headers: decode(&headers), body }),
        Answered::Failed(why) => Err(CallOutError::Failed(why.to_str_lossy().into_owned())),
        Answered::Woke => Err(CallOutError::Failed("internal".to_owned())),
    }
}

fn decode(encoded: &[u8]) -> Vec<(String, Bytes)> {
    let mut reader = Reader::new(encoded);
    let mut all = Vec::new();
    while let (Ok(name), Ok(value)) = (reader.bytes(), reader.bytes()) {
        all.push((String::from_utf8_lossy(name).into_owned(), value.into()));
    }
    all
}

// === impl Answer ===

impl Answer {
    /// The status, 200 to 599.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The first value of a header; names are case-insensitive.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every value of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, as name and value, in order.
    pub fn headers(&self) -> &[(String, Bytes)] {
        &self.headers
    }

    /// The body, 1 MiB at most.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// When it is none, or does not fit the type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(Error::from)
    }
}

// === impl CallOutError ===

impl fmt::Display for CallOutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refused::Absent) => {
                f.write_str("the call-out was refused: there is no upstream of that name")
            }
            Self::Refused(why) => write!(f, "the call-out was refused: {why}"),
            Self::Failed(reason) => write!(f, "the call-out failed: {reason}"),
        }
    }
}

impl std::error::Error for CallOutError {}
