//! One HTTP/1.1 connection to an upstream: a request out and its answer in, one after the other.
//! It knows no pool, keeps no time, and sends nothing twice.
//!
//! Whoever waits for an answer moves both directions, in their own task: there is no other, but where the head of an answer is there
//! before all of its request is gone. The rest of the request then has a task of its own, so that none of the two waits for the other.

mod answer;
mod chunked;
mod receiving;
mod sending;
mod stream;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

pub use self::answer::Head;
use self::receiving::{Inbound, NoHead, Piece};
use self::sending::Outbound;
pub use self::stream::Stream;
use crate::error::Reason;
use crate::wire::body::{Body, BodyError};
use crate::wire::interim::Interim;

/// A connection, for one exchange at a time.
pub struct Connection {
    stream: RefCell<Stream>,
    inbound: RefCell<Inbound>,
    outbound: RefCell<Outbound>,
}

/// The body of an answer. It gives its connection up where it is dropped before its end.
#[derive(Debug)]
pub struct Reading(Option<Rc<Connection>>);

/// What a connection can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The next request: the last one and its answer are whole, and the upstream has neither closed since nor said anything more.
    Free,
    /// Nothing but the rest of its request, whose answer is over.
    Sending,
    /// Nothing.
    Over,
}

/// A connection that is no longer HTTP, and what came in with the answer that made it so.
#[derive(Debug)]
pub struct Upgraded {
    pub stream: Stream,
    pub early: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ended, or broke; perhaps before any byte of the request was written.
    Died { untouched: bool },
    /// What came is no answer.
    Malformed,
    /// The request's body broke.
    Request(Reason),
}

/// It is not HTTP.
#[derive(Clone, Copy, Debug)]
struct Malformed;

// === impl Connection ===

