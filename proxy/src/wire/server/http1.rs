//! HTTP/1: hyper behind the guard, upgrades handed over, and a close that loses no answer.
//! It does not know what the service does with a request.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, timeout};

use crate::error::Reason;
use crate::wire::body::{Body, BodyError};
use crate::wire::guard::{Guard, Handle};
use crate::wire::interim::Interim;
use crate::wire::reply::Problem;
use crate::wire::server::{Call, Io, OnUpgrade, ServeError, Service, Settings, Upgraded};

/// What hyper may keep of a body that is read or written; heads have their own limit in the guard.
const MIN_BUFFER: usize = 64 * 1024;
/// hyper keeps so many headers on the stack; more costs an allocation a request.
const HEADERS_ON_STACK: usize = 100;
/// How long a client that was refused may take to read why, while what it still sends is thrown away.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what a refused client still sends is thrown away.
const LINGER_BYTES: u64 = 512 * 1024;

type Granted = Rc<RefCell<Option<oneshot::Sender<Upgraded>>>>;

pub(super) async fn serve<IO, S>(
    io: IO,
    early: BytesMut,
    accepted: Instant,
    service: Rc<S>,
    settings: Settings,
    mut drain: watch::Receiver<bool>,
) -> Result<(), ServeError>
where
    IO: Io + 'static,
    S: Service,
{
    let (mut guard, handle) = Guard::new(io, early, settings.head, settings.idle_timeout, accepted);
    if begin(&mut guard, &handle, accepted, &mut drain).await? {
        // Apart: until there is a request, a connection holds no more than its guard and what came of the head.
        return Box::pin(converse(guard, handle, accepted, service, settings, drain)).await;
    }
    let drained = guard.is_drained();
    close(guard.into_parts().0, drained).await;
    Ok(())
}

/// Waits for the first head; false where there will be none, for the client's sake or because of a drain.
async fn begin<IO: Io>(
    guard: &mut Guard<IO>,
    handle: &Handle,
    accepted: Instant,
    drain: &mut watch::Receiver<bool>,
) -> Result<bool, ServeError> {
    let mut leaving = pin!(async {
        super::drained(drain).await;
        super::settled(accepted).await;
    });
    let mut is_leaving = false;
    poll_fn(|cx| {
        if let Poll::Ready(begun) = guard.poll_begin(cx) {
            return Poll::Ready(begun.map_err(ServeError::Head));
        }
        is_leaving = is_leaving || leaving.as_mut().poll(cx).is_ready();
        // A head that is half here is still answered.
        if is_leaving && !handle.is_mid_head() { Poll::Ready(Ok(false)) } else { Poll::Pending }
    })
    .await
}

/// Serves a connection whose first head is there.
async fn converse<IO, S>(
    guard: Guard<IO>,
    handle: Handle,
    accepted: Instant,
    service: Rc<S>,
    settings: Settings,
    mut drain: watch::Receiver<bool>,
) -> Result<(), ServeError>
where
    IO: Io + 'static,
    S: Service,
{
    // The sender of an upgrade whose 101 is on its way.
    let granted = Granted::default();
    // Whether there was a request yet.
    let begun = Cell::new(false);
    let answer = service_fn(|request: Request<Incoming>| {
        begun.set(true);
        answer(Rc::clone(&service), handle.clone(), Rc::clone(&granted), request)
    });
    let mut connection = builder(&settings).serve_connection(TokioIo::new(guard), answer);
    let ended = {
        let news = drain.clone();
        let mut draining = pin!(super::drained(&mut drain));
        let mut settled = pin!(super::settled(accepted));
        let (mut waits, mut leaving, mut told) = (false, false, false);
        poll_fn(|cx| {
            // Once it has said whom to wake there is nothing to ask until there is news, and this runs with every request.
            if !leaving && (!waits || news.has_changed().unwrap_or(true)) {
                leaving = draining.as_mut().poll(cx).is_ready();
                // A task that has used up its turn was not put down.
                waits = has_budget_remaining();
            }
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(ended);
                }
                // A head that is half here is still answered.
                if !leaving || told || handle.is_mid_head() {
                    return Poll::Pending;
                }
                if !begun.get() && settled.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        })
        .await
    };
    let parts = connection.into_parts();
    let guard = parts.io.into_inner();
    let drained = guard.is_drained();
    let (io, held) = guard.into_parts();
    let upgrade = granted.borrow_mut().take();
    match (ended, upgrade) {
        (Ok(()), Some(upgrade)) => {
            let mut early = BytesMut::from(parts.read_buf);
            early.extend_from_slice(&held);
            // The receiver may have given up: then the connection simply closes.
            drop(upgrade.send(Upgraded { io: Box::new(io), early }));
            Ok(())
        }
        (Ok(()), None) => {
            close(io, drained).await;
            Ok(())
        }
        (Err(error), _) => Err(ServeError::Http(error)),
    }
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        // The guard keeps the time, for heads as for bodies and silence.
        .header_read_timeout(None)
        .half_close(false)
        // Answers to pipelined requests could share a write, but hyper then holds a response without bound when the client
        // is slower than the upstream, and copies every body.
        .pipeline_flush(false)
        .max_buf_size(settings.head.max_size.saturating_add(1024).max(MIN_BUFFER));
    if settings.head.max_headers > HEADERS_ON_STACK {
        builder.max_headers(settings.head.max_headers);
    }
    builder
}

async fn answer<S: Service>(
    service: Rc<S>,
    handle: Handle,
    granted: Granted,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let verdict = handle.next_request();
    let may_upgrade = verdict.is_ok_and(|facts| facts.upgrade);
    let mut token = Token { handle: handle.clone(), releases: may_upgrade };
    let (sender, upgrade) = if may_upgrade {
        let (sender, receiver) = oneshot::channel();
        (Some(sender), Some(OnUpgrade(receiver)))
    } else {
        (None, None)
    };
    let interim = (verdict.is_ok() && request.version() == Version::HTTP_11).then(|| Interim::new(handle.clone()));
    let request = request.map(|incoming| Body::guarded(incoming, handle.clone()));
    let mut response = service.call(Call { request, verdict: verdict.map(drop), upgrade, interim }).await;
    handle.begin_answer();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if sender.is_some() {
            token.releases = false;
            *granted.borrow_mut() = sender;
        } else {
            response = Problem::new(Reason::Internal, &Method::GET).response();
        }
    }
    Ok(response.map(|body| Answer { body, _token: token }))
}

/// Ends a connection. A client that may still be sending gets a moment to read its answer first: closing a socket with
/// unread input resets it, and a reset can overtake the answer.
async fn close<IO: Io>(mut io: IO, drained: bool) {
    // Nobody is left to tell about errors.
    if timeout(LINGER, io.shutdown()).await.is_err() || drained {
        return;
    }
    let mut rest = io.take(LINGER_BYTES);
    let mut sink = tokio::io::sink();
    drop(timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await);
}

/// Ends the exchange for the guard when it is dropped.
struct Token {
    handle: Handle,
    /// Whether bytes are held back behind this request.
    releases: bool,
}

/// A response's body, which keeps the exchange open for the guard's clock.
struct Answer {
    body: Body,
    _token: Token,
}

// === impl Token ===

impl Drop for Token {
    fn drop(&mut self) {
        self.handle.exchange_over();
        if self.releases {
            self.handle.release_upgrade();
        }
    }
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
