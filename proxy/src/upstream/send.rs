//! One request, sent once to one endpoint: connect or reuse, send, wait for the head.
//! It never sends twice: it says whether that would be safe, and the exchange decides.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version, request};
use http_body::Body;
use hyper::body::Incoming;

use super::cluster::Endpoint;
use super::config::Protocol;
use super::connect::{self, Opened};
use super::fault::{self, Fault};
use super::interim::{Flood, Relay};
use super::outgoing::{Outgoing, Sent};
use super::pools::{Carrier, Client, Face, Kept, Lease};
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
#[derive(Debug)]
pub struct SendError<B = crate::wire::body::Body> {
    pub reason: Reason,
    pub retry: Retry<B>,
    /// Whether the connection had carried another request before.
    pub reused: bool,
}

/// Whether the request may be sent again.
pub enum Retry<B = crate::wire::body::Body> {
    /// The upstream may have acted on it, part of its body is gone, or it would fail again.
    Never,
    /// The upstream has not acted on it, or acting twice is like acting once. Here it is, as it was given.
    ///
    /// So it is when a kept connection turned out dead before the request was on it; when it died without an answer, the
    /// method is idempotent and there is no body; and when no connection could be made and there is another endpoint to try.
    Safe(Box<Request<B>>),
}

/// What is kept aside of a request, to be able to send it again.
struct Spare<B> {
    /// Of a request that may be repeated even though it was sent.
    head: Option<request::Parts>,
    /// An empty body, which was not sent.
    body: Option<B>,
    /// What the adapter changed, to give the request back as it was.
    uri: Uri,
    host: Option<http::HeaderValue>,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    /// Sends the request to the endpoint that [`Client::pick`] picked.
    ///
    /// The request has the target of the upstream's view, a `Host` header, and no hop-by-hop headers but those of an upgrade.
    /// The connect timeout bounds connecting; the head timeout counts from the end of the request's body. While the body is being
    /// sent, only its own timeouts and the exchange's count. Interim answers are passed to `interim` over HTTP/1, and change
    /// no timeout; hyper's HTTP/2 drops them.
    ///
    /// # Errors
    /// With the reason to report, and the request where it may be sent again.
    pub async fn send(
        &self,
        endpoint: usize,
        request: Request<B>,
        interim: Option<&Interim>,
    ) -> Result<Answer<B>, SendError<B>> {
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
                let retry = if self.faces.len() > 1 { Retry::Safe(Box::new(request)) } else { Retry::Never };
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
            Opened::Http1(sender) => Carrier::Http1(Kept::new(sender)),
            Opened::Http2(sender, limit) => Carrier::Http2(face.slot.add(sender, limit)),
        };
        Ok((carrier, Some(started.elapsed())))
    }

    async fn exchange(
        &self,
        lease: &mut Lease<B>,
        request: Request<B>,
        reused: bool,
        interim: Option<&Interim>,
    ) -> Result<Response<Incoming>, (Reason, Retry<B>)> {
        let (mut head, body) = request.into_parts();
        let http2 = matches!(lease.carrier, Carrier::Http2(_));
        let empty = body.is_end_stream();
        let mut spare = Spare {
            head: (reused && empty && head.method.is_idempotent()).then(|| head.clone()),
            body: None,
            uri: head.uri.clone(),
            host: None,
        };
        if http2 {
            self.to_http2(&mut head, &mut spare)
        } else {
            to_http1(&mut head)
        }
        let (body, sent) = if empty {
            spare.body = Some(body);
            (Outgoing::empty(), None)
        } else {
            let sent = Rc::new(Sent::default());
            (Outgoing::new(body, Rc::clone(&sent)), Some(sent))
        };
        let mut request = Request::from_parts(head, body);
        let limit = self.cluster.config().timeouts.head;
        let watched = sent.clone();
        let answered = match &mut lease.carrier {
            Carrier::None => return Err((Reason::Internal, Retry::Never)),
            Carrier::Http1(kept) => {
                let relay = interim.map(|interim| kept.inbox.listen(&mut request, interim));
                let answer = kept.sender.try_send_request(request);
                wait(answer, sent, relay, limit, &mut kept.clock).await
            }
            Carrier::Http2(shared) => {
                let mut sender = shared.sender.clone();
                wait(sender.try_send_request(request), sent, None, limit, &mut Clock::new()).await
            }
        };
        match answered {
            Ok(Ok(response)) => Ok(response),
            Err(reason) => Err((reason, Retry::Never)),
            Ok(Err(mut error)) => {
                if let Some(reason) = watched.and_then(|sent| sent.broken()) {
                    return Err((reason, Retry::Never));
                }
                let message = error.take_message();
                let fault = fault::of_exchange(&error.into_error());
                Err((fault.reason, spare.retry(fault, message)))
            }
        }
    }

    /// Over HTTP/2 the target is absolute, and the authority takes the place of `Host`.
    fn to_http2(&self, head: &mut request::Parts, spare: &mut Spare<B>) {
        spare.host = head.headers.remove(HOST);
        let authority = spare.host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.scheme = Some(if self.cluster.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = authority.or(parts.authority);
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        head.uri = Uri::from_parts(parts).unwrap_or_else(|_| spare.uri.clone());
        head.version = Version::HTTP_2;
    }
}

/// Over HTTP/1 the target is the path; the authority is in `Host`.
fn to_http1(head: &mut request::Parts) {
    if head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        head.uri = Uri::from(path);
    }
    head.version = Version::HTTP_11;
}

/// Waits for the head; fails when it is late, or does not come for all the interim answers. The timer is armed only once the
/// request is all sent and the head is not there.
async fn wait<T, E>(
    answer: impl Future<Output = Result<T, E>>,
    sent: Option<Rc<Sent>>,
    relay: Option<Relay<'_>>,
    limit: Duration,
    clock: &mut Clock,
) -> Result<Result<T, E>, Reason> {
    let mut answer = pin!(answer);
    let mut until = None;
    poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        if let Some(relay) = &relay
            && let Err(Flood) = relay.poll(cx, polled.is_pending())
        {
            return Poll::Ready(Err(Reason::UpstreamProtocol));
        }
        if let Poll::Ready(answered) = polled {
            return Poll::Ready(Ok(answered));
        }
        if !sent.as_ref().is_none_or(|sent| sent.poll(cx)) {
            return Poll::Pending;
        }
        let until = *until.get_or_insert_with(|| moment::now() + limit);
        clock.poll(cx, until.into()).map(|()| Err(Reason::UpstreamHeadTimeout))
    })
    .await
}

// === impl Spare ===

impl<B: Body<Data = Bytes> + Unpin> Spare<B> {
    /// The request again, where it may be sent again.
    fn retry(self, fault: Fault, message: Option<Request<Outgoing<B>>>) -> Retry<B> {
        let (head, body) = match message {
            // hyper never wrote a byte of it.
            Some(message) => {
                let (mut head, body) = message.into_parts();
                head.uri = self.uri;
                if let Some(host) = self.host {
                    head.headers.insert(HOST, host);
                }
                (Some(head), body.into_inner().or(self.body))
            }
            None if fault.died => (self.head, self.body),
            None => return Retry::Never,
        };
        match (head, body) {
            (Some(head), Some(body)) => Retry::Safe(Box::new(Request::from_parts(head, body))),
            _ => Retry::Never,
        }
    }
}

// === impl Retry ===

impl<B> fmt::Debug for Retry<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "Never",
            Self::Safe(_) => "Safe",
        })
    }
}
