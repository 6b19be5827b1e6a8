//! How a call goes: what it is about moves into the instance and out again, a fault is counted and costs the instance.
//! It does not decide what a fault means for the exchange.

use std::mem::{replace, swap};
use std::time::Instant;

use bytes::Bytes;
use tidegate_abi::{EXPORT_RESUME, Hook, Signature, Verdict};
use tracing::warn;

use super::Inner;
use crate::plugin::config::Capability;
use crate::plugin::contract::{Answer, Fault, LocalReply, Matter, Outcome, Scope, Slot, Ticket};
use crate::plugin::counted::Counted;
use crate::plugin::drops::{Effect, Why};
use crate::plugin::live::{Entry, Live};
use crate::plugin::load::Loaded;
use crate::plugin::meters::Ended;
use crate::plugin::slots::Kept;
use crate::plugin::state::State;
use crate::telemetry::record::Record;

/// An [`Outcome`] without fault.
#[derive(Debug)]
pub(super) enum Came {
    Continue,
    Pending,
    Close,
    Reply(Box<LocalReply>),
}

// === impl Came ===

impl From<Came> for Outcome {
    fn from(came: Came) -> Self {
        match came {
            Came::Continue => Self::Continue,
            Came::Pending => Self::Pending,
            Came::Close => Self::Close,
            Came::Reply(reply) => Self::Reply(reply),
        }
    }
}

// === impl Inner ===

impl Inner {
    /// Calls the guest. What the call is about is in the instance's store for the time of the call.
    pub(super) fn run(
        &mut self,
        loaded: &Loaded,
        hook: Hook,
        entry: Entry,
        slot: Slot,
        scope: Option<Scope>,
        mut matter: Option<&mut Matter>,
    ) -> (Option<Scope>, Result<Came, Fault>) {
        let begun = if entry == Entry::Release { None } else { self.meters.begin(hook) };
        loaded.engine.wake();
        if let Err(fault) = self.ensure(loaded, slot) {
            self.not_called(loaded, hook, slot, &fault, scope.as_deref());
            return (scope, Err(fault));
        }
        let Self { running, slots, counted, meters, life, .. } = self;
        let (Some(live), Some(kept)) = (running.get(slot), slots.get_mut(slot)) else {
            return (scope, Err(Fault::Unavailable));
        };
        if let Entry::Hook(_) = entry {
            kept.begin(counted);
        }
        // A fresh instance may have been made for this call.
        kept.seen_by = *life;

        let state = live.store.data_mut();
        state.hook = hook;
        state.record = scope;
        swap(&mut state.kept, kept);
        swap(&mut state.counted, counted);
        if let Some(matter) = &mut matter {
            swap(&mut state.matter, matter);
        }
        let memory = state.limits.bytes;
        let verdict = live.call(entry, slot.0.cast_signed(), loaded.deadline_ticks, loaded.identity.budget.deadline);
        let can_resume = live.can_resume();
        let state = live.store.data_mut();
        if let Some(matter) = &mut matter {
            swap(&mut state.matter, matter);
        }
        swap(&mut state.counted, counted);
        swap(&mut state.kept, kept);
        let scope = state.record.take();
        meters.memory(memory, state.limits.bytes);

        let result = verdict.and_then(|verdict| judge(hook, verdict, kept, state, counted, can_resume));
        match &result {
            Ok(Came::Pending) => kept.waiting = Some(hook),
            Ok(_) => kept.end(counted),
            Err(_) => {
                kept.end(counted);
                kept.orders = None;
            }
        }
        if entry == Entry::Release && result.is_ok() {
            return (scope, result);
        }
        if let Some(begun) = begun {
            meters.end(hook, begun);
        }
        let ended = match &result {
            Ok(Came::Continue | Came::Close) => Ended::Ok,
            Ok(Came::Reply(_)) => Ended::Reply,
            Ok(Came::Pending) => Ended::Pending,
            Err(fault) => {
                self.note(loaded, hook, slot, fault, scope.as_deref());
                return (scope, result);
            }
        };
        meters.call(loaded, hook, ended);
        (scope, result)
    }

