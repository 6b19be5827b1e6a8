//! What was decided, told to the plugins that want to know: later, in their own time, and never in the way of an exchange.
//! It decides nothing.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_abi::Hook;

use crate::exchange::waiting::Seat;
use crate::plugin::contract::{Event, Happened, Matter};
use crate::upstream::breaker::transitions;
use crate::view::{RouteView, View};

/// A limit has decided about a request of the route `route` (and of the plugins of the route `chain`).
pub(super) fn limit_decision(
    view: &Rc<View>,
    chain: &RouteView,
    (limit, allowed): (&Arc<str>, bool),
    (route, client): (&Arc<str>, IpAddr),
) {
    for &position in chain.chain.of(Hook::LimitDecision) {
        let Some(&plugin) = chain.plugins.get(position) else { continue };
        let what = Happened::LimitDecision { limit: Arc::clone(limit), allowed, route: Arc::clone(route), client };
        tell(view, plugin, Hook::LimitDecision, SystemTime::now(), what);
    }
}

/// Tells of what this worker has done to breakers since it was asked last.
pub(crate) fn breaker_transitions(view: &Rc<View>) {
    for transition in transitions::take() {
        for plugin in view.having(Hook::BreakerTransition) {
            let what = Happened::BreakerTransition {
                upstream: Arc::clone(&transition.upstream),
                state: transition.state.as_str(),
            };
            tell(view, plugin, Hook::BreakerTransition, transition.at, what);
        }
    }
}

fn tell(view: &Rc<View>, plugin: usize, hook: Hook, at: SystemTime, what: Happened) {
    if view.remember(plugin, hook, Event { at, lost: 0, what }) {
        // Nobody is telling yet.
        drop(tokio::task::spawn_local(tell_all(Rc::clone(view), plugin)));
    }
}

/// Tells one plugin, in order, until there is nothing left. Where its hook waits, what happens meanwhile is kept.
async fn tell_all(view: Rc<View>, plugin: usize) {
    while let Some((hook, event)) = view.next_event(plugin) {
        if let Some(seat) = Seat::open(&view, plugin) {
            let _ = seat.call(hook, Matter::Event(event)).await;
        }
        // A hook may take milliseconds: requests come first.
        tokio::task::yield_now().await;
    }
}
