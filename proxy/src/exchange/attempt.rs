//! The request on its way to an upstream: breaker, endpoint, and at most one more try.
//! It does not connect, and does not decide what may be sent again: the upstream room says whether that is safe.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Request, Version};
use tidegate_abi::Hook;

use crate::error::{Reason, Source};
use crate::exchange::{Exchange, Refusal, Stop, chain, request_body};
use crate::moment;
use crate::telemetry::record::{BreakerDecision, CopiedHeaders, Record, ResponseHead};
use crate::upstream::{self, Admission, Behalf, Breaker, Client, Outgoing, Retry, SendError};
use crate::view::{Keep, RouteView};
use crate::wire::body::Body;
use crate::wire::client::{Head, Upgraded};
use crate::wire::upgrade::{self, Key};

/// How often a request is sent at most.
const TRIES: usize = 2;

/// What an upstream made of a request for a WebSocket; there when it granted it.
pub(super) type Granted = Option<Box<Upgraded>>;

/// Sends the request and waits for the head of the answer, which then is in the record, and its body in the place of the request's.
/// `key` is there when a WebSocket was asked for.
pub(super) async fn send(exchange: &mut Exchange, body: &mut Body, key: Option<Key>) -> Result<Granted, Stop> {
    // The route and the client are borrowed for as long as the exchange is changed: one count on this core.
    let view = Rc::clone(&exchange.view);
    let route = exchange.target().and_then(|route| view.route(route)).ok_or(Reason::Internal)?;
    let client = exchange.upstream().and_then(|upstream| view.upstream(upstream)).ok_or(Reason::Internal)?;
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
            Some(at) => clock.within(at, sending).await.unwrap_or_else(|| Err(Reason::Timeout.into())),
            None => sending.await,
        }
    };
    exchange.clock = clock;
    // Given up in the middle, it may lie there still.
    exchange.collect();
    let sent = match (sent, exchange.desk().and_then(|desk| desk.stopped())) {
        // What a plugin said of the request's body on its way.
        (Err(_), Some(stop)) => Err(stop),
        (sent, _) => sent,
    };
    if let (Err(stop), Some(record)) = (&sent, &mut exchange.record)
        && let Some(attempt) = record.attempts.last_mut()
        && attempt.ended.is_none()
    {
        attempt.ended = Some(Instant::now());
        if let Stop::Refused(refusal) = stop {
            attempt.error.get_or_insert(refusal.reason);
        }
    }
    if let Some(permit) = permit {
        let owe = exchange.request_body.as_ref().is_some_and(|body| !body.complete.get())
            || exchange.desk().is_some_and(|desk| !desk.is_sent());
        let record = exchange.record.as_deref();
        match (&sent, record.and_then(|record| record.response.as_ref())) {
            (Ok(_), Some(response)) => permit.settle(response.status),
            (Err(stop), _) if blames_upstream(blamed(stop, record), owe) => permit.fail(),
            // What the client broke, or a plugin did, says nothing of the upstream.
            _ => drop(permit),
        }
    }
    sent
}

/// What is to be said of the upstream: what became of the last attempt, else why there was none. A deadline that ends while a plugin
/// waits between two attempts is not the upstream's doing.
fn blamed(stop: &Stop, record: Option<&Record>) -> Option<Reason> {
    let tried = record.and_then(|record| record.attempts.last()).and_then(|attempt| attempt.error);
    tried.or(match stop {
        Stop::Refused(refusal) if refusal.reason == Reason::NoEndpoint => Some(refusal.reason),
        _ => None,
    })
}

/// Whether a failure counts against the upstream. While we still `owe` it a part of the body, as the client is slow to send it or a plugin
/// to let it pass, a timeout does not: else a few slow uploads would open the breaker for everybody.
const fn blames_upstream(reason: Option<Reason>, owe: bool) -> bool {
    let Some(reason) = reason else { return false };
    match reason.source() {
        Source::Upstream => true,
        Source::Proxy => matches!(reason, Reason::Timeout) && !owe,
        Source::Client | Source::Plugin => false,
    }
}