    /// There is no instance to call.
    #[cold]
    fn not_called(&mut self, loaded: &Loaded, hook: Hook, slot: Slot, fault: &Fault, record: Option<&Record>) {
        let Self { slots, counted, .. } = self;
        if let Some(kept) = slots.get_mut(slot) {
            kept.begin(counted);
        }
        self.note(loaded, hook, slot, fault, record);
    }

    /// Goes on with the hook of this slot that waits for the ticket. Returns which one that is.
    pub(super) fn resume(
        &mut self,
        loaded: &Loaded,
        slot: Slot,
        answer: (Ticket, Answer),
        scope: Option<Scope>,
        matter: &mut Matter,
    ) -> (Option<Scope>, Hook, Result<Came, Fault>) {
        let Self { running, slots, counted, life, .. } = self;
        let ticket = answer.0;
        let waiting = slots.get_mut(slot).and_then(|kept| {
            let hook = kept.waiting?;
            kept.answered(ticket, counted).then_some((hook, kept))
        });
        let Some((hook, kept)) = waiting else {
            let fault = Fault::Trap("nothing waits for this ticket".to_owned());
            return (scope, Hook::RequestHead, Err(fault));
        };
        if !running.knows(slot, kept, *life) {
            kept.begin(counted);
            self.meters.call(loaded, hook, Ended::Trap);
            let fault = Fault::Trap("the instance that waited for this was replaced after a fault".to_owned());
            return (scope, hook, Err(fault));
        }
        if let Some(live) = running.get(slot) {
            live.store.data_mut().answer = Some(answer);
        }
        let entry = Entry::Resume(ticket.0.cast_signed());
        let (scope, result) = self.run(loaded, hook, entry, slot, scope, Some(matter));
        if let Some(live) = self.running.get(slot) {
            live.store.data_mut().answer = None;
        }
        (scope, hook, result)
    }

    pub(super) fn release(&mut self, loaded: &Loaded, slot: Slot) {
        let Self { running, slots, counted, life, .. } = self;
        let Some(kept) = slots.get_mut(slot) else { return };
        kept.end(counted);
        // Only the instance that knows it has something to let go.
        if running.knows(slot, kept, *life) && running.get(slot).is_some_and(|live| live.wants_release()) {
            // In this state nothing can be done to an exchange, nor be started.
            let _ = self.run(loaded, Hook::Log, Entry::Release, slot, None, None);
        }
        self.slots.close(slot);
        if !self.running.is_shared() {
            self.throw_away(slot);
        }
    }

    /// Asks the instance that runs what the next generation shall know.
    pub(super) fn hand_over(&mut self, loaded: &Loaded) -> Option<Bytes> {
        let slot = self.slots.open();
        let mut handed = None;
        if self.running.is_shared()
            && let Some(live) = self.running.get(slot)
        {
            live.store.data_mut().handing = None;
            let (_, result) = self.run(loaded, Hook::HandOver, Entry::Hook(Hook::HandOver), slot, None, None);
            let handing = self.running.get(slot).and_then(|live| live.store.data_mut().handing.take());
            handed = result.ok().and(handing);
        }
        self.slots.close(slot);
        handed
    }

    /// Sees to it that there is an instance for this slot; makes a fresh one where there is none.
    pub(super) fn ensure(&mut self, loaded: &Loaded, slot: Slot) -> Result<(), Fault> {
        if self.running.has(slot) { Ok(()) } else { self.start(loaded, slot) }
    }

