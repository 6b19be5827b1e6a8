//! The request on its way to an upstream: breaker, endpoint, and at most one more try.
//! It does not connect, and does not decide what may be sent again: the upstream room says whether that is safe.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Request, Version};
use hyper::body::Incoming;

use crate::error::{Reason, Source};
use crate::exchange::request_body::{Counted, Progress};
use crate::exchange::{Exchange, Refusal, Stop};
use crate::moment;
use crate::telemetry::record::{BreakerDecision, ResponseHead};
use crate::upstream::{Admission, Breaker, Client, Retry};
use crate::view::RouteView;
use crate::wire::body::Body;
use crate::wire::upgrade::{self, Key};

/// How often a request is sent at most.
const TRIES: usize = 2;

/// An upstream's answer; its head is in the record.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Incoming,
    /// There when the upstream granted the WebSocket.
    pub(super) switch: Option<hyper::upgrade::OnUpgrade>,
}

/// Sends the request and waits for the head of the answer. `key` is there when a WebSocket was asked for.
pub(super) async fn send(exchange: &mut Exchange, body: Body, key: Option<Key>) -> Result<Answer, Stop> {
    // The route and the client are borrowed for as long as the exchange is changed: one count on this core.
    let view = Rc::clone(&exchange.view);
    let route = exchange.route.and_then(|route| view.route(route)).ok_or(Reason::Internal)?;
    let client = view.upstream(route.upstream).ok_or(Reason::Internal)?;
    let permit = match client.cluster().breaker().map(Breaker::admit) {
        None => None,
        Some(Admission::Pass(permit)) => {
            let decision = if permit.is_probe() { BreakerDecision::Probe } else { BreakerDecision::Allowed };
            exchange.record()?.breaker = Some(decision);
            Some(permit)
        }
        Some(Admission::Open { retry_after }) => {
            exchange.record()?.breaker = Some(BreakerDecision::Rejected);
            return Err(Stop::Refused(Refusal { reason: Reason::BreakerOpen, retry_after: Some(retry_after) }));
        }
    };
    let deadline = exchange.deadline;
    let mut clock = std::mem::take(&mut exchange.clock);
    let sent = {
        let sending = pin!(tries(exchange, route, client, body, key));
        match deadline {
            Some(at) => clock.within(at, sending).await.unwrap_or(Err(Reason::Timeout)),
            None => sending.await,
        }
    };
    exchange.clock = clock;
    if sent.is_err()
        && let Some(record) = &mut exchange.record
        && let Some(attempt) = record.attempts.last_mut()
    {
        attempt.ended.get_or_insert_with(Instant::now);
        attempt.error = attempt.error.or(sent.as_ref().err().copied());
    }
    if let Some(permit) = permit {
        let owes = exchange.request_body.as_ref().is_some_and(|body| !body.complete.get());
        match (&sent, exchange.record.as_ref().and_then(|record| record.response.as_ref())) {
            (Ok(_), Some(response)) => permit.settle(response.status),
            (Err(reason), _) if blames_upstream(*reason, owes) => permit.fail(),
            // What the client broke says nothing of the upstream.
            _ => drop(permit),
        }
    }
    Ok(sent?)
}

/// Whether a failure counts against the upstream. While the client still `owes` a part of its body, a timeout does not:
/// else a few slow uploads would open the breaker for everybody.
const fn blames_upstream(reason: Reason, owes: bool) -> bool {
    match reason.source() {
        Source::Upstream => true,
        Source::Proxy => matches!(reason, Reason::Timeout) && !owes,
        Source::Client | Source::Plugin => false,
    }
}

