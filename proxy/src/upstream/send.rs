//! One request, sent once to one endpoint: connect or reuse, send, wait for the head.
//! It never sends twice: it says whether that would be safe, and the exchange decides.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};

use super::cluster::Endpoint;
use super::config::{Protocol, Timeouts};
use super::connect::{self, Opened};
use super::fault;
use super::outgoing::Outgoing;
use super::pools::{Carrier, Client, Face, Kept, Lease, Shared};
use crate::error::Reason;
use crate::moment;
use crate::wire::body::Body;
use crate::wire::client::{Fault, Head, Upgraded};
use crate::wire::clock::Clock;
use crate::wire::interim::Interim;

/// The head of an upstream's answer, its body still to come.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Body,
    /// What the connection became, where the head says that it is no longer HTTP.
    pub upgraded: Option<Box<Upgraded>>,
    /// Keep it until the body is over.
    pub lease: Lease,
    /// Whether the connection had carried another request before.
    pub reused: bool,
    /// How long a new connection took.
    pub connect: Option<Duration>,
}

/// On whose behalf a request is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behalf<'a> {
    /// Who is told of interim answers. Only over HTTP/1; hyper's HTTP/2 drops them.
    pub interim: Option<&'a Interim>,
    /// The exchange's id, for what the log is told.
    pub correlation_id: Option<&'a str>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug)]
pub struct SendError {
    pub reason: Reason,
    pub retry: Retry,
    /// Whether the connection had carried another request before.
    pub reused: bool,
}

/// Whether the request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The upstream may have acted on it, part of its body is gone, or it would fail again.
    Never,
    /// The upstream has not acted on it, or acting twice is like acting once. It is in its place, as it was given.
    ///
    /// So it is when a kept connection turned out dead before the request was on it; when it died without an answer, the
    /// method is idempotent and there is no body; and when no connection could be made and there is another endpoint to try.
    Safe,
}

/// When the head of an answer is late, or an upstream that takes nothing of the request is given up.
struct Deadline {
    head: Duration,
    until: Option<Instant>,
    idle: Duration,
}

/// What the adapter to a protocol changed in a request, to give it back as it was.
#[derive(Default)]
struct Changed {
    uri: Option<Uri>,
    host: Option<HeaderValue>,
}

impl Client {
    /// Sends the request to the endpoint that [`Client::pick`] picked. It may be taken out of its place.
    ///
    /// The request has the target of the upstream's view, a `Host` header, and no hop-by-hop headers but those of an upgrade.
    /// The connect timeout bounds connecting; the head timeout counts from the end of the request's body. While the body is being
    /// sent, its own timeouts and the exchange's count, and the idle timeout where the upstream takes nothing of it. Interim answers change
    /// no timeout.
    ///
    /// # Errors
    /// With the reason to report, and whether the request is back in its place to be sent again.
    pub async fn send(
        &self,
        endpoint: usize,
        request: &mut Option<Request<Outgoing>>,
        behalf: Behalf<'_>,
    ) -> Result<Answer, SendError> {
        let Some((face, address)) = self.face(endpoint) else {
            return Err(SendError { reason: Reason::NoEndpoint, retry: Retry::Never, reused: false });
        };
        let mut lease = Lease::new(&face.slot);
        // Connecting is rare and its future large: boxed, it is not part of the future of every exchange (of 11 KiB, 6 stay).
        let carrier = match self.carrier(face) {
            Some(carrier) => Ok((carrier, None)),
            None => Box::pin(self.open(face, address, behalf.correlation_id)).await,
        };
        let connect = match carrier {
            Ok((carrier, connect)) => {
                lease.carry(carrier);
                connect
            }
            Err(reason) => {
                let retry = if self.faces.len() > 1 { Retry::Safe } else { Retry::Never };
                return Err(SendError { reason, retry, reused: false });
            }
        };
        let reused = connect.is_none();
        match self.exchange(&mut lease.carrier, request, reused, behalf.interim).await {
            Ok((head, body)) => {
                let upgraded = lease.upgrade(head.status);
                Ok(Answer { head, body, upgraded, lease, reused, connect })
            }
            Err((reason, retry)) => {
                lease.give_up();
                Err(SendError { reason, retry, reused })
            }
        }
    }

