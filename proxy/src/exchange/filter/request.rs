//! The request's body on its way upstream, polled by the upstream's connection and not by the walk.
//! It does not send it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Broken, Filter, Means};
use crate::error::Reason;
use crate::exchange::Stop;
use crate::exchange::desk::Desk;
use crate::view::View;
use crate::wire::body::{Body, BodyError};

/// A request's body that plugins see as it is sent. It finds the exchange's record at the desk.
#[derive(Debug)]
pub(in crate::exchange) struct RequestFilter {
    pub(in crate::exchange) filter: Filter,
    pub(in crate::exchange) view: Rc<View>,
    pub(in crate::exchange) desk: Rc<Desk>,
    pub(in crate::exchange) body: Body,
}

impl http_body::Body for RequestFilter {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { filter, view, desk, body } = &mut *self;
        if desk.is_over() {
            // What is still to come of it concerns nobody: there is an answer. But what a plugin could have changed does not leave
            // without it.
            if filter.rewrites() || filter.is_waiting() {
                return Poll::Ready(Some(Err(BodyError { reason: Reason::ClientClosed })));
            }
            return Pin::new(body).poll_frame(cx);
        }
        let Some(record) = desk.take() else {
            desk.wait_for_record(cx);
            return Poll::Pending;
        };
        let mut record = Some(record);
        let polled = filter.poll(cx, body, &mut Means { view, desk: Some(desk), record: &mut record });
        filter.settle(body);
        if filter.is_done() {
            desk.sent();
        }
        let polled = polled.map(|frame| {
            frame.map(|result| {
                result.map_err(|broken| match broken {
                    Broken::Body(error) => error,
                    Broken::Stop(stop) => {
                        let reason = match &stop {
                            Stop::Refused(refusal) => refusal.reason,
                            // It breaks the body, and becomes the answer where there is none yet.
                            Stop::Reply(_) | Stop::WrongVersion => Reason::PluginFailed,
                        };
                        if let (Some(record), Stop::Refused(_)) = (&mut record, &stop) {
                            record.fail(reason);
                        }
                        desk.stop(stop);
                        BodyError { reason }
                    }
                })
            })
        });
        if let Some(record) = record {
            desk.lay(record);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.filter.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.filter.size_hint(&self.body)
    }
}

impl Drop for RequestFilter {
    fn drop(&mut self) {
        if !self.desk.is_over() {
            self.filter.give_up(&self.view);
            self.desk.turn();
        }
    }
}
