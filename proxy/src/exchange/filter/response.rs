//! The response's body on its way to the client, with the exchange that it ends.
//! It does not know how it is written.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Broken, Filter, Means};
use crate::error::Reason;
use crate::exchange::bodies::{Reader, Way};
use crate::exchange::{Exchange, Stop};
use crate::wire::body::{Body, BodyError, End, Watch};
use crate::wire::clock::Clock;

/// A response's body that plugins see as it is sent. It owns the exchange.
#[derive(Debug)]
pub(in crate::exchange) struct ResponseFilter {
    filter: Filter,
    body: Body,
    /// Until the body is over.
    exchange: Option<Box<Exchange>>,
    /// For hooks that wait; the body has its own.
    clock: Clock,
}

// === impl ResponseFilter ===

impl ResponseFilter {
    pub(in crate::exchange) fn new(exchange: Box<Exchange>, body: Body, readers: Vec<Reader>) -> Self {
        let filter = Filter::new(Way::Response, readers);
        Self { filter, body, exchange: Some(exchange), clock: Clock::new() }
    }

    fn finish(&mut self, end: End) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.collect();
            exchange.end(end);
        }
    }
}

impl http_body::Body for ResponseFilter {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
        exchange.collect();
        let (view, desk) = (Rc::clone(&exchange.view), exchange.desk());
        let mut means = Means { view: &view, desk: desk.as_deref(), record: &mut exchange.record };
        let polled = this.filter.poll(cx, &mut this.body, &mut means);
        this.filter.settle(&this.body);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    exchange.data(data.len());
                }
                exchange.lay();
                // A reader that knows the length does not ask again after the last byte.
                if this.filter.is_done() {
                    this.finish(End::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish(End::Complete);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(broken))) => {
                let reason = match broken {
                    Broken::Body(error) => error.reason,
                    Broken::Stop(Stop::Refused(refusal)) => refusal.reason,
                    // The head is out: there is no place for another answer.
                    Broken::Stop(Stop::Reply(_) | Stop::WrongVersion) => Reason::PluginFailed,
                };
                this.finish(End::Error(reason));
                Poll::Ready(Some(Err(BodyError { reason })))
            }
            Poll::Pending => {
                exchange.lay();
                if let Some(at) = exchange.deadline
                    && this.filter.is_waiting()
                    && this.clock.poll(cx, at).is_ready()
                {
                    this.filter.give_up(&view);
                    this.finish(End::Error(Reason::Timeout));
                    return Poll::Ready(Some(Err(BodyError { reason: Reason::Timeout })));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.filter.size_hint(&self.body)
    }
}