async fn tries(
    exchange: &mut Exchange,
    route: &RouteView,
    client: &Client,
    body: &mut Body,
    key: Option<Key>,
) -> Result<Granted, Stop> {
    let mut request = None;
    prepare(exchange, route, body, &mut request)?;
    // A client over HTTP/1.0 may not say whom it asks; HTTP/1.1 and HTTP/2 must.
    let mut named = request.as_ref().is_some_and(|request| request.headers().contains_key(HOST));
    let asks = exchange.chain().is_some_and(|route| route.asks_before_attempts);
    let mut avoid = None;
    let mut left = TRIES;
    loop {
        left -= 1;
        let endpoint = client.pick(avoid).ok_or(Reason::NoEndpoint)?;
        let text = client.endpoint(endpoint).map(Arc::clone).ok_or(Reason::NoEndpoint)?;
        let headers = request.as_mut().ok_or(Reason::Internal)?.headers_mut();
        exchange.record()?.attempt(text, client.cluster().is_https(), headers);
        if asks {
            chosen(exchange, route, headers).await?;
            named = headers.contains_key(HOST);
        }
        if !named && let Some(endpoint) = client.endpoint(endpoint) {
            headers.insert(HOST, HeaderValue::from_str(endpoint).map_err(|_| Reason::Internal)?);
        }
        exchange.lay();
        let behalf = Behalf {
            interim: exchange.interim.as_ref(),
            correlation_id: exchange.record.as_deref().map(|record| &*record.correlation.id),
        };
        // In one expression, so that there is no place for the answer beside what waits for it.
        let failed = match answered(client.send(endpoint, &mut request, behalf).await, exchange, body, key.as_ref()) {
            Ok(granted) => return Ok(granted),
            Err(failed) => failed?,
        };
        // A kept connection that died says nothing of its endpoint.
        avoid = (!failed.reused).then_some(endpoint);
        chain::run(exchange, Hook::UpstreamError).await?;
        if !failed.again || left == 0 {
            return Err(failed.reason.into());
        }
        chain::run(exchange, Hook::Retry).await?;
    }
}

/// An attempt that failed.
#[derive(Debug)]
struct Failed {
    reason: Reason,
    /// Whether the connection had carried another request before.
    reused: bool,
    /// Whether the request is there to be sent again.
    again: bool,
}

/// Notes what became of an attempt. Apart from what waits, so that an exchange has no place for it while it does.
fn answered(
    sent: Result<upstream::Answer, SendError>,
    exchange: &mut Exchange,
    place: &mut Body,
    key: Option<&Key>,
) -> Result<Granted, Result<Failed, Stop>> {
    exchange.collect();
    let stopped = exchange.desk().filter(|_| sent.is_err()).and_then(|desk| desk.stopped());
    let record = exchange.record.as_deref_mut().ok_or(Err(Reason::Internal.into()))?;
    let attempt = record.attempts.last_mut().ok_or(Err(Reason::Internal.into()))?;
    match sent {
        Ok(answer) => {
            attempt.head = Some(moment::now());
            attempt.reused = answer.reused;
            let Head { status, version, headers } = answer.head;
            attempt.status = Some(status);
            attempt.version = Some(version);
            let head = ResponseHead { status, version, headers };
            let granted = switched(&head, key, answer.upgraded).map_err(|reason| Err(reason.into()))?;
            record.response = Some(head);
            exchange.lease = Some(answer.lease);
            *place = answer.body;
            Ok(granted)
        }
        Err(error) => {
            // Where the client broke its own body, that is the cause, whatever the connection made of it.
            let broken = exchange.request_body.as_ref().and_then(|progress| progress.failed.get());
            let reason = broken.unwrap_or(error.reason);
            attempt.reused = error.reused;
            attempt.ended = Some(Instant::now());
            // Where a plugin broke it, that is no failure of the attempt.
            if let Some(stop) = stopped {
                return Err(Err(stop));
            }
            attempt.error = Some(reason);
            let (correlation_id, endpoint) = (&*record.correlation.id, &*attempt.endpoint);
            tracing::debug!(correlation_id, endpoint, reason = reason.as_str(), "attempt failed");
            let again = broken.is_none() && error.retry == Retry::Safe;
            Err(Ok(Failed { reason, reused: error.reused, again }))
        }
    }
}

