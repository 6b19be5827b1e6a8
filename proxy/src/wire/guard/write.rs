//! The guard's other direction: what is written passes as it is, with interim answers between two messages of hyper's, and
//! a client that takes nothing is given up. It looks at no byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::wire::guard::Guard;
use crate::wire::joined::poll_write_joined;

impl<IO: AsyncWrite + Unpin> Guard<IO> {
    /// Writes the interim answers that wait. hyper flushes only what it has written out, so until it writes again it is
    /// between two messages, or within one whose request has no interim answers any more.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut interim) = self.handle.interim() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &interim))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => interim.advance(written),
            }
            if interim.is_empty() {
                *interim = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes for hyper, behind the interim answers.
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut IO>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let result = match self.poll_interim(cx) {
            Poll::Ready(Ok(())) => {
                self.handle.set_writing(true);
                write(Pin::new(&mut self.io), cx)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.poll_stalled(cx, result)
    }

    /// Gives up on a client that takes nothing.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_until = None;
            return result;
        }
        let until = *self.write_until.get_or_insert_with(|| Instant::now() + self.idle);
        ready!(self.write_clock.poll(cx, until));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_message(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.handle.set_writing(false) && this.handle.is_next_waiting() {
            // hyper has read the next request before all of this answer was out (it came earlier than the end of its own
            // request), and would look at it only when something else wakes it.
            cx.waker().wake_by_ref();
        }
        let result = match this.poll_interim(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.io).poll_flush(cx),
            unfinished => unfinished,
        };
        // hyper flushes whenever it has done what it can, and reads nothing while nobody asks for the body that is next.
        if result.is_ready() {
            this.look_ahead(cx)?;
        }
        this.poll_stalled(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_shutdown(cx);
        this.poll_stalled(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_message(cx, |io, cx| poll_write_joined(io, cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
