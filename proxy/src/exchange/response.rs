//! The answer on its way out: an upstream's, a plugin's, or one of our own; each with the exchange as its body's watcher.
//! It decides nothing: what went wrong, or who answered, is known by then.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use crate::error::Reason;
use crate::exchange::attempt::Granted;
use crate::exchange::bodies::Reader;
use crate::exchange::filter::ResponseFilter;
use crate::exchange::{Exchange, Refusal, Stop, switch};
use crate::plugin::contract::LocalReply;
use crate::telemetry::record::{CopiedHeaders, ResponseHead};
use crate::view::Keep;
use crate::wire::body::Body;
use crate::wire::headers;
use crate::wire::reply::{self, Problem};
use crate::wire::server::OnUpgrade;
use crate::wire::upgrade;

/// Removes what was for the hop behind us, says that the answer went through us, and puts its body under the timeouts.
pub(super) fn clean(exchange: &mut Exchange, body: &mut Body) -> Result<(), Stop> {
    let deadline = exchange.deadline;
    let idle = exchange.client().map(|client| client.cluster().config().timeouts.idle);
    let record = exchange.record()?;
    // An answer to HEAD has no body (RFC 9110, 9.3.2); one that an upstream sends all the same is not passed on.
    let no_body = record.request.method == Method::HEAD;
    if no_body {
        *body = Body::empty();
    }
    if let Some(idle) = idle {
        body.idle_timeout(idle, Reason::UpstreamBodyTimeout);
    }
    if let Some(at) = deadline {
        body.deadline(at, Reason::Timeout);
    }
    let correlation = correlation(record);
    let head = record.response.as_mut().ok_or(Reason::Internal)?;
    headers::strip_response(&mut head.headers);
    headers::add_via(&mut head.headers, head.version);
    if let Some((name, id)) = correlation {
        head.headers.insert(name, id);
    }
    Ok(())
}

/// How an upstream's answer is delivered, beside its head and its body.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) granted: Granted,
    /// The plugins that look at the body on its way, last to first.
    pub(super) readers: Vec<Reader>,
}

/// An upstream's answer.
pub(super) fn deliver(
    mut exchange: Box<Exchange>,
    body: Body,
    delivery: Delivery,
    upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let (status, mut headers) = head(&mut exchange);
    let body = match (delivery.granted, upgrade) {
        (Some(upstream), Some(client)) => {
            upgrade::set_upgrade(&mut headers);
            if let Some(record) = &mut exchange.record {
                record.switch();
            }
            let idle = exchange.client().map(|client| client.cluster().config().timeouts.idle);
            let idle = idle.unwrap_or_default();
            drop(tokio::task::spawn_local(switch::session(exchange, client, *upstream, idle)));
            Body::empty()
        }
        _ if !delivery.readers.is_empty() => {
            exchange.lay();
            Body::made(Box::pin(ResponseFilter::new(exchange, body, delivery.readers)))
        }
        _ => {
            exchange.lay();
            body.watched(exchange)
        }
    };
    response(status, headers, body)
}

/// An answer of our own, in the place of an upstream's.
#[derive(Debug)]
pub(super) struct Own {
    body: Body,
    /// Whether no upstream had answered.
    ///
    /// Then the plugins of the route see it as they see an upstream's: all that have the hook, last to first, also those whose
    /// request hook was not reached. It can change headers; a verdict of it changes nothing, since there is an answer. Where the upstream
    /// had answered, what stopped the walk was one of those very hooks, or came after them, and none is called again.
    pub(super) is_first: bool,
}

/// An answer that says why there is no other.
pub(super) fn refuse(exchange: &mut Exchange, refusal: &Refusal) -> Own {
    exchange.fail(refusal.reason);
    let response = problem(exchange, refusal.reason, |problem| {
        problem.retry_after = refusal.retry_after;
        problem.response()
    });
    own(exchange, response)
}

/// An answer to a handshake of another version of WebSocket than ours.
pub(super) fn wrong_version(exchange: &mut Exchange) -> Own {
    exchange.fail(Reason::InvalidUpgrade);
    let response = problem(exchange, Reason::InvalidUpgrade, |problem| problem.upgrade_required());
    own(exchange, response)
}

/// A plugin's answer.
pub(super) fn local(exchange: &mut Exchange, reply: LocalReply) -> Own {
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

fn own(exchange: &mut Exchange, response: Response<Body>) -> Own {
    exchange.let_go();
    let (parts, body) = response.into_parts();
    let ours = ResponseHead { status: parts.status, version: Version::HTTP_11, headers: parts.headers };
    let replaced = exchange.record.as_mut().and_then(|record| record.response.replace(ours));
    Own { body, is_first: replaced.is_none() }
}

/// An answer of our own, on its way.
pub(super) fn deliver_own(mut exchange: Box<Exchange>, own: Own) -> Response<Body> {
    let (status, headers) = head(&mut exchange);
    exchange.lay();
    response(status, headers, own.body.watched(exchange))
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
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

/// The head out of the record, copied where somebody looks at it later.
fn head(exchange: &mut Exchange) -> (StatusCode, HeaderMap) {
    let keep = exchange.chain().map_or(Keep::Nothing, |route| route.keeps_response_head);
    let record = exchange.record.as_deref_mut();
    let Some((head, sent)) = record.and_then(|record| Some((record.response.as_mut()?, &mut record.sent))) else {
        return Default::default();
    };
    let headers = match keep {
        Keep::Map => head.headers.clone(),
        Keep::Copy => {
            sent.response = Some(CopiedHeaders::of(&head.headers));
            std::mem::take(&mut head.headers)
        }
        Keep::Nothing => std::mem::take(&mut head.headers),
    };
    (head.status, headers)
}

fn correlation(record: &crate::telemetry::record::Record) -> Option<(http::HeaderName, HeaderValue)> {
    Some((record.correlation.header.clone(), record.correlation.id.to_value()))
}