/// Asks the plugins about the attempt that is about to begin, and writes the headers anew: they may have changed them. An attempt that
/// they stop was none.
async fn chosen(exchange: &mut Exchange, route: &RouteView, headers: &mut HeaderMap) -> Result<(), Stop> {
    let asked = chain::run(exchange, Hook::UpstreamChosen).await;
    let record = exchange.record()?;
    if let Err(stop) = asked {
        record.attempts.pop();
        return Err(stop);
    }
    *headers = outgoing(record, route, record.request.headers.clone());
    record.begin_attempt(headers);
    Ok(())
}

/// Checks an answer against what was asked for: a 101 must be the one that belongs to the handshake.
fn switched(head: &ResponseHead, key: Option<&Key>, upgraded: Granted) -> Result<Granted, Reason> {
    if head.status != http::StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    match key {
        Some(key) if upgrade::accepts(key, head.status, &head.headers) => {
            upgraded.map(Some).ok_or(Reason::UpstreamProtocol)
        }
        _ => Err(Reason::UpstreamProtocol),
    }
}

/// Puts the request as the upstream shall see it into its `place`.
fn prepare(
    exchange: &mut Exchange,
    route: &RouteView,
    body: &mut Body,
    place: &mut Option<Request<Outgoing>>,
) -> Result<(), Reason> {
    let keep = exchange.chain().map_or(Keep::Nothing, |route| route.keeps_request_head);
    let record = exchange.record.as_deref_mut().ok_or(Reason::Internal)?;
    let uri = match &route.rewrite.prefix {
        None => record.request.uri.path_and_query().cloned(),
        Some(_) => {
            let uri = &record.request.uri;
            let target = route.rewrite.target(&route.path, uri.path(), uri.query()).map_err(|_| Reason::Internal)?;
            record.sent.target = Some(Box::new(target.clone()));
            Some(target)
        }
    };
    // Kept only where somebody looks at it later: it is not free.
    let headers = match keep {
        Keep::Map => record.request.headers.clone(),
        Keep::Copy => {
            record.sent.request = Some(CopiedHeaders::of(&record.request.headers));
            std::mem::take(&mut record.request.headers)
        }
        Keep::Nothing => std::mem::take(&mut record.request.headers),
    };
    let request = place.insert(Request::new(Outgoing::empty()));
    *request.method_mut() = record.request.method.clone();
    *request.uri_mut() = uri.map(http::Uri::from).unwrap_or_default();
    *request.headers_mut() = outgoing(record, route, headers);
    if !http_body::Body::is_end_stream(body) {
        let body = std::mem::take(body);
        // Where a plugin looks at the body, it is counted already.
        let counted = exchange.request_body.is_some();
        *request.body_mut() = Outgoing::new(if counted { body } else { request_body::watched(exchange, body) });
    }
    Ok(())
}

/// The headers as the upstream shall see them.
fn outgoing(record: &Record, route: &RouteView, mut headers: HeaderMap) -> HeaderMap {
    if let Some(host) = &route.rewrite.host {
        headers.insert(HOST, host.clone());
    }
    if record.request.version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    headers
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
            assert_eq!(blames_upstream(Some(*reason), false), expected, "{reason}");
        }
        assert!(!blames_upstream(Some(Reason::Timeout), true), "the client was not done");
        assert!(blames_upstream(Some(Reason::ConnectTimeout), true), "no client can cause that");
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
