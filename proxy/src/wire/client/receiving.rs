//! An answer on its way in: its head, and its body as it is asked for.
//! It does not know what was asked.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::Malformed;
use super::answer::{self, Head, Length};
use super::chunked::{Chunks, Step};
use super::stream::Stream;
use crate::error::Reason;
use crate::wire::interim::Interim;

/// What is read of one answer.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Room for what is read next.
    buffer: BytesMut,
    /// What was read and not yet taken.
    rest: Bytes,
    stage: Stage,
    /// How much is read at once.
    room: usize,
    keep_alive: bool,
    /// Who reads, where somebody else could close the connection.
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is awaited.
    Idle,
    Head(Wait),
    Length(u64),
    Chunked(Chunks),
    /// To the end of the connection.
    Close,
    /// It ended early.
    Broken(Reason),
}

/// What is known while a head is awaited.
#[derive(Debug, Default)]
struct Wait {
    /// Whether the answer has no body, whatever its head says (RFC 9110, 9.3.2).
    without_body: bool,
    /// How much of the head was looked at; more than nothing only where it comes in pieces.
    seen: usize,
    interims: usize,
    interim_bytes: usize,
}

/// A piece of a body, and whether it is the last.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) frame: Option<Frame<Bytes>>,
    pub(super) last: bool,
}

/// How much is read at once: at first, and at most. The latter is also what a slow client makes us hold, and how large an answer's head
/// may be.
const FIRST: usize = 8 * 1024;
const MOST: usize = 128 * 1024;
/// How many interim answers a request may get, and how many bytes they may have together. Who goes on is broken, or means ill.
const MOST_INTERIMS: usize = 100;
const MOST_INTERIM_BYTES: usize = 64 * 1024;

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHead {
    /// The connection ended, or broke.
    Died,
    Malformed,
}

