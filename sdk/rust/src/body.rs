//! Bodies: how a hook wants one, and the piece that it is called with.
//! The bytes stay on the host until a hook reads them.

use std::marker::PhantomData;

use tidegate_abi::{Mode, Number, Overflow};

use crate::exchange::count;
use crate::{Bytes, Refused, ffi};

/// How a body hook wants its body: [`Define::request_body`](crate::Define::request_body) says it for all exchanges,
/// [`Exchange::request_body_mode`](crate::Exchange::request_body_mode) for one. Where nothing is said it is [`BodyMode::stream`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyMode {
    pub(crate) mode: Mode,
    pub(crate) limit: i64,
    pub(crate) overflow: Overflow,
}

/// A piece of a body: which one depends on the [`BodyMode`]. Only a body hook has one.
#[derive(Debug)]
pub struct Body {
    /// It is whatever the host is busy with.
    here: PhantomData<*const ()>,
}

// === impl BodyMode ===

impl BodyMode {
    /// Each piece as it passes, to be read only. Nothing is held back.
    pub const fn stream() -> Self {
        Self { mode: Mode::Stream, limit: 0, overflow: Overflow::Pass }
    }

    /// Each piece as it passes, and it may be changed. The message loses its `content-length`.
    pub const fn rewrite() -> Self {
        Self { mode: Mode::Rewrite, limit: 0, overflow: Overflow::Pass }
    }

    /// Once, with the first `bytes` of it (at most 64 MiB), or fewer where the body is shorter; they may be changed, the rest passes. The
    /// head of the message waits for the hook, which can still change it, and reply.
    pub const fn peek(bytes: usize) -> Self {
        Self { mode: Mode::Peek, limit: limit(bytes), overflow: Overflow::Pass }
    }

    /// Once, with the whole body, which may be changed, of `bytes` at most (64 MiB). The head of the message waits for the hook, which
    /// can still change it, and reply. A longer body passes, and the hook is not called; [`or_reject`](Self::or_reject) and
    /// [`or_fail`](Self::or_fail) say otherwise.
    pub const fn buffer(bytes: usize) -> Self {
        Self { mode: Mode::Buffer, limit: limit(bytes), overflow: Overflow::Pass }
    }

    /// Not at all: the hook is not called.
    pub const fn skip() -> Self {
        Self { mode: Mode::Skip, limit: 0, overflow: Overflow::Pass }
    }

    /// A body that is longer than the buffer is refused: a request with 413, a response with 502.
    #[must_use]
    pub const fn or_reject(mut self) -> Self {
        self.overflow = Overflow::Reject;
        self
    }

    /// A body that is longer than the buffer fails the plugin; its `on_failure` decides.
    #[must_use]
    pub const fn or_fail(mut self) -> Self {
        self.overflow = Overflow::Fail;
        self
    }

    pub(crate) fn tell(self, body: tidegate_abi::Body) -> Result<(), Refused> {
        Refused::check(ffi::body_mode(body as i32, self.mode as i32, self.limit, self.overflow as i32)).map(drop)
    }
}

const fn limit(bytes: usize) -> i64 {
    // What does not fit is too large for the host as well, which says so.
    if bytes > i32::MAX as usize { i32::MAX as i64 } else { bytes as i64 }
}

// === impl Body ===

impl Body {
    pub(crate) const fn new() -> Self {
        Self { here: PhantomData }
    }

    /// Bytes of the piece.
    pub fn len(&self) -> usize {
        usize::try_from(count(Number::PieceBytes)).unwrap_or_default()
    }

    /// Whether the piece has no bytes, as the last one of a body may.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing of the body follows this piece.
    pub fn is_last(&self) -> bool {
        count(Number::PieceIsLast) == 1
    }

    /// Copies the piece out of the host, whole.
    pub fn read(&self) -> Bytes {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes);
        Bytes::from(bytes)
    }

    /// As [`Body::read`], into a buffer that is used again: adds the piece to its end.
    pub fn read_into(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.resize(start + self.len(), 0);
        let read = buffer.get_mut(start..).map_or(0, |piece| ffi::body_read(0, piece));
        buffer.truncate(start + usize::try_from(read).unwrap_or_default());
    }

    /// Puts these bytes in the place of the piece; none drop it.
    ///
    /// # Errors
    /// [`Refused::Stage`] when the mode lets it pass unchanged ([`BodyMode::stream`]), [`Refused::Denied`] when the operator does not
    /// allow it; then nothing has changed.
    pub fn replace(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Refused> {
        Refused::check(ffi::body_replace(bytes.as_ref())).map(drop)
    }

    /// Adds bytes behind the piece.
    ///
    /// # Errors
    /// As [`Body::replace`].
    pub fn append(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Refused> {
        Refused::check(ffi::body_append(bytes.as_ref())).map(drop)
    }
}
