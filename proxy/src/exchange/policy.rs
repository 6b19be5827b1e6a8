//! What the configuration says of a request: its route, and whether its limits let it through.
//! It changes nothing of the request.

use std::rc::Rc;
use std::sync::Arc;

use tidegate_abi::Hook;

use crate::error::Reason;
use crate::exchange::{Exchange, Refusal, Stop, events};
use crate::limit::{Decision, Subject};
use crate::route::Request;
use crate::view::LimitView;

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

/// Asks each limit of the route, in order; the first that says no ends it. Those that count by what plugins say come later.
pub(super) fn limits(exchange: &mut Exchange) -> Result<(), Stop> {
    ask(exchange, |limit, _| !limit.is_late)
}

/// Asks those limits that had to wait for the plugins: they count by what a plugin says, or are those of a route that one chose.
pub(super) fn late_limits(exchange: &mut Exchange) -> Result<(), Stop> {
    let waits = exchange.chain().is_some_and(|route| route.has_late_limits);
    if !waits && exchange.aside.is_none() {
        return Ok(());
    }
    ask(exchange, |limit, asked| !asked.iter().any(|(name, _)| *name == limit.name))
}

fn ask(exchange: &mut Exchange, wanted: impl Fn(&LimitView, &[(Arc<str>, bool)]) -> bool) -> Result<(), Stop> {
    let Some(target) = exchange.target() else { return Ok(()) };
    let Exchange { view, route: chain, record, aside, .. } = exchange;
    let Some(route) = view.route(target) else { return Ok(()) };
    let record = record.as_deref_mut().ok_or(Reason::Internal)?;
    let plugin_keys = aside.as_ref().map(|aside| aside.limit_keys.as_slice()).unwrap_or_default();
    for limit in route.limits.iter().filter_map(|&limit| view.limit(limit)) {
        if !wanted(limit, &record.limits) || !limit.counts(plugin_keys) {
            continue;
        }
        let subject =
            Subject { route: &route.scope.name, client: record.client, headers: &record.request.headers, plugin_keys };
        let decision = limit.check(&subject);
        let allowed = decision == Decision::Allowed;
        record.limits.push((Arc::clone(&limit.name), allowed));
        if let Some(chain) = chain.and_then(|chain| view.route(chain))
            && !chain.chain.of(Hook::LimitDecision).is_empty()
        {
            events::limit_decision(view, chain, (&limit.name, allowed), (&route.scope.name, record.client));
        }
        if let Decision::Limited { retry_after } = decision {
            return Err(Stop::Refused(Refusal { reason: Reason::RateLimited, retry_after: Some(retry_after) }));
        }
    }
    Ok(())
}