// === impl Inbound ===

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            rest: Bytes::new(),
            stage: Stage::Idle,
            room: FIRST,
            keep_alive: true,
            waker: None,
        }
    }

    pub(super) fn begin(&mut self, without_body: bool) {
        self.stage = Stage::Head(Wait { without_body, ..Wait::default() });
    }

    /// Whether the answer is over, or none was asked for.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Whether another answer can follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.keep_alive && self.is_over() && self.rest.is_empty()
    }

    /// No other answer is to follow.
    pub(super) const fn retire(&mut self) {
        self.keep_alive = false;
    }

    /// How many bytes of the body are to come, where that is known.
    pub(super) const fn left(&self) -> Option<u64> {
        match self.stage {
            Stage::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Has this task woken when the connection is closed.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What was read behind the answer.
    pub(super) fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// Reads up to the end of the final answer's head, passing on interim ones. Its fields take the room of `old`.
    pub(super) fn poll_head(
        &mut self,
        stream: &mut Stream,
        old: &mut HeaderMap,
        interim: Option<&Interim>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, NoHead>> {
        loop {
            let Stage::Head(wait) = &mut self.stage else { return Poll::Ready(Err(NoHead::Died)) };
            // A head that comes byte by byte is not read once for each.
            if !self.rest.is_empty() && (wait.seen == 0 || answer::ends(&self.rest, wait.seen)) {
                match answer::parse(&self.rest, old) {
                    Ok(Some((head, facts, length))) => {
                        self.rest.advance(length);
                        if answer::is_interim(head.status) {
                            wait.pass(head, length, interim)?;
                            continue;
                        }
                        self.keep_alive &= facts.keep_alive && head.status != StatusCode::SWITCHING_PROTOCOLS;
                        let without_body = wait.without_body || has_no_body(head.status);
                        self.stage = if without_body { Stage::Idle } else { Stage::of(facts.body) };
                        if self.is_over() {
                            self.end();
                        }
                        return Poll::Ready(Ok(head));
                    }
                    Ok(None) => {
                        // Empty lines before a head say nothing.
                        while self.rest.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                            self.rest.advance(1);
                        }
                        wait.seen = self.rest.len();
                        if wait.seen >= MOST {
                            return Poll::Ready(Err(NoHead::Malformed));
                        }
                    }
                    Err(Malformed) => return Poll::Ready(Err(NoHead::Malformed)),
                }
            } else if self.rest.len() >= MOST {
                return Poll::Ready(Err(NoHead::Malformed));
            }
            match ready!(self.fill(stream, cx)) {
                Ok(0) => return Poll::Ready(Err(NoHead::Died)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(NoHead::Malformed));
                }
                Err(_) => return Poll::Ready(Err(NoHead::Died)),
            }
        }
    }

    /// Reads the next piece of the body.
    pub(super) fn poll_piece(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<Piece, Reason>> {
        if let Stage::Broken(reason) = self.stage {
            return Poll::Ready(Err(reason));
        }
        let polled = self.poll_next(stream, cx);
        match &polled {
            Poll::Ready(Ok(piece)) if piece.last => self.end(),
            Poll::Ready(Err(reason)) => {
                // What came before it goes out first: hyper would throw away with the error what it has not yet written.
                self.stage = Stage::Broken(*reason);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        polled
    }

    fn end(&mut self) {
        self.keep_alive &= !matches!(self.stage, Stage::Close);
        self.stage = Stage::Idle;
        self.room = FIRST;
        self.buffer = BytesMut::new();
    }

    fn poll_next(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<Piece, Reason>> {
        loop {
            match &mut self.stage {
                Stage::Length(left) if !self.rest.is_empty() => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(self.rest.len());
                    *left -= taken as u64;
                    let last = *left == 0;
                    return Poll::Ready(Ok(Piece::data(self.rest.split_to(taken), last)));
                }
                Stage::Close if !self.rest.is_empty() => {
                    return Poll::Ready(Ok(Piece::data(std::mem::take(&mut self.rest), false)));
                }
                Stage::Chunked(chunks) => match chunks.next(&mut self.rest) {
                    Ok(Step::More) => {}
                    Ok(Step::Data(data)) => {
                        let last = chunks.is_last(&mut self.rest);
                        return Poll::Ready(Ok(Piece::data(data, last)));
                    }
                    Ok(Step::End(trailers)) => return Poll::Ready(Ok(Piece::end(trailers))),
                    Err(Malformed) => return Poll::Ready(Err(Reason::UpstreamProtocol)),
                },
                Stage::Length(_) | Stage::Close => {}
                Stage::Idle | Stage::Head(_) | Stage::Broken(_) => {
                    return Poll::Ready(Err(Reason::UpstreamBodyIncomplete));
                }
            }
            match ready!(self.fill(stream, cx)) {
                Ok(0) if matches!(self.stage, Stage::Close) => return Poll::Ready(Ok(Piece::end(HeaderMap::new()))),
                Ok(0) => return Poll::Ready(Err(Reason::UpstreamBodyIncomplete)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(Reason::UpstreamProtocol));
                }
                Err(_) => return Poll::Ready(Err(Reason::UpstreamBodyIncomplete)),
            }
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (read, room) = if self.rest.is_empty() && self.room == FIRST {
            // By way of the stack: an answer that waits, or comes drop by drop, holds no room for what is next.
            let mut piece = [const { MaybeUninit::uninit() }; FIRST];
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
            self.rest = Bytes::copy_from_slice(piece.filled());
            (self.rest.len(), FIRST)
        } else {
            ready!(self.fill_buffer(stream, cx))?
        };
        if read == room {
            self.room = (self.room * 2).min(MOST);
        } else if read < self.room / 4 && self.room > FIRST {
            self.room /= 2;
            self.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(read))
    }

    /// The same for what is long, or goes on where a line was cut. With how much could have been read.
    fn fill_buffer(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<(usize, usize)>> {
        if !self.rest.is_empty() {
            // What is left of a line goes before what is read. Where nothing else holds it, it stays where it is.
            self.buffer = BytesMut::new();
            let rest = std::mem::take(&mut self.rest);
            self.buffer = rest.try_into_mut().unwrap_or_else(|rest| BytesMut::from(&rest[..]));
        }
        if self.buffer.capacity() - self.buffer.len() < self.room {
            self.buffer.reserve(self.room);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let polled = pin!(stream.read_buf(&mut self.buffer)).poll(cx);
        if !self.buffer.is_empty() {
            self.rest = self.buffer.split().freeze();
        }
        polled.map_ok(|read| (read, room))
    }
}

// === impl Stage ===

impl Stage {
    const fn of(length: Length) -> Self {
        match length {
            Length::Exact(0) => Self::Idle,
            Length::Exact(length) => Self::Length(length),
            Length::Chunked => Self::Chunked(Chunks::new()),
            Length::Close => Self::Close,
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Passes an interim answer on.
    fn pass(&mut self, head: Head, length: usize, to: Option<&Interim>) -> Result<(), NoHead> {
        self.seen = 0;
        self.interims += 1;
        self.interim_bytes += length;
        if self.interims > MOST_INTERIMS || self.interim_bytes > MOST_INTERIM_BYTES {
            return Err(NoHead::Malformed);
        }
        if let Some(to) = to {
            to.pass(head.status, head.version, head.headers);
        }
        Ok(())
    }
}

// === impl Piece ===

impl Piece {
    fn data(data: Bytes, last: bool) -> Self {
        Self { frame: Some(Frame::data(data)), last }
    }

    fn end(trailers: HeaderMap) -> Self {
        Self { frame: (!trailers.is_empty()).then(|| Frame::trailers(trailers)), last: true }
    }
}

/// Whether an answer of this status has no body, whatever its head says.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
