//! The other side of a call-out in a test: the request that a plugin made, and what it is answered.
//! It does not decide when.

use std::time::Duration;

use super::Seen;
use crate::Reply;

/// A request that the plugin made with `call_out`.
#[derive(Clone, Debug)]
pub struct TestCallOut {
    upstream: String,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// What a call-out is answered: a status (`200.into()`), a [`Reply`], or a failure.
#[derive(Clone, Debug)]
pub struct TestAnswer {
    pub(super) answer: Result<Reply, String>,
    pub(super) after: Duration,
}

// === impl TestCallOut ===

impl TestCallOut {
    pub(super) fn new(
        upstream: &str,
        method: &str,
        path: &str,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    ) -> Self {
        Self { upstream: upstream.to_owned(), method: method.to_owned(), path: path.to_owned(), headers, body }
    }

    /// The upstream's name.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, with its query if there is one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Seen {
        let value = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        value.map_or(Seen::Absent, |(_, value)| Seen::text(value))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

// === impl TestAnswer ===

impl TestAnswer {
    /// An answer with this status, no headers and no body.
    pub const fn new(status: u16) -> Self {
        Self { answer: Ok(Reply::new(status)), after: Duration::ZERO }
    }

    /// No answer, for this reason of the proxy's closed list, such as `connect_failed`.
    pub fn failed(reason: &str) -> Self {
        Self { answer: Err(reason.to_owned()), after: Duration::ZERO }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.answer = self.answer.map(|reply| reply.header(name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.answer = self.answer.map(|reply| reply.body(body));
        self
    }

    /// How long the answer takes. What takes longer than the call-out's timeout fails with `timeout`.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

impl From<u16> for TestAnswer {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

impl From<Reply> for TestAnswer {
    fn from(reply: Reply) -> Self {
        Self { answer: Ok(reply), after: Duration::ZERO }
    }
}
