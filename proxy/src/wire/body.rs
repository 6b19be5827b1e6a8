//! The one body type: empty, whole, or streaming from a peer, and optionally watched and timed.
//! It does not know what its watcher does, nor where the bytes go.

mod ahead;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::error::Reason;
use crate::moment;
use crate::wire::client::Reading;
use crate::wire::clock::Clock;
use crate::wire::guard::Handle;
use ahead::Ahead;

/// A message body in either direction.
///
/// It stands inline in the message: only a watcher is boxed, by whoever makes it.
pub struct Body {
    source: Source,
    watch: Option<Box<dyn Watch>>,
    idle: Option<Idle>,
    deadline: Option<(Instant, Reason)>,
    clock: Clock,
}

/// A body of any kind.
pub type Made = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>;

/// Is told what passes through a body.
pub trait Watch {
    /// A piece of `bytes` bytes passed.
    fn data(&mut self, bytes: usize);
    /// The body is over. Called exactly once, whatever happens.
    fn end(self: Box<Self>, end: End);
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every byte it had was taken.
    Complete,
    /// It broke; the reader saw the same error.
    Error(Reason),
    /// The reader dropped it before its end.
    Dropped,
}

/// Why a body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body ended early: {reason}")]
pub struct BodyError {
    pub reason: Reason,
}

enum Source {
    Empty,
    Full(Bytes),
    /// From a client over HTTP/1: the guard knows best why it broke.
    Guarded(Incoming, Handle),
    /// From a client over HTTP/2.
    Client(Incoming),
    /// From an upstream over HTTP/1.
    Reading(Reading),
    /// From an upstream over HTTP/2.
    Upstream(Incoming),
    /// A body that was watched before; rare.
    Nested(Box<Body>),
    /// Whatever somebody else makes of one.
    Made(Made),
}

struct Idle {
    limit: Duration,
    reason: Reason,
    /// When the wait for the next piece is too long; set while one is waited for.
    until: Option<Instant>,
}

// === impl Body ===

impl Body {
    const fn of(source: Source) -> Self {
        Self { source, watch: None, idle: None, deadline: None, clock: Clock::new() }
    }

