//! A plugin on one worker: calls its hooks for exchanges, connections, events and ticks, and hands on what they want.
//! It knows neither the chain it stands in nor what becomes of an answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tidegate_abi::{Body, Hook, Mode};

use super::config::{Capability, OnFailure};
use super::contract::{Answer, BodyWish, Directory, Fault, Matter, Operation, Orders, Outcome, Scope, Slot, Ticket};
use super::counted::Counted;
use super::drops::Drops;
use super::live::Entry;
use super::load::Loaded;
use super::meters::Meters;
use super::quarantine::Quarantine;
use super::running::Running;
use super::series::Series;
use super::slots::Slots;
use crate::telemetry::metrics::Shard;

mod calls;

use calls::Came;

/// A plugin on one worker. Not `Send`; hooks are synchronous, so a call never overlaps another.
pub struct Instance {
    loaded: Arc<Loaded>,
    inner: RefCell<Inner>,
}

/// All of it that calls change.
struct Inner {
    running: Running,
    slots: Slots,
    /// Here between calls, and in the instance that is called meanwhile.
    counted: Box<Counted>,
    directory: Rc<Directory>,
    /// What the generation before has handed over; every instance of this one can read it.
    handed: Option<Bytes>,
    meters: Meters,
    quarantine: Quarantine,
    resting: bool,
    /// Counts the instances in a row; a slot remembers which one has seen it.
    life: u32,
}

// === impl Instance ===

impl Instance {
    /// An instance for the worker that owns `shard`. Starts it at once, so that the first request need not wait; where that
    /// fails, the next use tries again. `before` is the worker's instance of the same plugin in the version before, which can hand
    /// over what it knows.
    pub fn new(loaded: &Arc<Loaded>, shard: &Shard, directory: Rc<Directory>, before: Option<&Self>) -> Self {
        let name = loaded.name().clone();
        let admitted = loaded.admitted.clone();
        let series = Series::new(
            name.clone(),
            &loaded.definitions,
            &loaded.families,
            shard.clone(),
            admitted,
            loaded.identity.budget.series,
        );
        let drops = Drops::new(name, Some((shard.clone(), loaded.catalogue.plugin.dropped.clone())));
        let mut inner = Inner {
            running: Running::new(loaded.isolation()),
            slots: Slots::default(),
            counted: Box::new(Counted::new(
                series,
                drops,
                loaded.identity.budget.log_lines,
                Some(loaded.store.clone()),
            )),
            directory,
            handed: before.and_then(Self::hand_over),
            meters: Meters::new(loaded, shard),
            quarantine: Quarantine::default(),
            resting: false,
            life: 0,
        };
        if inner.running.is_shared()
            && let Err(fault) = inner.ensure(loaded, Slot(0))
        {
            inner.note(loaded, Hook::Configure, Slot(0), &fault, None);
        }
        Self { loaded: loaded.clone(), inner: RefCell::new(inner) }
    }

