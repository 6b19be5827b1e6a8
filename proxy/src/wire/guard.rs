//! The strict HTTP/1 check in front of hyper: no byte of a head reaches hyper before the whole head was checked.
//! It never writes, and does not know what is answered.

mod framing;
mod handle;
pub mod head;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::error::Reason;
use crate::wire::clock::Clock;
use crate::wire::config::HeadLimits;
use crate::wire::guard::framing::{Framing, Progress};
use crate::wire::guard::head::Scan;

pub use handle::{Handle, HeadFacts};

/// Stands between a connection and hyper's HTTP/1 server.
///
/// Heads are kept back until their empty line, checked, and then handed on; bodies pass through while their framing is
/// followed, so that the place of the next head is known. In place of a head that is not well-formed hyper reads
/// `SYNTHETIC`, and [`Handle::next_request`] says why; nothing is read after it.
///
/// Times: a fresh connection must complete its first head `limits.timeout` after it was accepted. Later the first byte
/// of a head may be waited for `idle` after the exchange before ended, and from that byte on (not before the exchange
/// before ended) the head has `limits.timeout`. A connection that sent nothing is closed without an answer. A body that
/// is owed may be silent for `idle`, and a client may take nothing of an answer for `idle`.
#[derive(Debug)]
pub struct Guard<IO> {
    io: IO,
    /// What was read and is not yet hyper's: a head in the making, or what came behind a body.
    buffer: BytesMut,
    state: State,
    handle: Handle,
    limits: HeadLimits,
    idle: Duration,
    clock: Clock,
    wait: Option<(Wait, Instant)>,
    /// Whether the one empty line that may stand before a head has gone by, or can not come any more.
    line_skipped: bool,
    write_clock: Clock,
    /// When a write that makes no progress is given up.
    write_until: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// Before or within a head.
    Head(Scan),
    /// So many bytes of the buffer are a checked head that hyper is to read.
    Hand {
        left: usize,
        body: Option<Framing>,
        upgrade: bool,
    },
    Body(Framing),
    /// Behind a request that asked for an upgrade: nothing passes until it was answered.
    Held {
        eof: bool,
    },
    /// The rest of a synthetic head; nothing is read any more.
    Refused(&'static [u8]),
    /// The body was not well-formed.
    Broken,
    Ended,
}

/// What the client is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    First,
    Next,
    Head,
    Body,
}

/// What hyper reads in place of a bad head.
const SYNTHETIC: &[u8] = b"GET / HTTP/1.1\r\nhost: invalid\r\nconnection: close\r\n\r\n";
/// The same where the client will expect no body in the answer.
const SYNTHETIC_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: invalid\r\nconnection: close\r\n\r\n";
/// How much is asked of the socket at once while a head is read.
const PIECE: usize = 4 * 1024;
/// How much of what follows an upgrade request is kept while the upstream makes up its mind.
const MAX_HELD: usize = 64 * 1024;

/// Reads once, at most [`PIECE`] bytes, and appends them; the number is 0 at the end of the stream.
///
/// By way of the stack: nearly every connection waits for bytes nearly always, and a buffer that is offered to each is memory
/// that nobody uses. What is copied are heads, of some hundred bytes.
pub(in crate::wire) fn read<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut piece = [const { MaybeUninit::uninit() }; PIECE];
    let mut piece = ReadBuf::uninit(&mut piece);
    ready!(Pin::new(io).poll_read(cx, &mut piece))?;
    buffer.extend_from_slice(piece.filled());
    Poll::Ready(Ok(piece.filled().len()))
}

// === impl Guard ===

impl<IO> Guard<IO> {
    /// Guards `io`, of which `early` was already read, and which was accepted at `accepted`.
    pub fn new(io: IO, early: BytesMut, limits: HeadLimits, idle: Duration, accepted: Instant) -> (Self, Handle) {
        let handle = Handle::new();
        let guard = Self {
            io,
            buffer: early,
            state: State::Head(Scan::default()),
            handle: handle.clone(),
            limits,
            idle,
            clock: Clock::new(),
            wait: Some((Wait::First, accepted + limits.timeout)),
            line_skipped: false,
            write_clock: Clock::new(),
            write_until: None,
        };
        (guard, handle)
    }

    /// The connection, and what was read of it and not handed on.
    pub fn into_parts(self) -> (IO, BytesMut) {
        (self.io, self.buffer)
    }

    /// Whether everything that was sent so far was taken: closing now loses no answer to a reset.
    pub fn is_drained(&self) -> bool {
        self.buffer.is_empty() && matches!(self.state, State::Head(_) | State::Ended)
    }

