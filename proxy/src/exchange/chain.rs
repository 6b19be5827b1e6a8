//! The plugins of a route: in order for requests, in reverse for responses, in order again for the log.
//! It does not know what a plugin is made of.

use tidegate_abi::Hook;

use crate::error::Reason;
use crate::exchange::{Exchange, Stop};
use crate::plugin::contract::{Fault, Outcome, Slot};
use crate::telemetry::record::Record;
use crate::view::{RouteView, View};

/// For each plugin of the route, the place where its instance keeps what it knows of this exchange; empty until one was
/// called: the one allocation that an exchange with plugins has for all of them.
pub(super) type Slots = Vec<Option<Slot>>;

/// The plugins of an exchange's route, and what they work on.
struct Chain<'a> {
    view: &'a View,
    route: &'a RouteView,
    slots: &'a mut Slots,
    record: &'a mut Option<Box<Record>>,
}

/// Runs `request_head` of every plugin that has it.
pub(super) fn request(exchange: &mut Exchange) -> Result<(), Stop> {
    let Some(mut chain) = Chain::of(exchange) else { return Ok(()) };
    chain.route.chain.request_head.iter().try_for_each(|&position| chain.call(Hook::RequestHead, position))
}

/// Runs `response_head` of every plugin that has it, last to first.
pub(super) fn response(exchange: &mut Exchange) -> Result<(), Stop> {
    let Some(mut chain) = Chain::of(exchange) else { return Ok(()) };
    chain.route.chain.response_head.iter().rev().try_for_each(|&position| chain.call(Hook::ResponseHead, position))
}

/// Runs `log` of every plugin that has it. Nothing it says can change the answer any more.
pub(super) fn log(exchange: &mut Exchange) {
    let Some(mut chain) = Chain::of(exchange) else { return };
    for &position in &chain.route.chain.log {
        let _ = chain.call(Hook::Log, position);
    }
}

/// Lets every instance forget the exchange.
pub(super) fn release(exchange: &mut Exchange) {
    let Some(chain) = Chain::of(exchange) else { return };
    for (slot, &plugin) in chain.slots.drain(..).zip(&chain.route.plugins) {
        if let (Some(slot), Some(instance)) = (slot, chain.view.instance(plugin)) {
            instance.release(slot);
        }
    }
}

// === impl Chain ===

impl<'a> Chain<'a> {
    /// `None` where no route matched.
    fn of(exchange: &'a mut Exchange) -> Option<Self> {
        let Exchange { view, route, slots, record, .. } = exchange;
        Some(Self { route: view.route((*route)?)?, view, slots, record })
    }

    /// One hook of the plugin at `position` of the chain.
    fn call(&mut self, hook: Hook, position: usize) -> Result<(), Stop> {
        let plugin = *self.route.plugins.get(position).ok_or(Reason::Internal)?;
        let Some(instance) = self.view.instance(plugin) else {
            // It could not be loaded. Whether that matters is for its configuration to say.
            let refuses = hook != Hook::Log && self.view.fails_closed(plugin);
            return if refuses { Err(Reason::PluginUnavailable.into()) } else { Ok(()) };
        };
        self.slots.resize_with(self.route.plugins.len(), || None);
        let slot = *self.slots.get_mut(position).ok_or(Reason::Internal)?.get_or_insert_with(|| instance.open());
        let record = self.record.take().ok_or(Reason::Internal)?;
        // The call is synchronous: the instance is not borrowed while anything else can run on this core.
        let (record, outcome) = instance.call(hook, slot, record);
        *self.record = Some(record);
        match outcome {
            Outcome::Continue => Ok(()),
            Outcome::Reply(reply) => Err(Stop::Reply(Box::new(reply))),
            Outcome::Refuse(fault) => Err(reason(&fault).into()),
            Outcome::Close | Outcome::Pending => Err(Reason::PluginFailed.into()),
        }
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