    /// What this is an instance of.
    pub const fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }

    /// Whether the plugin has this hook.
    pub fn subscribes(&self, hook: Hook) -> bool {
        self.loaded.subscribes(hook)
    }

    /// A number for a new exchange, connection, tick or event; give it back with [`Instance::release`].
    pub fn open(&self) -> Slot {
        self.inner.borrow_mut().slots.open()
    }

    /// Calls a hook for an exchange. The record always comes back, whatever the plugin did. A hook of the slot that waits is given up.
    ///
    /// Of a plugin that fails open a fault gives [`Outcome::Continue`], as it does in [`Hook::Log`], where nothing can be refused any more.
    pub fn call(&self, hook: Hook, slot: Slot, scope: Scope) -> (Scope, Outcome) {
        if !self.loaded.subscribes(hook) {
            return (scope, Outcome::Continue);
        }
        let (scope, result) =
            self.inner.borrow_mut().run(&self.loaded, hook, Entry::Hook(hook), slot, Some(scope), None);
        let Some(scope) = scope else {
            // Host functions only borrow the record; there is none that takes it.
            unreachable!("the record comes back from a call");
        };
        (scope, self.outcome(hook, result))
    }

    /// Calls a hook that is about something beside an exchange, or about no exchange at all (then there is no `scope`). What was
    /// handed in always comes back.
    ///
    /// A fault of a hook that can refuse nothing gives [`Outcome::Continue`], as in [`Instance::call`].
    pub fn call_with(
        &self,
        hook: Hook,
        slot: Slot,
        scope: Option<Scope>,
        mut matter: Matter,
    ) -> (Option<Scope>, Matter, Outcome) {
        if !self.loaded.subscribes(hook) {
            return (scope, matter, Outcome::Continue);
        }
        let mut inner = self.inner.borrow_mut();
        let (scope, result) = inner.run(&self.loaded, hook, Entry::Hook(hook), slot, scope, Some(&mut matter));
        (scope, matter, self.outcome(hook, result))
    }

    /// What the last call for this slot has started, to be carried out. The outcome of each goes to [`Instance::resume`]. A hook that did
    /// not return [`Outcome::Pending`] has started nothing.
    pub fn operations(&self, slot: Slot) -> Vec<Operation> {
        let mut inner = self.inner.borrow_mut();
        inner.slots.get_mut(slot).map(|kept| std::mem::take(&mut kept.operations)).unwrap_or_default()
    }

    /// Whether a hook of this slot waits. No other hook may be called for the slot then, unless the wait is to be given up.
    pub fn is_waiting(&self, slot: Slot) -> bool {
        self.inner.borrow().slots.get(slot).is_some_and(|kept| kept.waiting.is_some())
    }

    /// Whether a hook of this slot waits in an instance that is gone. No answer will reach it: [`Instance::resume`] says so.
    /// Where it is not, `waker` is woken once it is.
    pub fn is_lost(&self, slot: Slot, waker: &Waker) -> bool {
        let Inner { running, slots, life, .. } = &mut *self.inner.borrow_mut();
        let Some(kept) = slots.get_mut(slot).filter(|kept| kept.waiting.is_some()) else { return false };
        if !running.knows(slot, kept, *life) {
            return true;
        }
        if !kept.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            kept.waker = Some(waker.clone());
        }
        false
    }

    /// What the last hook of this slot wants of the rest of the walk, if anything.
    pub fn take_orders(&self, slot: Slot) -> Option<Box<Orders>> {
        self.inner.borrow_mut().slots.get_mut(slot)?.orders.take()
    }

    /// How the plugin wants this body of the exchange in `slot`; `None` where its hook is not to be called for it.
    pub fn body_wish(&self, slot: Slot, body: Body) -> Option<BodyWish> {
        let hook = match body {
            Body::Request => Hook::RequestBody,
            Body::Response => Hook::ResponseBody,
        };
        if !self.loaded.subscribes(hook) || !self.loaded.identity.allow.has(Capability::ReadBodies) {
            return None;
        }
        let wish = self.inner.borrow().slots.get(slot).and_then(|kept| kept.wish(body));
        wish.or_else(|| Some(self.loaded.definitions.body(body))).filter(|wish| wish.mode != Mode::Skip)
    }

    /// Goes on with a hook that returned [`Outcome::Pending`], now that one of its operations is done. `scope` and `matter` are those of
    /// the hook. Where the instance was lost meanwhile, that is a fault of the hook.
    pub fn resume(
        &self,
        slot: Slot,
        ticket: Ticket,
        answer: Answer,
        scope: Option<Scope>,
        mut matter: Matter,
    ) -> (Option<Scope>, Matter, Outcome) {
        let mut inner = self.inner.borrow_mut();
        let (scope, hook, result) = inner.resume(&self.loaded, slot, (ticket, answer), scope, &mut matter);
        (scope, matter, self.outcome(hook, result))
    }

    /// Gives up what a hook of this slot waits for, if one does: nobody will resume it.
    pub fn give_up(&self, slot: Slot) {
        let Inner { slots, counted, .. } = &mut *self.inner.borrow_mut();
        if let Some(kept) = slots.get_mut(slot) {
            kept.end(counted);
        }
    }

    /// It is over: the slot can be used again, and the guest can drop what it kept for it. What a hook of it waits for is given up.
    pub fn release(&self, slot: Slot) {
        self.inner.borrow_mut().release(&self.loaded, slot);
    }

    /// Whether the plugin is in quarantine on this worker.
    pub fn is_resting(&self) -> bool {
        self.inner.borrow().resting
    }

    /// What this instance wants the next generation to know. One that does not run any more has nothing to say.
    fn hand_over(&self) -> Option<Bytes> {
        if !self.subscribes(Hook::HandOver) {
            return None;
        }
        self.inner.borrow_mut().hand_over(&self.loaded)
    }

    fn outcome(&self, hook: Hook, result: Result<Came, Fault>) -> Outcome {
        match result {
            Ok(came) => came.into(),
            Err(_) if !can_refuse(hook) || self.loaded.on_failure() == OnFailure::Open => Outcome::Continue,
            Err(fault) => Outcome::Refuse(fault),
        }
    }
}

/// Whether there is something that a fault of this hook could refuse.
const fn can_refuse(hook: Hook) -> bool {
    match hook {
        Hook::ConnectionOpen
        | Hook::RequestHead
        | Hook::RequestBody
        | Hook::RequestTrailers
        | Hook::UpstreamChosen
        | Hook::UpstreamError
        | Hook::Retry
        | Hook::ResponseHead
        | Hook::ResponseBody
        | Hook::ResponseTrailers => true,
        Hook::Configure
        | Hook::HandOver
        | Hook::Tick
        | Hook::Log
        | Hook::ConnectionClose
        | Hook::LimitDecision
        | Hook::BreakerTransition => false,
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.inner.get_mut().resting {
            self.loaded.set_resting(false);
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("plugin", self.loaded.name()).finish_non_exhaustive()
    }
}
