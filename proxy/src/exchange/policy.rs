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
    let view = Rc::clone(&exchange.view);
    let listener = exchange.listener;
    let record = exchange.record()?;
    let request = Request {
        listener,
        host: &record.request.host,
        path: record.request.uri.path(),
        method: &record.request.method,
        headers: &record.request.headers,
    };
    let index = view.router().find(&request).ok_or(Reason::NoRoute)?;
    let route = view.route(index).ok_or(Reason::Internal)?;
    record.enter(Rc::clone(&route.scope));
    let started = record.started;
    exchange.route = Some(index);
    exchange.deadline = route.timeout.map(|timeout| (started + timeout).into());
    Ok(())
}

/// Asks each limit of the route, in order; the first that says no ends it.
pub(super) fn limits(exchange: &mut Exchange) -> Result<(), Stop> {
    let view = Rc::clone(&exchange.view);
    let Some(index) = exchange.route else { return Ok(()) };
    let Some(route) = view.route(index) else { return Ok(()) };
    if route.limits.is_empty() {
        return Ok(());
    }
    let record = exchange.record()?;
    for limit in route.limits.iter().filter_map(|&limit| view.limit(limit)) {
        let subject = Subject { route: index, client: record.client, headers: &record.request.headers };
        let decision = limit.check(&subject);
        record.limits.push((Arc::clone(&limit.name), decision == Decision::Allowed));
        if let Decision::Limited { retry_after } = decision {
            return Err(Stop::Refused(Refusal { reason: Reason::RateLimited, retry_after: Some(retry_after) }));
        }
    }
    Ok(())
}
