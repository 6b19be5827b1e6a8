//! The plugins of a route: in order for requests, in reverse for responses, in order again for the log.
//! It does not know what a plugin is made of.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tidegate_abi::Hook;

use crate::error::Reason;
use crate::exchange::waiting::Waiting;
use crate::exchange::{Exchange, Stop, orders};
use crate::plugin::Instance;
use crate::plugin::contract::{Fault, Matter, Outcome, Slot};
use crate::telemetry::record::Record;
use crate::view::{RouteView, View};

/// For each plugin of the route, by its position, the place where its instance keeps what it knows of this exchange; empty until it
/// was called. Those of a longer chain are an allocation.
#[derive(Debug)]
pub(super) enum Slots {
    Few([Option<Slot>; Slots::FEW]),
    Many(Box<[Option<Slot>]>),
}

/// The plugins of an exchange's route, and what they work on.
struct Chain<'a> {
    view: &'a View,
    route: &'a RouteView,
    slots: &'a mut Slots,
    record: &'a mut Option<Box<Record>>,
}

/// Where a chain stands still.
#[derive(Clone, Copy, Debug)]
struct Halt {
    /// Of the plugins that have the hook, which one in their order.
    turn: usize,
    plugin: usize,
    slot: Slot,
    /// Whether the hook was called and waits; else another hook of its plugin waits, and it is still to be called.
    called: bool,
}

/// Runs `request_head` of every plugin that has it.
pub(super) async fn request(exchange: &mut Exchange) -> Result<(), Stop> {
    run(exchange, Hook::RequestHead).await
}

/// Runs `response_head` of every plugin that has it, last to first.
pub(super) async fn response(exchange: &mut Exchange) -> Result<(), Stop> {
    run(exchange, Hook::ResponseHead).await
}

/// Runs a hook that is about the exchange alone, of every plugin that has it.
pub(super) async fn run(exchange: &mut Exchange, hook: Hook) -> Result<(), Stop> {
    match sweep(exchange, hook, 0)? {
        None => Ok(()),
        // Apart, so that an exchange whose hooks do not wait has no room for one that does.
        Some(halt) => Box::pin(wait(exchange, hook, halt)).await,
    }
}

/// Calls the hook of one plugin about a piece of a body, and waits where it does.
pub(super) async fn piece(
    exchange: &mut Exchange,
    hook: Hook,
    plugin: usize,
    slot: Slot,
    mut matter: Matter,
) -> Result<Matter, Stop> {
    let view = Rc::clone(&exchange.view);
    let instance = view.instance(plugin).ok_or(Reason::PluginUnavailable)?;
    vacant(exchange, instance, slot).await?;
    let (record, back, outcome) = instance.call_with(hook, slot, exchange.record.take(), matter);
    (exchange.record, matter) = (record, back);
    let outcome = match outcome {
        Outcome::Pending => resumed(exchange, plugin, slot, &mut matter).await?,
        outcome => outcome,
    };
    passed(outcome)?;
    if hook == Hook::RequestBody
        && let Some(wanted) = instance.take_orders(slot)
    {
        orders::obey(exchange, *wanted)?;
    }
    Ok(matter)
}

/// Runs `log` of every plugin that has it. Nothing it says can change the answer any more.
pub(super) fn log(exchange: &mut Exchange) {
    let Some(mut chain) = Chain::of(exchange) else { return };
    for &position in chain.route.chain.of(Hook::Log) {
        let _ = chain.call(Hook::Log, position);
    }
}

/// Gives up every hook of the exchange that waits.
pub(super) fn give_up(exchange: &mut Exchange) {
    let Some(chain) = Chain::of(exchange) else { return };
    for (slot, &plugin) in chain.slots.all().iter().zip(&chain.route.plugins) {
        if let (Some(slot), Some(instance)) = (*slot, chain.view.instance(plugin)) {
            instance.give_up(slot);
        }
    }
}

