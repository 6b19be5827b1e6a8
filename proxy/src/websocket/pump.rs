//! One direction of a byte stream: read, count, write, and shut down in the order in which it ended.
//! It does not know what the bytes mean, and holds memory only while the receiver is slower than the sender.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Reason;

/// What is read at once. One buffer serves every stream of a worker, so an idle stream holds none.
const SCRATCH: usize = 64 * 1024;

/// How many pieces one poll moves before other tasks get their turn.
const TURNS: usize = 8;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the worker's buffer for the time of one poll.
pub(super) fn scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| use_it(buffer))
}

/// The state of one direction.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    count: &'a Cell<u64>,
    /// Read, but not yet taken by the receiver.
    rest: Bytes,
    phase: Phase,
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The sender ended; what is left must be written and the receiver told.
    Closing,
    Closed,
}

/// Which side broke a direction.
#[derive(Debug)]
pub(super) enum Broken {
    Reading,
    Writing,
}

// === impl Pump ===

impl<'a> Pump<'a> {
    /// A direction whose first bytes were read with the handshake.
    pub(super) fn new(early: Bytes, count: &'a Cell<u64>) -> Self {
        count.set(early.len() as u64);
        let rest = if early.is_empty() { Bytes::new() } else { early };
        Self { count, rest, phase: Phase::Open, unflushed: false }
    }

    /// Moves what can be moved. Ready when the sender ended and everything reached the receiver.
    pub(super) fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        buffer: &mut [u8],
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        for _ in 0..TURNS {
            ready!(self.poll_rest(context, to)).map_err(|_| Broken::Writing)?;
            match self.phase {
                Phase::Closed => return Poll::Ready(Ok(())),
                Phase::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(context)).map_err(|_| Broken::Writing)?;
                    self.phase = Phase::Closed;
                    return Poll::Ready(Ok(()));
                }
                Phase::Open => {}
            }
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *from).poll_read(context, &mut read) {
                Poll::Pending => return self.poll_flush(context, to),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reading)),
                Poll::Ready(Ok(())) => {}
            }
            let filled = read.filled();
            if filled.is_empty() {
                self.phase = Phase::Closing;
                continue;
            }
            self.count.set(self.count.get().saturating_add(filled.len() as u64));
            self.write(context, to, filled).map_err(|_| Broken::Writing)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes as much as the receiver takes now, and keeps a copy of the rest.
    fn write<W>(&mut self, context: &mut Context<'_>, to: &mut W, mut bytes: &[u8]) -> io::Result<()>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        self.unflushed = true;
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(context, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => bytes = bytes.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.rest = Bytes::copy_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_rest<W>(&mut self, context: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        while self.rest.has_remaining() {
            self.unflushed = true;
            let written = ready!(Pin::new(&mut *to).poll_write(context, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
            if self.rest.is_empty() {
                // Even empty it would hold the buffer that it is a part of.
                self.rest = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W>(&mut self, context: &mut Context<'_>, to: &mut W) -> Poll<Result<(), Broken>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.unflushed {
            ready!(Pin::new(&mut *to).poll_flush(context)).map_err(|_| Broken::Writing)?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

/// What two directions, the client's and the upstream's, come to together.
pub(super) fn both(up: &Poll<Result<(), Broken>>, down: &Poll<Result<(), Broken>>) -> Poll<Result<(), Reason>> {
    match (up, down) {
        (Poll::Ready(Err(Broken::Reading)), _) | (_, Poll::Ready(Err(Broken::Writing))) => {
            Poll::Ready(Err(Reason::ClientClosed))
        }
        (Poll::Ready(Err(Broken::Writing)), _) | (_, Poll::Ready(Err(Broken::Reading))) => {
            Poll::Ready(Err(Reason::UpstreamClosed))
        }
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
        _ => Poll::Pending,
    }
}
