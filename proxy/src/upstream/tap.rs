//! What passes between hyper and an upstream over HTTP/1, seen from outside: the head of a request as it was written, to send it again,
//! and the interim answers (1xx but 101), which hyper passes over.
//! It changes no byte, and does not decide what is sent again.
//!
//! hyper would show interim answers to a callback, and a request could be copied before it is given away. But next to no request
//! has a use for either, and each would pay: four allocations for a callback, as many for a copy of its headers. A look at
//! the first bytes of an answer and a copy of the bytes that are written are next to nothing.

mod heads;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::heads::{Hearing, InterimHead};
use crate::wire::interim::Interim;

/// A connection with a tap on it.
#[derive(Debug)]
pub struct Tapped<IO> {
    io: IO,
    tap: Tap,
    /// While the final answer to a request that asked for interim ones is awaited.
    hearing: Option<Hearing>,
    /// Whether something that hyper wanted to write is not written yet.
    unfinished: bool,
}

/// Where the requests on a connection ask for what is tapped, and get it.
///
/// hyper wants connections that other threads could hold, so the types here are for that; connection and request are tasks of one
/// worker, and nobody ever waits for the lock.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Shared>);

/// A request's ear at the connection that it is on, and where it passes on what it hears.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    tap: &'a Tap,
    to: &'a Interim,
}

#[derive(Default)]
struct Shared {
    /// What the request that is about to be written asks for: [`KEEP`], [`HEAR`].
    asked: AtomicU8,
    /// Whether there was an interim answer for this request. One without, nearly every, looks no further.
    arrived: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: Vec<u8>,
    heads: Vec<InterimHead>,
    waker: Option<Waker>,
}

const KEEP: u8 = 1;
const HEAR: u8 = 2;

/// What a connection keeps at most of the room for a request's head once the next one is sent.
const ROOM: usize = 4096;

// === impl Tapped ===

impl<IO> Tapped<IO> {
    pub(super) const fn new(io: IO, tap: Tap) -> Self {
        Self { io, tap, hearing: None, unfinished: false }
    }

    pub fn into_inner(self) -> IO {
        self.io
    }

    /// What hyper is about to write. The first that there is of a request is all of its head, unless something of the request before has yet
    /// to go: an answer can be there before its request is out. Then nothing is kept.
    fn written(&mut self, pieces: &[IoSlice<'_>]) {
        let asked = self.tap.0.asked.load(Ordering::Relaxed);
        if asked != 0 {
            self.tap.0.asked.store(0, Ordering::Relaxed);
            self.hearing = (asked & HEAR != 0).then(Hearing::default);
            if asked & KEEP != 0 {
                self.tap.with(|state| {
                    state.written.clear();
                    state.written.shrink_to(ROOM);
                    if !self.unfinished {
                        pieces.iter().for_each(|piece| state.written.extend_from_slice(piece));
                    }
                });
            }
        }
    }

    /// What became of a write of so many bytes.
    fn wrote(&mut self, length: usize, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.unfinished = !matches!(polled, Poll::Ready(Ok(written)) if written == length);
        polled
    }

    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(hearing) = &mut self.hearing else { return Ok(()) };
        let more = hearing.hear(bytes, |head| self.tap.push(head))?;
        if !more {
            self.hearing = None;
        }
        Ok(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Tapped<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.hearing.is_none() {
            return Pin::new(&mut this.io).poll_read(cx, out);
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, out))?;
        Poll::Ready(this.hear(out.filled().get(before..).unwrap_or_default()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Tapped<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.written(&[IoSlice::new(bytes)]);
        let polled = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.wrote(bytes.len(), polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.written(pieces);
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, pieces);
        this.wrote(pieces.iter().map(|piece| piece.len()).sum(), polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

// === impl Tap ===

impl Tap {
    /// Says what is wanted of the request that is about to be sent: that its head is kept, and that interim answers to it are heard.
    pub(super) fn begin(&self, keep: bool, hear: bool) {
        if self.0.arrived.load(Ordering::Relaxed) {
            self.0.arrived.store(false, Ordering::Relaxed);
            self.with(|state| state.heads.clear());
        }
        let asked = if keep { KEEP } else { 0 } | if hear { HEAR } else { 0 };
        self.0.asked.store(asked, Ordering::Relaxed);
    }

    /// The request that was to be kept, as hyper wrote it; `None` where it has not.
    pub(super) fn request<B>(&self, body: B) -> Option<Request<B>> {
        if self.0.asked.load(Ordering::Relaxed) & KEEP != 0 {
            return None;
        }
        self.with(|state| heads::request(&state.written, body))
    }

    /// Passes interim answers on to this.
    pub(super) const fn relay<'a>(&'a self, to: &'a Interim) -> Relay<'a> {
        Relay { tap: self, to }
    }

    fn push(&self, head: InterimHead) {
        self.0.arrived.store(true, Ordering::Relaxed);
        self.with(|state| {
            state.heads.push(head);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Tap {
    /// Heads can hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

// === impl Relay ===

impl Relay<'_> {
    /// Passes on what has come. While `waiting` for the final answer, the task is woken by the next one.
    pub(super) fn poll(&self, cx: &Context<'_>, waiting: bool) {
        if waiting {
            self.tap.with(|state| match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => state.waker = Some(cx.waker().clone()),
            });
        }
        if self.tap.0.arrived.load(Ordering::Relaxed) {
            for (status, version, headers) in self.tap.with(|state| std::mem::take(&mut state.heads)) {
                self.to.pass(status, version, headers);
            }
        }
    }
}