    /// A connection that is there.
    fn carrier(&self, face: &Face) -> Option<Carrier> {
        match self.cluster.config().protocol {
            Protocol::Http1 => face.slot.take_idle().map(Carrier::Http1),
            Protocol::Http2 => face.slot.share().map(Carrier::Http2),
        }
    }

    /// A connection where none is there, and how long it took where it is a new one.
    async fn open(
        &self,
        face: &Face,
        endpoint: &Endpoint,
        id: Option<&str>,
    ) -> Result<(Carrier, Option<Duration>), Reason> {
        let slot = &face.slot;
        if self.cluster.config().protocol == Protocol::Http1 {
            return self.dial(face, endpoint, id).await;
        }
        let waiting = Instant::now();
        let _dialing = slot.dialing.lock().await;
        // Whoever was first may have made room for us, or failed for us: else a queue would wait for one timeout after the other.
        if let Some(shared) = slot.share() {
            return Ok((Carrier::Http2(shared), None));
        }
        if let Some((_, reason)) = slot.failed.get().filter(|(at, _)| *at >= waiting) {
            return Err(reason);
        }
        let dialed = self.dial(face, endpoint, id).await;
        if let Err(reason) = &dialed {
            slot.failed.set(Some((Instant::now(), *reason)));
        }
        dialed
    }

    async fn dial(
        &self,
        face: &Face,
        endpoint: &Endpoint,
        id: Option<&str>,
    ) -> Result<(Carrier, Option<Duration>), Reason> {
        let started = Instant::now();
        let connected = connect::connect(&self.cluster, endpoint, &self.resolver, &face.slot.open).await;
        let opened = match connected {
            Ok(opened) => {
                if face.slot.unreachable.replace(false) {
                    let (upstream, endpoint) = (self.cluster.name(), &face.text);
                    tracing::info!(correlation_id = id, %upstream, %endpoint, "endpoint is reachable again");
                }
                opened
            }
            Err(connect::Failed { reason, cause }) => {
                if !face.slot.unreachable.replace(true) {
                    let (upstream, endpoint, reason) = (self.cluster.name(), &face.text, reason.as_str());
                    tracing::warn!(correlation_id = id, %upstream, %endpoint, reason, cause, "cannot connect to an endpoint");
                }
                return Err(reason);
            }
        };
        let carrier = match opened {
            Opened::Http1(connection, counted) => Carrier::Http1(Box::new(Kept::new(connection, counted))),
            Opened::Http2(sender, limit) => Carrier::Http2(face.slot.add(sender, limit)),
        };
        Ok((carrier, Some(started.elapsed())))
    }

    async fn exchange(
        &self,
        carrier: &mut Carrier,
        place: &mut Option<Request<Outgoing>>,
        reused: bool,
        interim: Option<&Interim>,
    ) -> Result<(Head, Body), (Reason, Retry)> {
        match carrier {
            Carrier::None => Err((Reason::Internal, Retry::Never)),
            Carrier::Http1(kept) => self.over_http1(kept, place, reused, interim).await,
            // What hyper makes of it would have a place in every exchange.
            Carrier::Http2(shared) => Box::pin(self.over_http2(shared, place, reused)).await,
        }
    }