    #[cold]
    fn start(&mut self, loaded: &Loaded, slot: Slot) -> Result<(), Fault> {
        if self.quarantine.rests(Instant::now) {
            return Err(Fault::Unavailable);
        }
        if std::mem::take(&mut self.resting) {
            loaded.set_resting(false);
        }
        let mut state = State::new(loaded.identity.clone(), self.directory.clone(), self.handed.clone());
        swap(&mut state.counted, &mut self.counted);
        match Live::start(&loaded.engine, &loaded.program, state, loaded.start_deadline) {
            Ok(mut live) => {
                let state = live.store.data_mut();
                swap(&mut state.counted, &mut self.counted);
                // The tables of series were made for what it defined when it was loaded.
                if state.definitions != loaded.definitions {
                    return Err(Fault::Trap("defined something else than when it was loaded".to_owned()));
                }
                self.life = self.life.wrapping_add(1).max(1);
                self.meters.memory(0, state.limits.bytes);
                self.running.put(slot, live);
                Ok(())
            }
            Err((mut state, fault)) => {
                swap(&mut state.counted, &mut self.counted);
                Err(fault.into_fault())
            }
        }
    }

    /// Counts a fault, says so, and, unless the plugin itself said that it failed, throws the instance away.
    #[cold]
    pub(super) fn note(&mut self, loaded: &Loaded, hook: Hook, slot: Slot, fault: &Fault, record: Option<&Record>) {
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
        let (mut rest, mut lost) = (None, 0);
        if !(matches!(fault, Fault::Failed(_)) && self.running.has(slot)) {
            if self.running.is_shared() && self.running.has(slot) {
                lost = self.slots.lose(self.life);
            }
            if self.throw_away(slot) {
                self.meters.restart();
            }
            rest = self.quarantine.fault(Instant::now());
        }
        if rest.is_some() {
            loaded.note_rest(fault);
            if !replace(&mut self.resting, true) {
                loaded.set_resting(true);
            }
        }
        if self.counted.lines.take() {
            let (plugin, hook) = (&**loaded.name(), hook.name());
            let correlation_id = record.map(|record| &*record.correlation.id);
            match rest {
                Some(rest) => {
                    warn!(plugin, hook, correlation_id, %fault, lost, quarantine = ?rest, "plugin failed too often and is in quarantine");
                }
                None => warn!(plugin, hook, correlation_id, %fault, lost, "plugin failed"),
            }
        }
    }

    /// Whether there was an instance to throw away.
    fn throw_away(&mut self, slot: Slot) -> bool {
        let memory = self.running.discard(slot);
        self.meters.memory(memory.unwrap_or_default(), 0);
        memory.is_some()
    }
}

/// What a verdict comes to, with what the hook staged for it.
fn judge(
    hook: Hook,
    verdict: Verdict,
    kept: &mut Kept,
    state: &mut State,
    counted: &mut Counted,
    can_resume: bool,
) -> Result<Came, Fault> {
    let trap = |what: String| Err(Fault::Trap(what));
    match verdict {
        Verdict::Continue => Ok(Came::Continue),
        Verdict::Fail => Err(Fault::Failed(state.refusal())),
        Verdict::Reply => match kept.reply.take() {
            Some(reply) => Ok(Came::Reply(reply)),
            None => trap("returned reply without an answer".to_owned()),
        },
        Verdict::Pending if hook.signature() != Signature::Deciding => {
            trap("returned pending where nothing can be waited for".to_owned())
        }
        Verdict::Pending if !can_resume => trap(format!("returned pending, but does not export `{EXPORT_RESUME}`")),
        Verdict::Pending if kept.tickets.is_empty() => trap("returned pending without a ticket".to_owned()),
        Verdict::Pending => Ok(Came::Pending),
        Verdict::Close if hook != Hook::ConnectionOpen => {
            trap("returned close where there is nothing to close".to_owned())
        }
        Verdict::Close if state.allowed(Capability::Connections) => Ok(Came::Close),
        Verdict::Close => {
            counted.drops.count(Effect::Connection, Why::Denied);
            Ok(Came::Continue)
        }
    }
}
