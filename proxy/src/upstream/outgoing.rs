//! The request's body on its way to the upstream, and the moment it was all handed over.
//! It changes no byte.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::error::Reason;
use crate::moment;
use crate::wire::body::{Body, BodyError};

/// A request's body, which tells when its end was reached.
///
/// It is a pointer, and none where there is nothing to send, as in most requests: a request is moved some dozen times on its way
/// through hyper, and its body with it.
#[derive(Debug)]
pub struct Outgoing(Option<Box<Sending>>);

#[derive(Debug)]
struct Sending {
    body: Body,
    /// Who waits for the end, once it is being sent.
    sent: Option<Rc<Sent>>,
}

/// How far a body has been handed over.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// To its end, or it was given up.
    done: Cell<bool>,
    /// Since when nothing more was asked for.
    stalled: Cell<Option<Instant>>,
    broken: Cell<Option<Reason>>,
    waker: RefCell<Option<Waker>>,
}

// === impl Outgoing ===

impl Outgoing {
    /// No body.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// This body.
    pub fn new(body: Body) -> Self {
        Self((!body.is_end_stream()).then(|| Box::new(Sending { body, sent: None })))
    }

    /// The body itself, where there is one.
    pub(super) fn take(&mut self) -> Option<Body> {
        self.0.take().map(|mut sending| std::mem::take(&mut sending.body))
    }

    /// To be told of the end; `None` where there is nothing to send.
    pub(super) fn watch(&mut self) -> Option<Rc<Sent>> {
        let sending = self.0.as_mut()?;
        Some(Rc::clone(sending.sent.insert(Rc::default())))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(Sending { body, sent }) = self.0.as_deref_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        // A reader that knows the length does not ask again after the last byte.
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if let Some(sent) = sent {
            sent.stalled.set(polled.is_ready().then(moment::now));
            if let Poll::Ready(Some(Err(error))) = &polled {
                sent.broken.set(Some(error.reason));
            }
            if over {
                sent.set();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|sending| sending.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |sending| sending.body.size_hint())
    }
}

impl Drop for Sending {
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
    pub(super) fn poll(&self, cx: &Context<'_>) -> bool {
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

    /// Since when nothing more was asked for, where something was given.
    pub(super) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled.get()
    }

    /// Why the body broke, where it did: then whatever the connection says is only the consequence.
    pub(super) fn broken(&self) -> Option<Reason> {
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
