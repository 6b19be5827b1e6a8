//! The answer on its way out: an upstream's, a plugin's, or one of our own; each with the exchange as its body's watcher.
//! It decides nothing: what went wrong, or who answered, is known by then.

use http::{HeaderValue, Method, Response, Version};

use crate::error::Reason;
use crate::exchange::attempt::Answer;
use crate::exchange::{Exchange, Refusal, Stop, chain, switch};
use crate::plugin::contract::LocalReply;
use crate::telemetry::record::ResponseHead;
use crate::wire::body::Body;
use crate::wire::headers;
use crate::wire::reply::{self, Problem};
use crate::wire::server::OnUpgrade;
use crate::wire::upgrade;

/// Removes what was for the hop behind us, and says that the answer went through us.
pub(super) fn clean(exchange: &mut Exchange) -> Result<(), Stop> {
    let record = exchange.record()?;
    let correlation = correlation(record);
    let head = record.response.as_mut().ok_or(Reason::Internal)?;
    headers::strip_response(&mut head.headers);
    headers::add_via(&mut head.headers, head.version);
    if let Some((name, id)) = correlation {
        head.headers.insert(name, id);
    }
    Ok(())
}

/// An upstream's answer.
pub(super) fn deliver(mut exchange: Exchange, answer: Answer, upgrade: Option<OnUpgrade>) -> Response<Body> {
    let idle = exchange
        .route()
        .and_then(|route| exchange.view.upstream(route.upstream))
        .map(|client| client.cluster().config().timeouts.idle);
    let mut response = head(&mut exchange);
    match (answer.switch, upgrade) {
        (Some(upstream), Some(client)) => {
            upgrade::set_upgrade(response.headers_mut());
            if let Some(record) = &mut exchange.record {
                record.switch();
            }
            let idle = idle.unwrap_or_default();
            drop(tokio::task::spawn_local(switch::session(exchange, client, upstream, idle)));
            response
        }
        _ => {
            // An answer to HEAD has no body (RFC 9110, 9.3.2); one that an upstream sends all the same is not passed on.
            let no_body = exchange.record.as_ref().is_some_and(|record| record.request.method == Method::HEAD);
            let mut body = if no_body { Body::empty() } else { Body::upstream(answer.body) };
            if let Some(idle) = idle {
                body = body.idle_timeout(idle, Reason::UpstreamBodyTimeout);
            }
            if let Some(at) = exchange.deadline {
                body = body.deadline(at, Reason::Timeout);
            }
            response.map(|_| body.watched(Box::new(exchange)))
        }
    }
}

/// An answer that says why there is no other.
pub(super) fn refuse(mut exchange: Exchange, refusal: &Refusal) -> Response<Body> {
    exchange.fail(refusal.reason);
    let response = problem(&exchange, refusal.reason, |problem| {
        problem.retry_after = refusal.retry_after;
        problem.response()
    });
    own(exchange, response)
}

/// An answer to a handshake of another version of WebSocket than ours.
pub(super) fn wrong_version(mut exchange: Exchange) -> Response<Body> {
    exchange.fail(Reason::InvalidUpgrade);
    let response = problem(&exchange, Reason::InvalidUpgrade, |problem| problem.upgrade_required());
    own(exchange, response)
}

/// A plugin's answer.
pub(super) fn local(mut exchange: Exchange, reply: LocalReply) -> Response<Body> {
    let Ok(record) = exchange.record() else {
        return refuse(exchange, &Refusal { reason: Reason::Internal, retry_after: None });
    };
    let correlation = correlation(record);
    let mut response = reply::local(reply.status, reply.headers, reply.body, &record.request.method);
    if let Some((name, id)) = correlation {
        response.headers_mut().insert(name, id);
    }
    own(exchange, response)
}

fn problem(
    exchange: &Exchange,
    reason: Reason,
    make: impl FnOnce(&mut Problem<'_>) -> Response<Body>,
) -> Response<Body> {
    let record = exchange.record.as_deref();
    let method = record.map_or(&Method::GET, |record| &record.request.method);
    let mut problem = Problem::new(reason, method);
    problem.correlation = record.map(|record| (&record.correlation.header, &*record.correlation.id));
    make(&mut problem)
}

/// An answer of our own, in the place of an upstream's.
///
/// The plugins of the route see it as they see an upstream's: all that have the hook, last to first, also those whose
/// request hook was not reached. It can change headers; a verdict of it changes nothing, since there is an
/// answer. Where the upstream had answered, the hook that stopped the walk was that very hook, and none is called again.
fn own(mut exchange: Exchange, response: Response<Body>) -> Response<Body> {
    exchange.let_go();
    let (parts, body) = response.into_parts();
    let ours = ResponseHead { status: parts.status, version: Version::HTTP_11, headers: parts.headers };
    let replaced = exchange.record.as_mut().and_then(|record| record.response.replace(ours));
    if replaced.is_none() {
        let _ = chain::response(&mut exchange);
    }
    let response = head(&mut exchange);
    response.map(|_| body.watched(Box::new(exchange)))
}

/// The head out of the record, copied where somebody looks at it later.
fn head(exchange: &mut Exchange) -> Response<Body> {
    let keeps = exchange.route().is_some_and(|route| route.keeps_response_head);
    let mut response = Response::new(Body::empty());
    if let Some(head) = exchange.record.as_mut().and_then(|record| record.response.as_mut()) {
        *response.status_mut() = head.status;
        *response.headers_mut() = if keeps { head.headers.clone() } else { std::mem::take(&mut head.headers) };
    }
    response
}

fn correlation(record: &crate::telemetry::record::Record) -> Option<(http::HeaderName, HeaderValue)> {
    let id = HeaderValue::from_str(&record.correlation.id).ok()?;
    Some((record.correlation.header.clone(), id))
}
