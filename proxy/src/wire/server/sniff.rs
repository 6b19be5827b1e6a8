//! Tells HTTP/2 with prior knowledge from HTTP/1 by a connection's first bytes.
//! It checks nothing further.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::wire::guard;

/// RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection turned out to be.
pub(super) enum Sniffed<IO> {
    /// With what was read of it.
    Http1(IO, BytesMut),
    Http2(Rewound<IO>),
    /// It said nothing in time, or left.
    Silent,
}

/// Reads until it is certain; not for longer than `head_timeout`.
pub(super) async fn sniff<IO: AsyncRead + Unpin>(
    mut io: IO,
    accepted: Instant,
    head_timeout: Duration,
    mut drain: watch::Receiver<bool>,
) -> io::Result<Sniffed<IO>> {
    let mut early = BytesMut::new();
    let reading = async {
        loop {
            let read = poll_fn(|cx| guard::read(&mut io, &mut early, cx)).await?;
            let common = early.len().min(PREFACE.len());
            if early.get(..common) != PREFACE.get(..common) {
                return io::Result::Ok(Some(false));
            }
            if common == PREFACE.len() {
                return Ok(Some(true));
            }
            if read == 0 {
                return Ok(None);
            }
        }
    };
    let verdict = tokio::select! {
        verdict = timeout_at(accepted + head_timeout, reading) => verdict.unwrap_or(Ok(None))?,
        () = async {
            super::drained(&mut drain).await;
            super::settled(accepted).await;
        } => None,
    };
    Ok(match verdict {
        Some(false) => Sniffed::Http1(io, early),
        Some(true) => Sniffed::Http2(Rewound { io, early }),
        None => Sniffed::Silent,
    })
}

/// A connection of which the first bytes are read again.
#[derive(Debug)]
pub(super) struct Rewound<IO> {
    io: IO,
    early: BytesMut,
}

// === impl Rewound ===

impl<IO: AsyncRead + Unpin> AsyncRead for Rewound<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, out);
        }
        let piece = this.early.len().min(out.remaining());
        out.put_slice(this.early.get(..piece).unwrap_or_default());
        this.early.advance(piece);
        if this.early.is_empty() {
            this.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewound<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
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
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