impl Connection {
    pub fn new(stream: Stream) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            inbound: RefCell::new(Inbound::new()),
            outbound: RefCell::new(Outbound::new()),
        })
    }

    /// Takes up a request: the path of its target, its headers as they are but for those that frame its body, and `body` where there is one.
    /// Only for a connection that is ready.
    pub fn begin<B>(&self, request: &Request<B>, body: Option<Body>) {
        self.inbound.borrow_mut().begin(request.method() == Method::HEAD);
        self.outbound.borrow_mut().begin(request, body);
    }

    /// Sends the request, and waits for the head of the answer to it. Interim answers are passed on. Once the answer is there its fields have
    /// the room of `old`, for which the request's are good enough: until then they are left alone.
    pub fn poll_answer(
        self: &Rc<Self>,
        old: &mut HeaderMap,
        interim: Option<&Interim>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Head, Body), Fault>> {
        let fault = match self.poll_send(cx) {
            Poll::Ready(Err(Some(reason))) => Some(Fault::Request(reason)),
            // Whatever there is to read, it is no answer to a request of which nothing went.
            Poll::Ready(Err(None)) if !self.outbound.borrow().begun => Some(Fault::Died { untouched: true }),
            // What cannot be sent to its end may have been answered all the same.
            _ => None,
        };
        if let Some(fault) = fault {
            self.close();
            return Poll::Ready(Err(fault));
        }
        let polled = self.inbound.borrow_mut().poll_head(&mut self.stream.borrow_mut(), old, interim, cx);
        let head = match ready!(polled) {
            Ok(head) => head,
            Err(fault) => {
                let untouched = !self.outbound.borrow().begun;
                self.close();
                return Poll::Ready(Err(match fault {
                    NoHead::Died => Fault::Died { untouched },
                    NoHead::Malformed => Fault::Malformed,
                }));
            }
        };
        if !self.outbound.borrow().is_over() {
            self.send_on();
        }
        self.retire();
        let body =
            if self.inbound.borrow().is_over() { Body::empty() } else { Body::reading(Reading(Some(Rc::clone(self)))) };
        Poll::Ready(Ok((head, body)))
    }

    /// Whether nothing more of the request will be written.
    pub fn is_sent(&self) -> bool {
        self.outbound.borrow().is_over()
    }

    /// Since when the upstream takes nothing of what there is of the request.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.outbound.borrow().stalled_since()
    }

    /// What it can be used for, once the answer was read.
    pub fn state(&self) -> State {
        let inbound = self.inbound.borrow();
        let outbound = self.outbound.borrow();
        if inbound.is_over() && !outbound.is_over() {
            State::Sending
        } else if inbound.is_reusable() && outbound.is_written() && self.is_quiet() {
            State::Free
        } else {
            State::Over
        }
    }

    /// After a 101: the connection, which is HTTP no longer. `None` where the upstream did not wait for all of the request.
    pub fn upgrade(&self) -> Option<Upgraded> {
        if !self.outbound.borrow().is_written() {
            return None;
        }
        let stream = std::mem::replace(&mut *self.stream.borrow_mut(), Stream::Gone);
        let early = self.inbound.borrow_mut().take_rest();
        Some(Upgraded { stream, early })
    }

    /// Closes it, whatever it was about to do.
    pub fn close(&self) {
        std::mem::replace(&mut *self.stream.borrow_mut(), Stream::Gone).close();
        self.inbound.borrow_mut().wake();
        // It may be the last that holds on to others.
        let body = self.outbound.borrow_mut().give_up();
        drop(body);
    }

    /// Whether nothing came, not even the end. Asks the system only where something did.
    fn is_quiet(&self) -> bool {
        match &mut *self.stream.borrow_mut() {
            Stream::Tcp(stream) => stream.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            // What TLS has to say of itself is taken, too.
            Stream::Tls(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut [0])).is_pending()
            }
            Stream::Gone => false,
        }
    }

    /// Writes what there is of the request. Where it cannot be written, it is given up; where its body broke, with the reason.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Reason>>> {
        loop {
            let lent = self.outbound.borrow_mut().lend();
            let mut waits = false;
            if let Some(mut body) = lent {
                // Nothing is borrowed meanwhile: what is told of a body may come back to us.
                let polled = http_body::Body::poll_frame(Pin::new(&mut body), cx);
                waits = polled.is_pending();
                let polled = polled.map(|frame| frame.map(|frame| frame.map_err(|error| error.reason)));
                let taken = self.outbound.borrow_mut().take(body, polled);
                match taken {
                    // Nor when it is dropped.
                    Ok(over) => drop(over),
                    Err(reason) => return Poll::Ready(Err(Some(reason))),
                }
            }
            let mut outbound = self.outbound.borrow_mut();
            if outbound.is_over() {
                return Poll::Ready(Ok(()));
            }
            let written = ready!(outbound.poll_write(&mut self.stream.borrow_mut(), cx));
            if written.is_err() {
                let body = outbound.give_up();
                drop(outbound);
                drop(body);
                return Poll::Ready(Err(None));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Sends the rest of the request beside the answer.
    fn send_on(self: &Rc<Self>) {
        let connection = Rc::clone(self);
        drop(tokio::task::spawn_local(poll_fn(move |cx| {
            let polled = connection.poll_send(cx);
            match polled {
                Poll::Pending => connection.outbound.borrow_mut().wait(cx),
                // The upstream waits for what will not come.
                Poll::Ready(Err(Some(_))) => connection.close(),
                // What it does not want to read it may have answered.
                Poll::Ready(Ok(()) | Err(None)) => {}
            }
            polled.map(drop)
        })));
    }

    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Piece, Reason>> {
        let mut inbound = self.inbound.borrow_mut();
        let polled = inbound.poll_piece(&mut self.stream.borrow_mut(), cx);
        if polled.is_pending() && !self.outbound.borrow().is_over() {
            inbound.wait(cx);
        }
        drop(inbound);
        self.retire();
        polled
    }

    /// Who answers before all of the request is there is likely to close then: what is sent next would be lost.
    fn retire(&self) {
        let mut inbound = self.inbound.borrow_mut();
        if inbound.is_over() && !self.outbound.borrow().is_over() {
            inbound.retire();
        }
    }
}

impl fmt::Debug for Connection {
    /// What is sent can hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

// === impl Reading ===

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(connection) = &this.0 else { return Poll::Ready(None) };
        match ready!(connection.poll_piece(cx)) {
            Ok(piece) => {
                if piece.last {
                    // From here on it is somebody else's.
                    this.0 = None;
                }
                Poll::Ready(piece.frame.map(Ok))
            }
            Err(reason) => {
                connection.close();
                this.0 = None;
                Poll::Ready(Some(Err(BodyError { reason })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(connection) => connection.inbound.borrow().left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close();
        }
    }
}