/// Lets every instance forget the exchange.
pub(super) fn release(exchange: &mut Exchange) {
    let Some(chain) = Chain::of(exchange) else { return };
    for (slot, &plugin) in chain.slots.all().iter_mut().zip(&chain.route.plugins) {
        if let (Some(slot), Some(instance)) = (slot.take(), chain.view.instance(plugin)) {
            instance.release(slot);
        }
    }
}

/// The plugin at a position of the chain, and its slot.
pub(super) fn seat(exchange: &mut Exchange, position: usize) -> Option<(usize, Slot)> {
    let mut chain = Chain::of(exchange)?;
    let plugin = *chain.route.plugins.get(position)?;
    let instance = chain.view.instance(plugin)?;
    Some((plugin, chain.slot(position, instance).ok()?))
}

/// Calls hooks until all are through, or one stands still.
fn sweep(exchange: &mut Exchange, hook: Hook, from: usize) -> Result<Option<Halt>, Stop> {
    for turn in from.. {
        let Some(mut chain) = Chain::of(exchange) else { return Ok(None) };
        let positions = chain.route.chain.of(hook);
        let next = if backwards(hook) { positions.iter().rev().nth(turn) } else { positions.get(turn) };
        let Some(&position) = next else { return Ok(None) };
        if let Some((plugin, slot, called)) = chain.call(hook, position)? {
            return Ok(Some(Halt { turn, plugin, slot, called }));
        }
        if hook == Hook::RequestHead {
            let wanted = chain.orders(position);
            if let Some(wanted) = wanted {
                orders::obey(exchange, *wanted)?;
            }
        }
    }
    Ok(None)
}

/// Goes on where a chain stands still, to its end.
async fn wait(exchange: &mut Exchange, hook: Hook, mut halt: Halt) -> Result<(), Stop> {
    let view = Rc::clone(&exchange.view);
    loop {
        let Halt { turn, plugin, slot, called } = halt;
        let instance = view.instance(plugin).ok_or(Reason::PluginUnavailable)?;
        if !called {
            vacant(exchange, instance, slot).await?;
        }
        let next = if called {
            passed(resumed(exchange, plugin, slot, &mut Matter::Exchange).await?)?;
            if hook == Hook::RequestHead
                && let Some(wanted) = instance.take_orders(slot)
            {
                orders::obey(exchange, *wanted)?;
            }
            turn + 1
        } else {
            turn
        };
        match sweep(exchange, hook, next)? {
            None => return Ok(()),
            Some(next) => halt = next,
        }
    }
}

/// Waits for a hook that waits. The exchange's deadline counts.
async fn resumed(exchange: &mut Exchange, plugin: usize, slot: Slot, matter: &mut Matter) -> Result<Outcome, Stop> {
    let view = Rc::clone(&exchange.view);
    let mut waiting = Waiting::begin(&view, plugin, slot, exchange.record.as_deref_mut());
    let outcome = within(exchange, |exchange, cx| waiting.poll(cx, &view, &mut exchange.record, matter)).await;
    if outcome.is_err() {
        waiting.give_up(&view);
    }
    exchange.turn();
    outcome
}

/// Waits until no other hook of this slot waits.
async fn vacant(exchange: &mut Exchange, instance: &Instance, slot: Slot) -> Result<(), Stop> {
    if !instance.is_waiting(slot) {
        return Ok(());
    }
    within(exchange, |exchange, cx| {
        if !instance.is_waiting(slot) {
            return Poll::Ready(());
        }
        exchange.wait_turn(cx);
        Poll::Pending
    })
    .await
}