    async fn over_http1(
        &self,
        kept: &mut Kept,
        place: &mut Option<Request<Outgoing>>,
        reused: bool,
        interim: Option<&Interim>,
    ) -> Result<(Head, Body), (Reason, Retry)> {
        let request = place.as_mut().ok_or((Reason::Internal, Retry::Never))?;
        let body = request.body_mut().take();
        let without_body = body.is_none();
        let Kept { connection, clock, .. } = kept;
        connection.begin(request, body);
        let mut deadline = Deadline::new(&self.cluster.config().timeouts, reused && without_body);
        let answered = poll_fn(|cx| match connection.poll_answer(request.headers_mut(), interim, cx) {
            Poll::Ready(answered) => Poll::Ready(Ok(answered)),
            Poll::Pending if connection.is_sent() => deadline.poll(clock, cx).map(Err),
            Poll::Pending => match connection.stalled_since() {
                Some(since) => deadline.poll_stalled(since, clock, cx).map(Err),
                None => Poll::Pending,
            },
        });
        match answered.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Fault::Died { untouched })) => {
                let repeatable = reused && request.method().is_idempotent();
                let safe = without_body && (untouched || repeatable);
                Err((Reason::UpstreamClosed, if safe { Retry::Safe } else { Retry::Never }))
            }
            Ok(Err(Fault::Malformed)) => Err((Reason::UpstreamProtocol, Retry::Never)),
            Ok(Err(Fault::Request(reason))) | Err(reason) => Err((reason, Retry::Never)),
        }
    }

    async fn over_http2(
        &self,
        shared: &Shared,
        place: &mut Option<Request<Outgoing>>,
        reused: bool,
    ) -> Result<(Head, Body), (Reason, Retry)> {
        let mut request = place.take().ok_or((Reason::Internal, Retry::Never))?;
        let sent = request.body_mut().watch();
        // Whether it may be repeated even though it was sent.
        let repeatable = reused && sent.is_none() && request.method().is_idempotent();
        let changed = self.to_http2(&mut request);
        let copy = repeatable.then(|| Box::new(copy(&request)));
        let mut deadline = Deadline::new(&self.cluster.config().timeouts, reused && sent.is_none());
        let mut clock = Clock::new();
        let mut sender = shared.sender.clone();
        let mut answer = pin!(sender.try_send_request(request));
        let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Ok(answered)),
            Poll::Pending => match sent.as_ref().filter(|sent| !sent.poll(cx)) {
                // It is looked at again then, since nobody wakes us when it stops.
                Some(sent) => {
                    let since = sent.stalled_since().unwrap_or_else(moment::now);
                    deadline.poll_stalled(since, &mut clock, cx).map(Err)
                }
                None => deadline.poll(&mut clock, cx).map(Err),
            },
        });
        let mut error = match answered.await {
            Ok(Ok(response)) => {
                let (parts, body) = response.into_parts();
                let head = Head { status: parts.status, version: parts.version, headers: parts.headers };
                return Ok((head, Body::upstream(body)));
            }
            Ok(Err(error)) => error,
            Err(reason) => return Err((reason, Retry::Never)),
        };
        if let Some(reason) = sent.and_then(|sent| sent.broken()) {
            return Err((reason, Retry::Never));
        }
        let message = error.take_message();
        let fault = fault::of_exchange(&error.into_error());
        // Either hyper never wrote a byte of it, or it may be sent twice.
        match message.or_else(|| copy.filter(|_| fault.died).map(|copy| *copy)) {
            Some(again) => {
                changed.undo(place.insert(again));
                Err((fault.reason, Retry::Safe))
            }
            None => Err((fault.reason, Retry::Never)),
        }
    }

    /// Over HTTP/2 the target is absolute, and the authority takes the place of `Host`.
    fn to_http2(&self, request: &mut Request<Outgoing>) -> Changed {
        let host = request.headers_mut().remove(HOST);
        let authority = host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let uri = std::mem::take(request.uri_mut());
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(if self.cluster.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = authority.or(parts.authority);
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| uri.clone());
        *request.version_mut() = Version::HTTP_2;
        Changed { uri: Some(uri), host }
    }
}

/// A request that has no body, once more.
fn copy(request: &Request<Outgoing>) -> Request<Outgoing> {
    let mut copy = Request::new(Outgoing::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

// === impl Deadline ===

impl Deadline {
    /// `now` where the time counts from now on. Whoever sends has just read the clock; what takes time is a connection, or a body.
    fn new(timeouts: &Timeouts, now: bool) -> Self {
        let head = timeouts.head;
        Self { head, until: now.then(|| moment::recent() + head), idle: timeouts.idle }
    }

    /// Call it once the request is all sent. Ready when the head is late.
    fn poll(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<Reason> {
        let until = *self.until.get_or_insert_with(|| moment::now() + self.head);
        clock.poll(cx, until.into()).map(|()| Reason::UpstreamHeadTimeout)
    }

    /// Call it while the request is being sent, and the upstream has taken nothing of it `since` then. Ready when that was too long ago.
    fn poll_stalled(&self, since: Instant, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<Reason> {
        clock.poll(cx, (since + self.idle).into()).map(|()| Reason::UpstreamBodyTimeout)
    }
}

// === impl Changed ===

impl Changed {
    fn undo(self, request: &mut Request<Outgoing>) {
        if let Some(uri) = self.uri {
            *request.uri_mut() = uri;
        }
        if let Some(host) = self.host {
            request.headers_mut().insert(HOST, host);
        }
    }
}
