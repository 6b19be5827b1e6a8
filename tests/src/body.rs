//! The one body type of the tests' clients and origins: whole, empty, or fed piece by piece.
//! It knows nothing of who sends it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// What makes a fed body end badly.
pub type BodyError = std::io::Error;

/// A body to send.
#[derive(Debug)]
pub enum Body {
    /// Known from the start, with its length.
    Whole(Option<Bytes>),
    /// Fed over a [`Feed`]; its length is not known.
    Fed(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>),
    /// So many bytes, made as they are taken, with their length known.
    Made(u64),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::Whole(None)
    }

    /// A body that a [`Feed`] fills; at most `ahead` pieces wait.
    pub fn fed(ahead: usize) -> (Feed, Self) {
        let (sender, receiver) = mpsc::channel(ahead);
        (Feed(sender), Self::Fed(receiver))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

/// Fills a body; dropping it ends the body well.
#[derive(Clone, Debug)]
pub struct Feed(mpsc::Sender<Result<Frame<Bytes>, BodyError>>);

impl Feed {
    /// Waits for room and sends a piece; false when nobody reads any more.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(bytes.into()))).await.is_ok()
    }

    /// Sends the trailers; the body must end after them.
    pub async fn trailers(&self, trailers: HeaderMap) -> bool {
        self.0.send(Ok(Frame::trailers(trailers))).await.is_ok()
    }

    /// Ends the body badly.
    pub async fn fail(self) {
        let _ = self.0.send(Err(BodyError::other("cut by the test"))).await;
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Fed(receiver) => receiver.poll_recv(cx),
            Self::Made(0) => Poll::Ready(None),
            Self::Made(left) => {
                static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
                let size = (*left).min(PIECE.len() as u64);
                *left -= size;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..usize::try_from(size).unwrap()])))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Fed(_) => false,
            Self::Made(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Fed(_) => SizeHint::default(),
            Self::Made(left) => SizeHint::with_exact(*left),
        }
    }
}
