//! A plugin on one worker: calls its hooks for exchanges, replaces what trapped, and shuts out what keeps trapping.
//! It knows neither the chain it stands in nor what becomes of an answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tidegate_abi::{Body, Hook, Verdict};
use tracing::warn;

use super::config::OnFailure;
use super::contract::{Answer, BodyWish, Directory, Fault, Matter, Operation, Orders, Outcome, Scope, Slot, Ticket};
use super::drops::Drops;
use super::live::{Entry, Live};
use super::load::Loaded;
use super::meters::{Ended, Meters};
use super::quarantine::Quarantine;
use super::series::Series;
use super::slots::Slots;
use super::state::State;
use crate::telemetry::metrics::Shard;
use crate::telemetry::record::Record;

/// A plugin on one worker. Not `Send`; hooks are synchronous, so a call never overlaps another.
pub struct Instance {
    loaded: Arc<Loaded>,
    inner: RefCell<Inner>,
}

struct Inner {
    running: Running,
    slots: Slots,
    meters: Meters,
    quarantine: Quarantine,
    resting: bool,
    /// Counts the instances in a row; a slot remembers which one has seen it.
    life: u32,
}

#[expect(clippy::large_enum_variant, reason = "one for each plugin and worker, and looked at in every call")]
enum Running {
    Live(Live),
    /// There was a fault: a fresh instance is made from this at the next use. Series and counts live on in it.
    Down(Box<State>),
    /// Only while one of the others is being made from the other.
    Between,
}

// === impl Instance ===