    fn refuse(&mut self, reason: Reason) {
        let head_request = self.buffer.starts_with(b"HEAD ");
        self.handle.hand_over(Err(reason));
        self.state = State::Refused(if head_request { SYNTHETIC_HEAD } else { SYNTHETIC });
        self.wait = None;
    }

    /// Until when the client may be silent.
    fn deadline(&mut self, wait: Wait) -> Instant {
        let limit = match wait {
            Wait::First | Wait::Head => self.limits.timeout,
            Wait::Next | Wait::Body => self.idle,
        };
        let (_, mut until) = match self.wait {
            Some((kind, until)) if kind == wait => (kind, until),
            _ => (wait, Instant::now() + limit),
        };
        // Between requests the clock does not run while we owe the answer.
        if matches!(wait, Wait::Next | Wait::Head) {
            match self.handle.idle_since() {
                None => until = Instant::now() + limit,
                Some(since) => until = until.max(since + limit),
            }
        }
        self.wait = Some((wait, until));
        until
    }
}

impl<IO: AsyncRead + Unpin> Guard<IO> {
    /// Ready when there is a first head for hyper to read, as it came or in place of a bad one; with false where there will be
    /// none.
    pub fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        ready!(self.poll_head(cx))?;
        Poll::Ready(Ok(!matches!(self.state, State::Ended)))
    }

    /// Reads more into our own buffer; the number is 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // One large head must not cost memory for as long as the connection lives.
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * PIECE {
            self.buffer = BytesMut::new();
        }
        read(&mut self.io, &mut self.buffer, cx)
    }

    /// Within a head: looks for its end, and reads more until it is there.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let State::Head(scan) = &mut self.state else { return Poll::Ready(Ok(())) };
            // One empty line in front is what some old clients send after a body (RFC 9112, 2.2).
            let undecided = !self.line_skipped
                && match &*self.buffer {
                    [] | [b'\r'] => true,
                    [b'\r', b'\n', ..] => {
                        self.buffer.advance(2);
                        self.line_skipped = true;
                        self.buffer.is_empty()
                    }
                    _ => {
                        self.line_skipped = true;
                        false
                    }
                };
            let found = if undecided { Ok(None) } else { scan.advance(&self.buffer, &self.limits) };
            let checked = match found {
                Ok(None) => {
                    let read = self.poll_fill(cx);
                    self.handle.set_mid_head(!self.buffer.is_empty());
                    match read {
                        Poll::Ready(read) => {
                            if read? == 0 {
                                self.state = State::Ended;
                                return Poll::Ready(Ok(()));
                            }
                        }
                        Poll::Pending => return self.poll_head_timeout(cx),
                    }
                    continue;
                }
                Ok(Some(length)) => {
                    let head = self.buffer.get(..length).ok_or(Reason::Internal).and_then(head::check_lines);
                    // Who speaks another protocol would not understand an answer (RFC 9113, 3.4: a preface that is none).
                    if head == Err(Reason::MalformedHead) && head::is_foreign(&self.buffer) {
                        self.buffer.clear();
                        self.state = State::Ended;
                        return Poll::Ready(Ok(()));
                    }
                    head.map(|head| (length, head))
                }
                Err(reason) => Err(reason),
            };
            self.line_skipped = false;
            self.handle.set_mid_head(false);
            match checked {
                Ok((left, head)) => {
                    let body = Framing::new(head.body, &self.limits);
                    self.handle.hand_over(Ok(HeadFacts { body: head.body, upgrade: head.upgrade && body.is_none() }));
                    self.wait = None;
                    self.state = State::Hand { left, upgrade: head.upgrade && body.is_none(), body };
                }
                Err(reason) => self.refuse(reason),
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_head_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wait = match self.wait {
            Some((Wait::First, _)) => Wait::First,
            _ if self.buffer.is_empty() => Wait::Next,
            _ => Wait::Head,
        };
        // While we owe the answer no deadline counts, and whenever the clock fires it is asked again.
        if wait != Wait::First && self.handle.idle_since().is_none() && self.clock.is_armed() {
            return Poll::Pending;
        }
        loop {
            let until = self.deadline(wait);
            ready!(self.clock.poll(cx, until));
            // An answer that is under way has moved the deadline.
            if self.deadline(wait) <= Instant::now() {
                break;
            }
        }
        if self.buffer.is_empty() {
            self.state = State::Ended;
        } else {
            self.refuse(Reason::HeadTimeout);
        }
        Poll::Ready(Ok(()))
    }

    /// Within a body: what hyper has room for, out of our buffer or straight from the connection.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let State::Body(framing) = &mut self.state else { return Poll::Ready(Ok(())) };
        let before = out.filled().len();
        let step = if self.buffer.is_empty() {
            match Pin::new(&mut self.io).poll_read(cx, out) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    let until = self.deadline(Wait::Body);
                    ready!(self.clock.poll(cx, until));
                    return Poll::Ready(Err(self.break_off(Reason::BodyTimeout, io::ErrorKind::TimedOut)));
                }
            }
            let read = out.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Err(self.break_off(Reason::MalformedBody, io::ErrorKind::UnexpectedEof)));
            }
            let step = framing.feed(read);
            // What lies behind the body is ours again.
            if step.state == Progress::Done {
                self.buffer.extend_from_slice(read.get(step.taken..).unwrap_or_default());
            }
            out.set_filled(before + step.taken);
            step
        } else {
            let room = out.remaining().min(self.buffer.len());
            let step = framing.feed(self.buffer.get(..room).unwrap_or_default());
            out.put_slice(self.buffer.get(..step.taken).unwrap_or_default());
            self.buffer.advance(step.taken);
            step
        };
        self.wait = None;
        match step.state {
            Progress::Open => {}
            Progress::Done => self.state = State::Head(Scan::default()),
            Progress::Malformed => {
                let error = self.break_off(Reason::MalformedBody, io::ErrorKind::InvalidData);
                if step.taken == 0 {
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// While an exchange is under way, reads a little of what comes next, whether hyper asks for it or not: else nobody would see that
    /// the client leaves before its body is wanted.
    ///
    /// # Errors
    /// When it has left: with an error on the connection, or an end behind which nothing waits to be answered.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let owes = self.handle.idle_since().is_none();
        while owes && matches!(self.state, State::Body(_) | State::Head(_)) && self.buffer.len() < PIECE {
            match self.poll_fill(cx) {
                Poll::Pending => break,
                // A request that came before the end is answered.
                Poll::Ready(Ok(0)) if matches!(self.state, State::Head(_)) && !self.buffer.is_empty() => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(read) => _ = read?,
            }
        }
        Ok(())
    }

    fn break_off(&mut self, reason: Reason, kind: io::ErrorKind) -> io::Error {
        self.handle.break_body(reason);
        self.state = State::Broken;
        kind.into()
    }

    /// Behind an upgrade request: keeps what comes, so that a client that leaves is noticed, and hands nothing on.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let State::Held { eof } = &mut self.state else { return Poll::Ready(Ok(())) };
            if !self.handle.is_held(cx) {
                self.state = State::Head(Scan::default());
                return Poll::Ready(Ok(()));
            }
            if *eof || self.buffer.len() >= MAX_HELD {
                return Poll::Pending;
            }
            if ready!(self.poll_fill(cx))? == 0 {
                if self.buffer.is_empty() {
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                self.state = State::Held { eof: true };
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        loop {
            let written = out.filled().len() > before;
            match &mut this.state {
                State::Head(_) if written => return Poll::Ready(Ok(())),
                State::Head(_) => ready!(this.poll_head(cx))?,
                State::Hand { left, body, upgrade } => {
                    let piece = out.remaining().min(*left);
                    out.put_slice(this.buffer.get(..piece).unwrap_or_default());
                    this.buffer.advance(piece);
                    *left -= piece;
                    if *left > 0 {
                        return Poll::Ready(Ok(()));
                    }
                    this.state = match body.take() {
                        Some(framing) => State::Body(framing),
                        None if *upgrade => {
                            this.handle.hold();
                            State::Held { eof: false }
                        }
                        None => State::Head(Scan::default()),
                    };
                }
                // A body's bytes that came with its head go along with it, if there is room.
                State::Body(_) if written && (this.buffer.is_empty() || out.remaining() == 0) => {
                    return Poll::Ready(Ok(()));
                }
                State::Body(_) => {
                    // With an error hyper would throw away the head that came along; it reads the error next time.
                    let failed = ready!(this.poll_body(cx, out));
                    if failed.is_err() && !written {
                        return Poll::Ready(failed);
                    }
                    if out.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                _ if written => return Poll::Ready(Ok(())),
                State::Held { .. } => ready!(this.poll_held(cx))?,
                State::Refused(rest) if !rest.is_empty() => {
                    let (piece, after) = rest.split_at(rest.len().min(out.remaining()));
                    out.put_slice(piece);
                    *rest = after;
                    return Poll::Ready(Ok(()));
                }
                // hyper has all that it will get; it answers and closes.
                State::Refused(_) => return Poll::Pending,
                State::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}
