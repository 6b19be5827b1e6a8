//! One request, sent once to one endpoint: connect or reuse, send, wait for the head.
//! It never sends twice: it says whether that would be safe, and the exchange decides.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::cluster::Endpoint;
use super::config::Protocol;
use super::connect::{self, Opened};
use super::fault;
use super::outgoing::{Outgoing, Sent};
use super::pools::{Carrier, Client, Face, Kept, Lease};
use super::tap::Relay;
use crate::error::Reason;
use crate::moment;
use crate::wire::clock::Clock;
use crate::wire::interim::Interim;

/// The head of an upstream's answer, its body still to come.
#[derive(Debug)]
pub struct Answer<B = crate::wire::body::Body> {
    pub response: Response<Incoming>,
    /// Keep it until the body is over.
    pub lease: Lease<B>,
    /// Whether the connection had carried another request before.
    pub reused: bool,
    /// How long a new connection took.
    pub connect: Option<Duration>,
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
    /// The upstream has not acted on it, or acting twice is like acting once. It is back in its place, as it was given; where it had been
    /// written over HTTP/1, as it was written.
    ///
    /// So it is when a kept connection turned out dead before the request was on it; when it died without an answer, the
    /// method is idempotent and there is no body; and when no connection could be made and there is another endpoint to try.
    Safe,
}