    /// No bytes at all.
    pub const fn empty() -> Self {
        Self::of(Source::Empty)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self::of(Source::Full(bytes)) }
    }

    /// A request's body behind a guard.
    pub(crate) const fn guarded(incoming: Incoming, handle: Handle) -> Self {
        Self::of(Source::Guarded(incoming, handle))
    }

    /// A request's body over HTTP/2.
    pub(crate) const fn client(incoming: Incoming) -> Self {
        Self::of(Source::Client(incoming))
    }

    /// A response's body over HTTP/1.
    pub(in crate::wire) const fn reading(reading: Reading) -> Self {
        Self::of(Source::Reading(reading))
    }

    /// A response's body over HTTP/2; what breaks it is blamed on the upstream.
    pub const fn upstream(incoming: Incoming) -> Self {
        Self::of(Source::Upstream(incoming))
    }

    /// A body of any kind; what breaks it, it says itself.
    pub const fn made(body: Made) -> Self {
        Self::of(Source::Made(body))
    }

    /// These bytes, what is still to come of `rest`, and the trailers; where there is a rest, they are its own. `counted` is dropped once the
    /// bytes have gone.
    pub(crate) fn ahead(first: Bytes, rest: Option<Self>, trailers: Option<HeaderMap>, counted: Box<dyn Any>) -> Self {
        match (rest, trailers) {
            (None, None) if first.is_empty() => Self::empty(),
            (Some(rest), None) if first.is_empty() => rest,
            (rest, trailers) => Self::made(Box::pin(Ahead { first, rest, trailers, counted: Some(counted) })),
        }
    }

    /// Has `watch` told of what passes from now on.
    #[must_use]
    pub fn watched(self, watch: Box<dyn Watch>) -> Self {
        let mut body = if self.watch.is_some() { Self::of(Source::Nested(Box::new(self))) } else { self };
        body.watch = Some(watch);
        body
    }

    /// Breaks with `reason` when the reader has waited for one piece longer than `limit`.
    pub fn idle_timeout(&mut self, limit: Duration, reason: Reason) {
        self.idle = Some(Idle { limit, reason, until: None });
    }

    /// Breaks with `reason` at `at`, or as soon after that as it is asked for anything but its last piece.
    pub fn deadline(&mut self, at: Instant, reason: Reason) {
        self.deadline = Some((at, reason));
    }

    fn break_off(&mut self, reason: Reason) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.source = Source::Empty;
        self.finish(End::Error(reason));
        Poll::Ready(Some(Err(BodyError { reason })))
    }

    fn finish(&mut self, end: End) {
        if let Some(watch) = self.watch.take() {
            watch.end(end);
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let idle = self.idle.as_mut().map(|idle| {
            let until = *idle.until.get_or_insert_with(|| Instant::now() + idle.limit);
            (until, idle.reason)
        });
        let first = match (idle, self.deadline) {
            (Some(idle), Some(deadline)) => Some(if idle.0 < deadline.0 { idle } else { deadline }),
            (idle, deadline) => idle.or(deadline),
        };
        match first {
            Some((until, reason)) => self.clock.poll(cx, until).map(|()| reason),
            None => Poll::Pending,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match this.source.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // A reader that is slow to ask does not make it last for longer.
                if let Some((at, reason)) = this.deadline
                    && at.into_std() <= moment::recent()
                    && !this.source.is_end_stream()
                {
                    return this.break_off(reason);
                }
                if let Some(idle) = &mut this.idle {
                    idle.until = None;
                }
                if let (Some(data), Some(watch)) = (frame.data_ref(), &mut this.watch) {
                    watch.data(data.len());
                }
                // A reader that knows the length does not ask again after the last byte.
                if this.watch.is_some() && (frame.is_trailers() || this.source.is_end_stream()) {
                    this.finish(End::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish(End::Complete);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.finish(End::Error(error.reason));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => match this.poll_timers(cx) {
                Poll::Ready(reason) => this.break_off(reason),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.watch.is_some() {
            let end = if self.source.is_end_stream() { End::Complete } else { End::Dropped };
            self.finish(end);
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("watched", &self.watch.is_some()).finish_non_exhaustive()
    }
}

// === impl Source ===

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        use http_body::Body as _;
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Guarded(incoming, handle) => Pin::new(incoming)
                .poll_frame(cx)
                .map_err(|_| BodyError { reason: handle.fault().unwrap_or(Reason::ClientClosed) }),
            Self::Client(incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(|error| BodyError { reason: client_reason(&error) })
            }
            Self::Reading(reading) => Pin::new(reading).poll_frame(cx),
            Self::Upstream(incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(|_| BodyError { reason: Reason::UpstreamBodyIncomplete })
            }
            Self::Nested(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Made(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        use http_body::Body as _;
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Guarded(incoming, _) | Self::Client(incoming) | Self::Upstream(incoming) => incoming.is_end_stream(),
            Self::Reading(reading) => reading.is_end_stream(),
            Self::Nested(body) => body.is_end_stream(),
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        use http_body::Body as _;
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Guarded(incoming, _) | Self::Client(incoming) | Self::Upstream(incoming) => incoming.size_hint(),
            Self::Reading(reading) => reading.size_hint(),
            Self::Nested(body) => body.size_hint(),
            Self::Made(body) => body.size_hint(),
        }
    }
}

/// A stream that a client reset was left; what else breaks one is its own doing (a length that is not kept).
fn client_reason(error: &hyper::Error) -> Reason {
    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return Reason::ClientClosed;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let protocol = h2.reason() == Some(h2::Reason::PROTOCOL_ERROR) && !h2.is_remote();
            return if protocol { Reason::MalformedBody } else { Reason::ClientClosed };
        }
        cause = error.source();
    }
    Reason::ClientClosed
}
