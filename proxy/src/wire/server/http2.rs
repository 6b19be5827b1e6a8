//! HTTP/2: hyper with bounds on what a client may make us hold, and an end for connections that stand still.
//! It does not know what the service does with a request.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::Reason;
use crate::wire::body::{Body, BodyError};
use crate::wire::clock::Clock;
use crate::wire::h2_check;
use crate::wire::local_exec::LocalExec;
use crate::wire::server::streams::{StreamToken, Streams};
use crate::wire::server::{Call, Io, ServeError, Service, Settings};

/// What browsers are used to; each stream may hold [`STREAM_WINDOW`] of ours.
const MAX_STREAMS: u32 = 128;
/// How much of a body a client may send ahead.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of a response hyper takes from us ahead of the client.
const SEND_BUFFER: usize = 64 * 1024;
/// CVE-2023-44487 (rapid reset) and CVE-2025-8671 (made you reset): a connection that goes beyond is closed.
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_ERRORS: usize = 64;
/// A peer that vanished is found out by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn serve<IO, S>(
    io: IO,
    accepted: Instant,
    service: Rc<S>,
    settings: Settings,
    mut drain: watch::Receiver<bool>,
) -> Result<(), ServeError>
where
    IO: Io + 'static,
    S: Service,
{
    let streams = Streams::new();
    let answers =
        service_fn(|request: Request<Incoming>| answer(Rc::clone(&service), settings, streams.open(), request));
    let connection = builder(&settings).serve_connection(TokioIo::new(io), answers);
    let mut connection = pin!(connection);
    let mut draining = pin!(async {
        super::drained(&mut drain).await;
        super::settled(accepted).await;
    });
    let mut clock = Clock::new();
    let mut leaving = false;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(ServeError::Http));
        }
        if !leaving && draining.as_mut().poll(cx).is_ready() {
            leaving = true;
            connection.as_mut().graceful_shutdown();
            // To get the GOAWAY out.
            cx.waker().wake_by_ref();
        }
        // A stream that moves is seen no later than its own deadline.
        loop {
            // The first request's head has the time of any head; a preface alone is not one.
            let limit = if streams.was_used() { settings.idle_timeout } else { settings.head.timeout };
            if clock.poll(cx, streams.deadline(limit)).is_pending() {
                return Poll::Pending;
            }
            if streams.deadline(limit) > Instant::now() {
                continue;
            }
            if streams.is_idle() && streams.was_used() && !leaving {
                leaving = true;
                connection.as_mut().graceful_shutdown();
                streams.touch();
                cx.waker().wake_by_ref();
                continue;
            }
            // It took nothing of an answer, or did not go when told: dropping the connection ends it.
            return Poll::Ready(Ok(()));
        }
    })
    .await
}

fn builder(settings: &Settings) -> Builder<LocalExec> {
    let mut builder = Builder::new(LocalExec);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(settings.head.max_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERRORS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

async fn answer<S: Service>(
    service: Rc<S>,
    settings: Settings,
    token: StreamToken,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let verdict = h2_check::check(&parts, settings.head.max_headers);
    let mut body = Body::client(incoming);
    body.idle_timeout(settings.idle_timeout, Reason::BodyTimeout);
    let request = Request::from_parts(parts, body);
    let mut response = service.call(Call { request, verdict, upgrade: None, interim: None }).await;
    // Replies of our own may carry `connection: close`, which has no place here.
    response.headers_mut().remove(CONNECTION);
    Ok(response.map(|body| Answer { body, token }))
}

/// A response's body, which says when it was last asked for more.
struct Answer {
    body: Body,
    token: StreamToken,
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        this.token.moved(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