/// What the adapter to a protocol changed in a request, to give it back as it was.
#[derive(Default)]
struct Changed {
    uri: Option<Uri>,
    host: Option<HeaderValue>,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    /// Sends the request to the endpoint that [`Client::pick`] picked. It is taken out of its place, where it is nowhere else: moving it
    /// costs.
    ///
    /// The request has the target of the upstream's view, a `Host` header, and no hop-by-hop headers but those of an upgrade.
    /// The connect timeout bounds connecting; the head timeout counts from the end of the request's body. While the body is being
    /// sent, only its own timeouts and the exchange's count. Interim answers are passed to `interim` over HTTP/1, and change
    /// no timeout; hyper's HTTP/2 drops them.
    ///
    /// # Errors
    /// With the reason to report, and whether the request is back in its place to be sent again.
    pub async fn send(
        &self,
        endpoint: usize,
        request: &mut Option<Request<Outgoing<B>>>,
        interim: Option<&Interim>,
    ) -> Result<Answer<B>, SendError> {
        let Some((face, address)) = self.face(endpoint) else {
            return Err(SendError { reason: Reason::NoEndpoint, retry: Retry::Never, reused: false });
        };
        let mut lease = Lease::new(&face.slot);
        // Connecting is rare and its future large: boxed, it is not part of the future of every exchange (of 11 KiB, 6 stay).
        let carrier = match self.carrier(face) {
            Some(carrier) => Ok((carrier, None)),
            None => Box::pin(self.open(face, address)).await,
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
        match self.exchange(&mut lease, request, reused, interim).await {
            Ok(response) => Ok(Answer { response, lease, reused, connect }),
            Err((reason, retry)) => {
                lease.give_up();
                Err(SendError { reason, retry, reused })
            }
        }
    }

    /// A connection that is there.
    fn carrier(&self, face: &Face<B>) -> Option<Carrier<B>> {
        match self.cluster.config().protocol {
            Protocol::Http1 => face.slot.take_idle().map(Carrier::Http1),
            Protocol::Http2 => face.slot.share().map(Carrier::Http2),
        }
    }

    /// A connection where none is there, and how long it took where it is a new one.
    async fn open(&self, face: &Face<B>, endpoint: &Endpoint) -> Result<(Carrier<B>, Option<Duration>), Reason> {
        let slot = &face.slot;
        if self.cluster.config().protocol == Protocol::Http1 {
            return self.dial(face, endpoint).await;
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
        let dialed = self.dial(face, endpoint).await;
        if let Err(reason) = &dialed {
            slot.failed.set(Some((Instant::now(), *reason)));
        }
        dialed
    }

    async fn dial(&self, face: &Face<B>, endpoint: &Endpoint) -> Result<(Carrier<B>, Option<Duration>), Reason> {
        let started = Instant::now();
        let connected = connect::connect(&self.cluster, endpoint, &self.resolver, &face.slot.open).await;
        let opened = match connected {
            Ok(opened) => {
                if face.slot.unreachable.replace(false) {
                    tracing::info!(upstream = %self.cluster.name(), endpoint = %face.text, "endpoint is reachable again");
                }
                opened
            }
            Err(connect::Failed { reason, cause }) => {
                if !face.slot.unreachable.replace(true) {
                    let (upstream, endpoint, reason) = (self.cluster.name(), &face.text, reason.as_str());
                    tracing::warn!(%upstream, %endpoint, reason, cause, "cannot connect to an endpoint");
                }
                return Err(reason);
            }
        };
        let carrier = match opened {
            Opened::Http1(sender, tap) => Carrier::Http1(Box::new(Kept::new(sender, tap))),
            Opened::Http2(sender, limit) => Carrier::Http2(face.slot.add(sender, limit)),
        };
        Ok((carrier, Some(started.elapsed())))
    }

    async fn exchange(
        &self,
        lease: &mut Lease<B>,
        place: &mut Option<Request<Outgoing<B>>>,
        reused: bool,
        interim: Option<&Interim>,
    ) -> Result<Response<Incoming>, (Reason, Retry)> {
        let mut request = place.take().ok_or((Reason::Internal, Retry::Never))?;
        let sent = request.body_mut().watch();
        // Whether it may be repeated even though it was sent.
        let repeatable = reused && sent.is_none() && request.method().is_idempotent();
        let limit = self.cluster.config().timeouts.head;
        // Whoever sends has just read the clock; what takes time is a connection, or a body.
        let until = (reused && sent.is_none()).then(|| moment::recent() + limit);
        let (changed, copy, answered) = match &mut lease.carrier {
            Carrier::None => return Err((Reason::Internal, Retry::Never)),
            Carrier::Http1(kept) => {
                let changed = to_http1(&mut request);
                let Kept { sender, tap, clock, .. } = &mut **kept;
                tap.begin(repeatable, interim.is_some());
                let relay = interim.map(|interim| tap.relay(interim));
                let answer = pin!(sender.try_send_request(request));
                (changed, None, wait(answer, sent.as_deref(), relay, limit, until, clock).await)
            }
            Carrier::Http2(shared) => {
                let changed = self.to_http2(&mut request);
                let copy = repeatable.then(|| Box::new(copy(&request)));
                let mut sender = shared.sender.clone();
                let answer = pin!(sender.try_send_request(request));
                (changed, copy, wait(answer, sent.as_deref(), None, limit, until, &mut Clock::new()).await)
            }
        };
        let mut error = match answered {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(reason) => return Err((reason, Retry::Never)),
        };
        if let Some(reason) = sent.and_then(|sent| sent.broken()) {
            return Err((reason, Retry::Never));
        }
        let message = error.take_message();
        let fault = fault::of_exchange(&error.into_error());
        let again = match (message, &lease.carrier) {
            // hyper never wrote a byte of it.
            (Some(message), _) => Some(message),
            (None, Carrier::Http1(kept)) if fault.died && repeatable => kept.tap.request(Outgoing::empty()),
            (None, _) if fault.died => copy.map(|copy| *copy),
            (None, _) => None,
        };
        match again {
            Some(again) => {
                changed.undo(place.insert(again));
                Err((fault.reason, Retry::Safe))
            }
            None => Err((fault.reason, Retry::Never)),
        }
    }

    /// Over HTTP/2 the target is absolute, and the authority takes the place of `Host`.
    fn to_http2(&self, request: &mut Request<Outgoing<B>>) -> Changed {
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

/// Over HTTP/1 the target is the path; the authority is in `Host`.
fn to_http1<B>(request: &mut Request<B>) -> Changed {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_none() {
        return Changed::default();
    }
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    Changed { uri: Some(std::mem::replace(request.uri_mut(), Uri::from(path))), host: None }
}

/// A request that has no body, once more.
fn copy<B>(request: &Request<Outgoing<B>>) -> Request<Outgoing<B>> {
    let mut copy = Request::new(Outgoing::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// Waits for the head; fails when it is late: `until` then, or `limit` after the request is all sent. The timer is armed only once
/// that is so and the head is not there.
async fn wait<T, E>(
    mut answer: Pin<&mut impl Future<Output = Result<T, E>>>,
    sent: Option<&Sent>,
    relay: Option<Relay<'_>>,
    limit: Duration,
    mut until: Option<Instant>,
    clock: &mut Clock,
) -> Result<Result<T, E>, Reason> {
    poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        if let Some(relay) = &relay {
            relay.poll(cx, polled.is_pending());
        }
        if let Poll::Ready(answered) = polled {
            return Poll::Ready(Ok(answered));
        }
        if !sent.is_none_or(|sent| sent.poll(cx)) {
            return Poll::Pending;
        }
        let until = *until.get_or_insert_with(|| moment::now() + limit);
        clock.poll(cx, until.into()).map(|()| Err(Reason::UpstreamHeadTimeout))
    })
    .await
}

// === impl Changed ===

impl Changed {
    fn undo<B>(self, request: &mut Request<B>) {
        if let Some(uri) = self.uri {
            *request.uri_mut() = uri;
        }
        if let Some(host) = self.host {
            request.headers_mut().insert(HOST, host);
        }
    }
}
