//! The plugins of a route: in order for requests, in reverse for responses, in order again for the log.
//! It does not know what a plugin is made of.

use std::rc::Rc;

use tidegate_abi::Hook;

use crate::error::Reason;
use crate::exchange::{Exchange, Stop};
use crate::plugin::contract::{Fault, Outcome, Slot};

/// For each plugin of the route, the place where its instance keeps what it knows of this exchange; empty until one was called.
pub(super) type Slots = Vec<Option<Slot>>;

/// Runs `request_head` of every plugin that has it.
pub(super) fn request(exchange: &mut Exchange) -> Result<(), Stop> {
    let view = Rc::clone(&exchange.view);
    let Some(route) = exchange.route.and_then(|route| view.route(route)) else { return Ok(()) };
    route.chain.request_head.iter().try_for_each(|&position| step(exchange, Hook::RequestHead, position))
}

/// Runs `response_head` of every plugin that has it, last to first.
pub(super) fn response(exchange: &mut Exchange) -> Result<(), Stop> {
    let view = Rc::clone(&exchange.view);
    let Some(route) = exchange.route.and_then(|route| view.route(route)) else { return Ok(()) };
    route.chain.response_head.iter().rev().try_for_each(|&position| step(exchange, Hook::ResponseHead, position))
}

/// Runs `log` of every plugin that has it. Nothing it says can change the answer any more.
pub(super) fn log(exchange: &mut Exchange) {
    let view = Rc::clone(&exchange.view);
    let Some(route) = exchange.route.and_then(|route| view.route(route)) else { return };
    for &position in &route.chain.log {
        let _ = step(exchange, Hook::Log, position);
    }
}

/// Lets every instance forget the exchange.
pub(super) fn release(exchange: &mut Exchange) {
    let slots = std::mem::take(&mut exchange.slots);
    if slots.is_empty() {
        return;
    }
    let view = Rc::clone(&exchange.view);
    let Some(route) = exchange.route.and_then(|route| view.route(route)) else { return };
    for (slot, &plugin) in slots.into_iter().zip(&route.plugins) {
        if let (Some(slot), Some(instance)) = (slot, view.instance(plugin)) {
            instance.release(slot);
        }
    }
}

/// One hook of the plugin at `position` of the route's chain.
fn step(exchange: &mut Exchange, hook: Hook, position: usize) -> Result<(), Stop> {
    let view = Rc::clone(&exchange.view);
    let route = exchange.route.and_then(|route| view.route(route)).ok_or(Reason::Internal)?;
    let plugin = *route.plugins.get(position).ok_or(Reason::Internal)?;
    let Some(instance) = view.instance(plugin) else {
        // It could not be loaded. Whether that matters is for its configuration to say.
        let refuses = hook != Hook::Log && view.fails_closed(plugin);
        return if refuses { Err(Reason::PluginUnavailable.into()) } else { Ok(()) };
    };
    exchange.slots.resize_with(route.plugins.len(), || None);
    let slot = *exchange.slots.get_mut(position).ok_or(Reason::Internal)?.get_or_insert_with(|| instance.open());
    let record = exchange.record.take().ok_or(Reason::Internal)?;
    // The call is synchronous: the instance is not borrowed while anything else can run on this core.
    let (record, outcome) = instance.call(hook, slot, record);
    exchange.record = Some(record);
    match outcome {
        Outcome::Continue => Ok(()),
        Outcome::Reply(reply) => Err(Stop::Reply(Box::new(reply))),
        Outcome::Refuse(fault) => Err(reason(&fault).into()),
        // Nothing that a hook of this version can ask for is ever answered later; the adapter says so itself.
        Outcome::Pending(_) => Err(Reason::PluginFailed.into()),
    }
}

const fn reason(fault: &Fault) -> Reason {
    match fault {
        Fault::Trap(_) => Reason::PluginTrap,
        Fault::Deadline(_) => Reason::PluginDeadline,
        Fault::Failed(_) => Reason::PluginFailed,
        Fault::Unavailable => Reason::PluginUnavailable,
    }
}