/// Polls until it is ready, at most until the exchange's deadline. The record lies at its desk between two polls.
pub(super) async fn within<T>(
    exchange: &mut Exchange,
    mut poll: impl FnMut(&mut Exchange, &mut std::task::Context<'_>) -> Poll<T>,
) -> Result<T, Stop> {
    let deadline = exchange.deadline;
    let mut clock = std::mem::take(&mut exchange.clock);
    let done = poll_fn(|cx| {
        exchange.collect();
        if let Poll::Ready(done) = poll(exchange, cx) {
            return Poll::Ready(Some(done));
        }
        exchange.lay();
        match deadline {
            Some(at) => clock.poll(cx, at).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await;
    exchange.clock = clock;
    exchange.collect();
    done.ok_or_else(|| Reason::Timeout.into())
}

const fn backwards(hook: Hook) -> bool {
    matches!(hook, Hook::ResponseHead)
}

/// What a hook comes to, once it does not wait any more.
pub(super) fn passed(outcome: Outcome) -> Result<(), Stop> {
    match outcome {
        Outcome::Continue => Ok(()),
        Outcome::Reply(reply) => Err(Stop::Reply(reply)),
        Outcome::Refuse(fault) => Err(reason(&fault).into()),
        Outcome::Close | Outcome::Pending => Err(Reason::PluginFailed.into()),
    }
}

// === impl Chain ===

impl<'a> Chain<'a> {
    /// `None` where no route matched.
    fn of(exchange: &'a mut Exchange) -> Option<Self> {
        let Exchange { view, route, slots, record, .. } = exchange;
        Some(Self { route: view.route((*route)?)?, view, slots, record })
    }

    /// One hook of the plugin at `position` of the chain. Where it, or another of its hooks, waits: the plugin, its slot, and which.
    fn call(&mut self, hook: Hook, position: usize) -> Result<Option<(usize, Slot, bool)>, Stop> {
        let plugin = *self.route.plugins.get(position).ok_or(Reason::Internal)?;
        let Some(instance) = self.view.instance(plugin) else {
            // It could not be loaded. Whether that matters is for its configuration to say.
            let refuses = hook != Hook::Log && self.view.fails_closed(plugin);
            return if refuses { Err(Reason::PluginUnavailable.into()) } else { Ok(None) };
        };
        let slot = self.slot(position, instance)?;
        // Only a hook about a body runs beside others of its exchange.
        if self.route.reads_request_body && hook != Hook::Log && instance.is_waiting(slot) {
            return Ok(Some((plugin, slot, false)));
        }
        let record = self.record.take().ok_or(Reason::Internal)?;
        // The call is synchronous: the instance is not borrowed while anything else can run on this core.
        let (record, outcome) = instance.call(hook, slot, record);
        *self.record = Some(record);
        match outcome {
            Outcome::Continue => Ok(None),
            Outcome::Pending => Ok(Some((plugin, slot, true))),
            outcome => passed(outcome).map(|()| None),
        }
    }

    fn slot(&mut self, position: usize, instance: &Instance) -> Result<Slot, Stop> {
        let slot = self.slots.of(self.route.plugins.len()).get_mut(position).ok_or(Reason::Internal)?;
        Ok(*slot.get_or_insert_with(|| instance.open()))
    }

    /// What the plugin at the position wants, which was just called.
    fn orders(&mut self, position: usize) -> Option<Box<crate::plugin::contract::Orders>> {
        let plugin = *self.route.plugins.get(position)?;
        let slot = (*self.slots.all().get(position)?)?;
        self.view.instance(plugin)?.take_orders(slot)
    }
}

// === impl Slots ===

impl Slots {
    const FEW: usize = 4;

    /// As many as a chain of this length has.
    fn of(&mut self, length: usize) -> &mut [Option<Slot>] {
        if length > Self::FEW && matches!(self, Self::Few(_)) {
            *self = Self::Many(vec![None; length].into());
        }
        self.all()
    }

    /// Those that there are.
    const fn all(&mut self) -> &mut [Option<Slot>] {
        match self {
            Self::Few(slots) => slots,
            Self::Many(slots) => slots,
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::Few([None; Self::FEW])
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
