//! A body of which the beginning, or all, was read already.
//! It does not know who read it, nor why.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{Body, BodyError};

/// Bytes that are copied and handed on at a time. Whoever writes them takes some pieces before any has gone.
const PIECE: usize = 64 * 1024;

/// What was read, and what is still to come.
pub(super) struct Ahead {
    pub first: Bytes,
    pub rest: Option<Body>,
    /// Of a body that was read to its end.
    pub trailers: Option<HeaderMap>,
    /// Counts what was read for as long as it lies here.
    pub counted: Option<Box<dyn Any>>,
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            // A piece that is a part of it would keep all of it alive, and may wait long to be written.
            let piece = Bytes::copy_from_slice(&this.first.split_to(this.first.len().min(PIECE)));
            if this.first.is_empty() {
                this.first = Bytes::new();
                this.counted = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(rest) = &mut this.rest {
            return Pin::new(rest).poll_frame(cx);
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map(http_body::Body::size_hint);
        let mut hint = rest.unwrap_or_else(|| SizeHint::with_exact(0));
        let first = self.first.len() as u64;
        match hint.upper().and_then(|upper| upper.checked_add(first)) {
            // A length that is known leaves no place for trailers.
            Some(upper) if self.trailers.is_none() => {
                let lower = hint.lower().saturating_add(first);
                hint = SizeHint::new();
                hint.set_upper(upper);
                hint.set_lower(lower.min(upper));
                hint
            }
            _ => SizeHint::new(),
        }
    }
}
