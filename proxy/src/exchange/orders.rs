//! What plugins want otherwise than it is configured: another route, upstream or timeout, and the keys of limits.
//! It asks no plugin.

use std::rc::Rc;

use bytes::Bytes;

use crate::error::Reason;
use crate::exchange::desk::Desk;
use crate::exchange::{Exchange, Stop};
use crate::plugin::contract::Orders;

/// What only some exchanges have.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Instead of the route that matched.
    pub(super) route: Option<usize>,
    /// Instead of the route's.
    pub(super) upstream: Option<usize>,
    /// For limits that count by what plugins say, in the order in which it was said.
    pub(super) limit_keys: Vec<(Box<str>, Bytes)>,
    /// Where a plugin looks at the request's body as it is sent.
    pub(super) desk: Option<Rc<Desk>>,
}

/// Does what a plugin wants; what a later one wants stands.
pub(super) fn obey(exchange: &mut Exchange, orders: Orders) -> Result<(), Stop> {
    let Orders { route, upstream, timeout, limit_keys } = orders;
    if let Some(index) = route {
        let timeout = exchange.view.route(index).ok_or(Reason::Internal)?.timeout;
        let started = exchange.record()?.started;
        exchange.deadline = timeout.map(|timeout| (started + timeout).into());
        let aside = exchange.aside();
        (aside.route, aside.upstream) = (Some(index), None);
    }
    if upstream.is_some() {
        exchange.aside().upstream = upstream;
    }
    if let Some(timeout) = timeout {
        let started = exchange.record()?.started;
        exchange.deadline = timeout.map(|timeout| (started + timeout).into());
    }
    if !limit_keys.is_empty() {
        exchange.aside().limit_keys.extend(limit_keys);
    }
    if route.is_some() || upstream.is_some() {
        let view = Rc::clone(&exchange.view);
        let (Some(route), Some(upstream)) = (exchange.target(), exchange.upstream()) else {
            return Err(Reason::Internal.into());
        };
        exchange.record()?.enter(view.scope(route, upstream).ok_or(Reason::Internal)?);
    }
    Ok(())
}
