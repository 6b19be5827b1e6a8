//! The request's body on its way to the upstream, and the moment it was all handed over.
//! It changes no byte.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::Reason;
use crate::wire::body::BodyError;

/// A request's body, which tells when its end was reached.
#[derive(Debug)]
pub struct Outgoing<B> {
    /// `None` is an empty body; the caller kept the original, to be able to send it again.
    body: Option<B>,
    /// `None` where nobody waits, since there is nothing to send.
    sent: Option<Rc<Sent>>,
}

/// Whether a body has been handed over to its end, or given up.
#[derive(Debug, Default)]
pub struct Sent {
    done: Cell<bool>,
    broken: Cell<Option<Reason>>,
    waker: RefCell<Option<Waker>>,
}

// === impl Outgoing ===

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    /// No body.
    pub const fn empty() -> Self {
        Self { body: None, sent: None }
    }

    /// This body; `sent` is told of its end.
    pub const fn new(body: B, sent: Rc<Sent>) -> Self {
        Self { body: Some(body), sent: Some(sent) }
    }

    /// The body itself, as far as it has not been sent.
    pub fn into_inner(mut self) -> Option<B> {
        self.body.take()
    }
}

impl<B> Body for Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        // A reader that knows the length does not ask again after the last byte.
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if let (Poll::Ready(Some(Err(error))), Some(sent)) = (&polled, &this.sent) {
            let error: &dyn Any = error;
            // Where the body does not say why, the client is gone.
            let reason = error.downcast_ref::<BodyError>().map_or(Reason::ClientClosed, |error| error.reason);
            sent.broken.set(Some(reason));
        }
        if over && let Some(sent) = &this.sent {
            sent.set();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B> Drop for Outgoing<B> {
    fn drop(&mut self) {
        // The connection takes no more of it; the answer is due now.
        if let Some(sent) = &self.sent {
            sent.set();
        }
    }
}

// === impl Sent ===

impl Sent {
    /// Whether it is all sent; if not, the task is woken when it is.
    pub fn poll(&self, cx: &Context<'_>) -> bool {
        if self.done.get() {
            return true;
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        false
    }

    /// Why the body broke, where it did: then whatever the connection says is only the consequence.
    pub fn broken(&self) -> Option<Reason> {
        self.broken.get()
    }

    fn set(&self) {
        if !self.done.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
