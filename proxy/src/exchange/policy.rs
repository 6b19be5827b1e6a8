//! What the configuration says of a request: its route, and whether its limits let it through.
//! It changes nothing of the request.

use std::rc::Rc;
use std::sync::Arc;

use crate::error::Reason;
use crate::exchange::{Exchange, Refusal, Stop};
use crate::limit::{Decision, Subject};
use crate::route::Request;

/// Finds the route; the exchange's clock begins to count against its timeout.
pub(super) fn route(exchange: &mut Exchange) -> Result<(), Stop> {
    let Exchange { view, listener, record, .. } = exchange;
    let record = record.as_deref_mut().ok_or(Reason::Internal)?;
    let request = Request {
        listener: *listener,
        host: &record.request.host,
        path: record.request.uri.path(),
        method: &record.request.method,
        headers: &record.request.headers,
    };
    let index = view.router().find(&request).ok_or(Reason::NoRoute)?;
    let route = view.route(index).ok_or(Reason::Internal)?;
    record.enter(Rc::clone(&route.scope));
    exchange.deadline = route.timeout.map(|timeout| (record.started + timeout).into());
    exchange.route = Some(index);
    Ok(())
}

/// Asks each limit of the route, in order; the first that says no ends it.
pub(super) fn limits(exchange: &mut Exchange) -> Result<(), Stop> {
    let Exchange { view, route, record, .. } = exchange;
    let Some(route) = route.and_then(|route| view.route(route)) else { return Ok(()) };
    let record = record.as_deref_mut().ok_or(Reason::Internal)?;
    for limit in route.limits.iter().filter_map(|&limit| view.limit(limit)) {
        let subject = Subject {
            route: &route.scope.name,
            client: record.client,
            headers: &record.request.headers,
            plugin_keys: &[],
        };
        let decision = limit.check(&subject);
        record.limits.push((Arc::clone(&limit.name), decision == Decision::Allowed));
        if let Decision::Limited { retry_after } = decision {
            return Err(Stop::Refused(Refusal { reason: Reason::RateLimited, retry_after: Some(retry_after) }));
        }
    }
    Ok(())
}