impl Instance {
    /// An instance for the worker that owns `shard`. Starts it at once, so that the first request need not wait; where that
    /// fails, the next use tries again. `before` is the worker's instance of the same plugin in the version before, which can hand
    /// over what it knows.
    pub fn new(loaded: &Arc<Loaded>, shard: &Shard, directory: Rc<Directory>, before: Option<&Self>) -> Self {
        let _ = (directory, before);
        let name = loaded.name().clone();
        let admitted = loaded.admitted.clone();
        let series = Series::new(name.clone(), &loaded.definitions, &loaded.families, shard.clone(), admitted);
        let drops = Drops::new(name, Some((shard.clone(), loaded.catalogue.plugin.dropped.clone())));
        let state = State::new(loaded.identity.clone(), series, drops);
        let mut inner = Inner {
            running: Running::Down(Box::new(state)),
            slots: Slots::default(),
            meters: Meters::new(loaded, shard),
            quarantine: Quarantine::default(),
            resting: false,
            life: 0,
        };
        if let Err(fault) = inner.live(loaded) {
            inner.note(loaded, Hook::Configure, &fault, None);
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

    /// A number for a new exchange; give it back with [`Instance::release`].
    pub fn open(&self) -> Slot {
        self.inner.borrow_mut().slots.open()
    }

    /// Calls a hook for an exchange. The record always comes back, whatever the plugin did.
    ///
    /// Of a plugin that fails open a fault gives [`Outcome::Continue`], as it does in [`Hook::Log`], where nothing can be refused any more.
    pub fn call(&self, hook: Hook, slot: Slot, scope: Scope) -> (Scope, Outcome) {
        if !self.loaded.subscribes(hook) {
            return (scope, Outcome::Continue);
        }
        let mut inner = self.inner.borrow_mut();
        let (scope, result) = inner.run(&self.loaded, hook, Entry::Hook(hook), slot, scope);
        (scope, self.outcome(hook, result))
    }

    /// Calls a hook that is about something beside an exchange, or about no exchange at all (then there is no `scope`). What was
    /// handed in always comes back.
    pub fn call_with(
        &self,
        hook: Hook,
        slot: Slot,
        scope: Option<Scope>,
        matter: Matter,
    ) -> (Option<Scope>, Matter, Outcome) {
        match scope {
            Some(scope) => {
                let (scope, outcome) = self.call(hook, slot, scope);
                (Some(scope), matter, outcome)
            }
            None => {
                if self.loaded.subscribes(hook) {
                    self.inner.borrow_mut().background(&self.loaded, hook, Entry::Hook(hook), slot);
                }
                (None, matter, Outcome::Continue)
            }
        }
    }

    /// What the last call for this slot has started, to be carried out. The outcome of each goes to [`Instance::resume`]. A hook that did
    /// not return [`Outcome::Pending`] has started nothing.
    pub fn operations(&self, slot: Slot) -> Vec<Operation> {
        let _ = slot;
        Vec::new()
    }

    /// Whether a hook of this slot waits. No other hook may be called for the slot then.
    pub fn is_waiting(&self, slot: Slot) -> bool {
        self.inner.borrow().slots.get(slot).pending.is_some()
    }

    /// What the last call wants of the rest of the walk, if anything.
    pub fn take_orders(&self) -> Option<Box<Orders>> {
        None
    }

    /// How the plugin wants this body of the exchange in `slot`; `None` where it has no hook for it.
    pub fn body_wish(&self, slot: Slot, body: Body) -> Option<BodyWish> {
        let _ = (slot, body);
        None
    }

    /// Goes on with a hook that returned [`Outcome::Pending`], now that one of its operations is done. `scope` and `matter` are those of
    /// the hook.
    pub fn resume(
        &self,
        slot: Slot,
        ticket: Ticket,
        answer: Answer,
        scope: Option<Scope>,
        matter: Matter,
    ) -> (Option<Scope>, Matter, Outcome) {
        let _ = answer;
        let Some(scope) = scope else { return (None, matter, Outcome::Continue) };
        let (scope, outcome) = self.resume_exchange(slot, ticket, scope);
        (Some(scope), matter, outcome)
    }

    fn resume_exchange(&self, slot: Slot, ticket: Ticket, scope: Scope) -> (Scope, Outcome) {
        let mut inner = self.inner.borrow_mut();
        let mut kept = inner.slots.get(slot);
        let (hook, result) = match kept.pending.take() {
            Some((hook, waited)) if waited == ticket => {
                let same_life = kept.seen_by == inner.life && matches!(inner.running, Running::Live(_));
                inner.slots.set(slot, kept);
                if same_life {
                    let entry = Entry::Resume(ticket.0.cast_signed());
                    let (scope, result) = inner.run(&self.loaded, hook, entry, slot, scope);
                    return (scope, self.outcome(hook, result));
                }
                (hook, Err(Fault::Trap("the instance that waited for this was replaced after a fault".to_owned())))
            }
            _ => (Hook::RequestHead, Err(Fault::Trap("nothing waits for this ticket".to_owned()))),
        };
        (scope, self.outcome(hook, result))
    }

    /// The exchange is over: its slot can be used again, and the guest can drop what it kept for it.
    pub fn release(&self, slot: Slot) {
        self.inner.borrow_mut().release(&self.loaded, slot);
    }

    /// Whether the plugin is in quarantine on this worker.
    pub fn is_resting(&self) -> bool {
        self.inner.borrow().resting
    }

    fn outcome(&self, hook: Hook, result: Result<Outcome, Fault>) -> Outcome {
        match result {
            Ok(outcome) => outcome,
            Err(_) if hook == Hook::Log || self.loaded.on_failure() == OnFailure::Open => Outcome::Continue,
            Err(fault) => Outcome::Refuse(fault),
        }
    }

    /// Lets the next call have a ticket, as a call-out will.
    #[cfg(test)]
    pub(super) fn stage_ticket(&self, ticket: Ticket) {
        if let Running::Live(live) = &mut self.inner.borrow_mut().running {
            live.store.data_mut().ticket = Some(ticket);
        }
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

// === impl Inner ===

impl Inner {
    /// Calls the guest for an exchange, with the record in its store for the time of the call.
    fn run(
        &mut self,
        loaded: &Loaded,
        hook: Hook,
        entry: Entry,
        slot: Slot,
        scope: Scope,
    ) -> (Scope, Result<Outcome, Fault>) {
        let mut kept = self.slots.get(slot);
        let begun = self.meters.begin(hook);
        let live = match self.live(loaded) {
            Ok(live) => live,
            Err(fault) => {
                self.note(loaded, hook, &fault, Some(&scope));
                return (scope, Err(fault));
            }
        };
        let state = live.store.data_mut();
        (state.hook, state.usage) = (hook, kept.usage);
        state.reply = None;
        state.record = Some(scope);
        let verdict = live.call(entry, slot.0.cast_signed(), loaded.deadline_ticks, loaded.identity.budget.deadline);
        let state = live.store.data_mut();
        kept.usage = state.usage;
        let Some(scope) = state.record.take() else {
            // Host functions only borrow the record; there is none that takes it.
            unreachable!("the record stays in the store during a call");
        };
        let ticket = state.ticket;
        let result = verdict.and_then(|verdict| state.outcome(hook, verdict));
        let memory = state.limits.bytes;

        if let (Ok(Outcome::Pending), Some(ticket)) = (&result, ticket) {
            kept.pending = Some((hook, ticket));
        }
        // A fresh instance may have been made for this call.
        kept.seen_by = self.life;
        self.slots.set(slot, kept);
        self.meters.memory(memory);
        if let Some(begun) = begun {
            self.meters.end(hook, begun);
        }
        let ended = match &result {
            Ok(Outcome::Continue | Outcome::Close | Outcome::Refuse(_)) => Ended::Ok,
            Ok(Outcome::Reply(_)) => Ended::Reply,
            Ok(Outcome::Pending) => Ended::Pending,
            Err(fault) => {
                self.note(loaded, hook, fault, Some(&scope));
                return (scope, result);
            }
        };
        self.meters.call(loaded, hook, ended);
        (scope, result)
    }

    /// Calls the guest outside of an exchange.
    fn background(&mut self, loaded: &Loaded, hook: Hook, entry: Entry, slot: Slot) {
        let begun = if entry == Entry::Release { None } else { self.meters.begin(hook) };
        let called = self.live(loaded).and_then(|live| {
            let state = live.store.data_mut();
            (state.hook, state.record) = (hook, None);
            live.call(entry, slot.0.cast_signed(), loaded.deadline_ticks, loaded.identity.budget.deadline)?;
            Ok(live.store.data().limits.bytes)
        });
        match called {
            Ok(memory) => {
                self.meters.memory(memory);
                if entry != Entry::Release {
                    if let Some(begun) = begun {
                        self.meters.end(hook, begun);
                    }
                    self.meters.call(loaded, hook, Ended::Ok);
                }
            }
            Err(fault) => self.note(loaded, hook, &fault, None),
        }
    }

    fn release(&mut self, loaded: &Loaded, slot: Slot) {
        let kept = self.slots.close(slot);
        // Only the instance that knows the exchange has something to let go.
        let knows = matches!(&self.running, Running::Live(live) if live.wants_release()) && kept.seen_by == self.life;
        if knows {
            self.background(loaded, Hook::Log, Entry::Release, slot);
        }
    }

    /// The running instance; makes a fresh one where there is none.
    fn live(&mut self, loaded: &Loaded) -> Result<&mut Live, Fault> {
        loaded.engine.wake();
        if let Running::Down(_) = self.running {
            self.start(loaded)?;
        }
        match &mut self.running {
            Running::Live(live) => Ok(live),
            Running::Down(_) | Running::Between => Err(Fault::Unavailable),
        }
    }

    fn start(&mut self, loaded: &Loaded) -> Result<(), Fault> {
        if self.quarantine.rests(Instant::now) {
            return Err(Fault::Unavailable);
        }
        if std::mem::take(&mut self.resting) {
            loaded.set_resting(false);
        }
        let Running::Down(state) = std::mem::replace(&mut self.running, Running::Between) else { return Ok(()) };
        match Live::start(&loaded.engine, &loaded.program, *state, loaded.start_deadline) {
            Ok(live) if live.store.data().definitions == loaded.definitions => {
                self.life = self.life.wrapping_add(1);
                self.meters.memory(live.store.data().limits.bytes);
                self.running = Running::Live(live);
                Ok(())
            }
            // The tables of series were made for what it defined when it was loaded.
            Ok(live) => {
                self.running = Running::Down(Box::new(live.store.into_data()));
                Err(Fault::Trap("defined something else than when it was loaded".to_owned()))
            }
            Err((state, fault)) => {
                self.running = Running::Down(state);
                Err(fault.into_fault())
            }
        }
    }

    /// Counts a fault, says so, and, unless the plugin itself said that it failed, throws the instance away.
    fn note(&mut self, loaded: &Loaded, hook: Hook, fault: &Fault, record: Option<&Record>) {
        let ended = match fault {
            Fault::Trap(_) => Ended::Trap,
            Fault::Deadline(_) => Ended::Deadline,
            Fault::Failed(_) => Ended::Failed,
            Fault::Unavailable => Ended::Unavailable,
        };
        self.meters.call(loaded, hook, ended);
        if *fault == Fault::Unavailable {
            return;
        }
        let rest = if matches!(fault, Fault::Failed(_)) && matches!(self.running, Running::Live(_)) {
            None
        } else {
            self.discard();
            self.quarantine.fault(Instant::now())
        };
        if rest.is_some() && !std::mem::replace(&mut self.resting, true) {
            loaded.set_resting(true);
        }
        let lines = match &mut self.running {
            Running::Live(live) => &mut live.store.data_mut().lines,
            Running::Down(state) => &mut state.lines,
            Running::Between => return,
        };
        if lines.take() {
            let (plugin, hook) = (&**loaded.name(), hook.name());
            let correlation_id = record.map(|record| &*record.correlation.id);
            match rest {
                Some(rest) => {
                    warn!(plugin, hook, correlation_id, %fault, quarantine = ?rest, "plugin failed too often and is in quarantine");
                }
                None => warn!(plugin, hook, correlation_id, %fault, "plugin failed"),
            }
        }
    }

    fn discard(&mut self) {
        self.running = match std::mem::replace(&mut self.running, Running::Between) {
            Running::Live(live) => {
                self.meters.restart();
                self.meters.memory(0);
                Running::Down(Box::new(live.store.into_data()))
            }
            other => other,
        };
    }
}

// === impl State ===

impl State {
    /// What a verdict comes to, with what the hook staged for it.
    fn outcome(&mut self, hook: Hook, verdict: Verdict) -> Result<Outcome, Fault> {
        let ticket = self.ticket.take();
        match verdict {
            Verdict::Continue => Ok(Outcome::Continue),
            Verdict::Fail => Err(Fault::Failed(self.refusal())),
            Verdict::Reply if hook != Hook::Log => self
                .reply
                .take()
                .map(Outcome::Reply)
                .ok_or_else(|| Fault::Trap("returned reply without an answer".to_owned())),
            Verdict::Pending if hook != Hook::Log => {
                ticket.map(|_| Outcome::Pending).ok_or_else(|| Fault::Trap("pending without a ticket".to_owned()))
            }
            Verdict::Close if hook == Hook::ConnectionOpen => Ok(Outcome::Close),
            Verdict::Reply | Verdict::Pending | Verdict::Close => {
                Err(Fault::Trap("returned a verdict where there is none to give".to_owned()))
            }
        }
    }
}