async fn tries(
    exchange: &mut Exchange,
    route: &RouteView,
    client: &Client<Body>,
    body: Body,
    key: Option<Key>,
) -> Result<Answer, Reason> {
    let mut request = prepare(exchange, route, body)?;
    let mut avoid = None;
    let mut left = TRIES;
    loop {
        left -= 1;
        let endpoint = client.pick(avoid).ok_or(Reason::NoEndpoint)?;
        let text = client.endpoint(endpoint).map(Arc::clone).ok_or(Reason::NoEndpoint)?;
        let record = exchange.record.as_deref_mut().ok_or(Reason::Internal)?;
        record.attempt(text, request.headers_mut());
        let sent = client.send(endpoint, request, exchange.interim.as_ref()).await;
        let record = exchange.record.as_deref_mut().ok_or(Reason::Internal)?;
        let attempt = record.attempts.last_mut().ok_or(Reason::Internal)?;
        match sent {
            Ok(answer) => {
                attempt.head = Some(moment::now());
                attempt.reused = answer.reused;
                let (parts, body) = answer.response.into_parts();
                attempt.status = Some(parts.status);
                let head = ResponseHead { status: parts.status, version: parts.version, headers: parts.headers };
                let switch = switched(&head, key.as_ref(), parts.extensions)?;
                record.response = Some(head);
                exchange.lease = Some(answer.lease);
                return Ok(Answer { body, switch });
            }
            Err(error) => {
                // Where the client broke its own body, that is the cause, whatever the connection made of it.
                let broken = exchange.request_body.as_ref().and_then(|progress| progress.failed.get());
                attempt.reused = error.reused;
                attempt.ended = Some(Instant::now());
                attempt.error = Some(broken.unwrap_or(error.reason));
                match (broken, error.retry) {
                    (None, Retry::Safe(again)) if left > 0 => request = *again,
                    _ => return Err(broken.unwrap_or(error.reason)),
                }
                // A kept connection that died says nothing of its endpoint.
                avoid = (!error.reused).then_some(endpoint);
            }
        }
    }
}

/// Checks an answer against what was asked for: a 101 must be the one that belongs to the handshake.
fn switched(
    head: &ResponseHead,
    key: Option<&Key>,
    mut extensions: http::Extensions,
) -> Result<Option<hyper::upgrade::OnUpgrade>, Reason> {
    if head.status != http::StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    match key {
        Some(key) if upgrade::accepts(key, head.status, &head.headers) => {
            extensions.remove::<hyper::upgrade::OnUpgrade>().map(Some).ok_or(Reason::UpstreamProtocol)
        }
        _ => Err(Reason::UpstreamProtocol),
    }
}

/// The request as the upstream shall see it.
fn prepare(exchange: &mut Exchange, route: &RouteView, body: Body) -> Result<Request<Body>, Reason> {
    let idle = exchange.view.listener_config(exchange.listener).map(|listener| listener.idle_timeout);
    let record = exchange.record.as_deref_mut().ok_or(Reason::Internal)?;
    let uri = match &route.rewrite.prefix {
        None => record.request.uri.path_and_query().cloned(),
        Some(_) => {
            let uri = &record.request.uri;
            Some(route.rewrite.target(&route.path, uri.path(), uri.query()).map_err(|_| Reason::Internal)?)
        }
    };
    let authority = record.request.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    // Kept only where a plugin or the access log looks at it later: the copy is not free.
    let mut headers = match route.keeps_request_head {
        true => record.request.headers.clone(),
        false => std::mem::take(&mut record.request.headers),
    };
    match (&route.rewrite.host, authority) {
        (Some(host), _) => drop(headers.insert(HOST, host.clone())),
        (None, Some(Ok(host))) => drop(headers.insert(HOST, host)),
        (None, _) => {}
    }
    if record.request.version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    let mut request = Request::new(body);
    *request.method_mut() = record.request.method.clone();
    *request.uri_mut() = uri.map(http::Uri::from).unwrap_or_default();
    *request.headers_mut() = headers;
    if http_body::Body::is_end_stream(request.body()) {
        return Ok(request);
    }
    let http2 = record.request.version == Version::HTTP_2;
    let progress = Rc::new(Progress::default());
    exchange.request_body = Some(Rc::clone(&progress));
    Ok(request.map(|body| {
        let body = match idle {
            // Over HTTP/1 the guard has its eye on that.
            Some(idle) if http2 => body.idle_timeout(idle, Reason::BodyTimeout),
            _ => body,
        };
        body.watched(Box::new(Counted(progress)))
    }))
}

/// HTTP/2 may split a cookie over several fields; elsewhere it is one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&all.join(b"; ".as_slice())) {
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_hears_of_what_the_upstream_did_and_of_nothing_else() {
        for reason in Reason::ALL {
            let expected = reason.source() == Source::Upstream || *reason == Reason::Timeout;
            assert_eq!(blames_upstream(*reason, false), expected, "{reason}");
        }
        assert!(!blames_upstream(Reason::Timeout, true), "the client was not done");
        assert!(blames_upstream(Reason::ConnectTimeout, true), "no client can cause that");
    }

    #[test]
    fn cookies_in_pieces_become_one_and_a_whole_one_stays() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        join_cookies(&mut headers);
        assert_eq!(headers[COOKIE], "a=1");
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        headers.append(COOKIE, HeaderValue::from_static("c=\"3\""));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=\"3\""]);
    }
}
