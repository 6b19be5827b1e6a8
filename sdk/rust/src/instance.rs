//! The one instance of a plugin in a module: its hooks, those that wait, and the state of each exchange under way.
//! It knows neither the author's types nor what a hook waits for.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tidegate_abi::{Hook, Verdict};

use crate::plugin::fail;
use crate::{Bytes, Define, Error, Plugin, ffi, wait};

/// The one instance of a plugin in a module, or in a test.
pub struct Instance<P: Plugin>(RefCell<Option<P::Running>>);

/// How an instance keeps its plugin.
pub trait Run<P: Plugin> {
    /// One that keeps this plugin.
    fn new(plugin: P) -> Self;
    /// Goes on with the hook that waits in this slot.
    fn resume(&mut self, slot: i32, ticket: i32) -> i32;
    /// What this slot was for is over.
    fn release(&mut self, slot: i32);
}

/// A plugin all of whose hooks run to their end at once, so each can have it for itself.
pub struct Alone<P: Plugin> {
    plugin: P,
    /// By slot. Slots are small and used again.
    states: Vec<P::State>,
}

/// A plugin some of whose hooks wait, and hold it while they do.
pub struct Shared<P: Plugin> {
    plugin: Rc<P>,
    /// By slot.
    slots: Vec<Slot<P::State>>,
}

/// What is kept for a slot.
struct Slot<S> {
    /// Borrowed by the hook that waits, if one does.
    state: Rc<RefCell<S>>,
    waiting: Option<Waiting>,
}

/// A hook that waits.
struct Waiting {
    hook: Pin<Box<dyn Future<Output = i32>>>,
    /// How many tickets it has.
    tickets: u32,
}

// === impl Instance ===

impl<P: Plugin> Instance<P> {
    /// One that is not configured.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the plugin of the host's configuration.
    pub fn configure(&self) -> i32 {
        let json = Bytes::read(ffi::config_read).unwrap_or_else(|| Bytes::from(&[][..]));
        match P::configure(&json, &mut Define::new()) {
            Ok(plugin) => {
                self.0.replace(Some(P::Running::new(plugin)));
                Verdict::Continue as i32
            }
            Err(error) => fail(&error),
        }
    }

    /// Calls a hook; returns its verdict.
    #[inline(always)]
    pub fn call(&self, hook: Hook, slot: i32) -> i32 {
        match &mut *self.0.borrow_mut() {
            Some(running) => P::call(running, hook, slot),
            None => not_configured(),
        }
    }

    /// Goes on with the hook that waits in this slot.
    pub fn resume(&self, slot: i32, ticket: i32) -> i32 {
        match &mut *self.0.borrow_mut() {
            Some(running) => running.resume(slot, ticket),
            None => not_configured(),
        }
    }

    /// What this slot was for is over.
    pub fn release(&self, slot: i32) {
        if let Some(running) = &mut *self.0.borrow_mut() {
            running.release(slot);
        }
    }
}

impl<P: Plugin> Default for Instance<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn not_configured() -> i32 {
    fail(&Error::new("a hook was called before the plugin was configured"))
}

/// The item of a slot; a new one is there as soon as its slot is.
fn at<T>(items: &mut Vec<T>, slot: i32, new: impl FnMut() -> T) -> &mut T {
    let slot = usize::try_from(slot).unwrap_or_default();
    if items.len() <= slot {
        items.resize_with(slot + 1, new);
    }
    #[allow(clippy::indexing_slicing, reason = "made long enough just above")]
    &mut items[slot]
}

// === impl Alone ===

impl<P: Plugin> Alone<P> {
    /// Runs a hook.
    #[inline(always)]
    pub fn run(&mut self, slot: i32, hook: impl FnOnce(&mut P, &mut P::State) -> i32) -> i32 {
        hook(&mut self.plugin, at(&mut self.states, slot, P::State::default))
    }

    /// Runs a hook that has no slot.
    pub fn run_apart(&mut self, hook: impl FnOnce(&mut P) -> i32) -> i32 {
        hook(&mut self.plugin)
    }

    /// Runs the last hook of a slot, which lets go of its state.
    #[inline(always)]
    pub fn run_last(&mut self, slot: i32, hook: impl FnOnce(&mut P, &mut P::State) -> i32) -> i32 {
        hook(&mut self.plugin, &mut std::mem::take(at(&mut self.states, slot, P::State::default)))
    }
}

impl<P: Plugin> Run<P> for Alone<P> {
    fn new(plugin: P) -> Self {
        Self { plugin, states: Vec::new() }
    }

    fn resume(&mut self, _slot: i32, _ticket: i32) -> i32 {
        nothing_waits()
    }

    fn release(&mut self, slot: i32) {
        *at(&mut self.states, slot, P::State::default) = P::State::default();
    }
}

#[cold]
fn nothing_waits() -> i32 {
    fail(&Error::new("a hook was resumed, but none waits"))
}

// === impl Shared ===

impl<P: Plugin> Shared<P> {
    /// Runs a hook that ends at once.
    pub fn run(&mut self, slot: i32, hook: impl FnOnce(&P, &mut P::State) -> i32) -> i32 {
        let kept = at(&mut self.slots, slot, Slot::default);
        // The client of a hook that waits has left when another hook comes before its answer.
        kept.waiting = None;
        hook(&self.plugin, &mut kept.state.borrow_mut())
    }

    /// Runs a hook that has no slot, beside those that wait.
    pub fn run_apart(&mut self, hook: impl FnOnce(&P) -> i32) -> i32 {
        hook(&self.plugin)
    }

    /// As [`Shared::run`]; the host says apart when a slot is over.
    pub fn run_last(&mut self, slot: i32, hook: impl FnOnce(&P, &mut P::State) -> i32) -> i32 {
        self.run(slot, hook)
    }

    /// Runs a hook as far as it comes.
    pub fn wait<F>(&mut self, slot: i32, hook: F) -> i32
    where
        F: AsyncFnOnce(&P, &mut P::State) -> i32 + 'static,
    {
        let kept = at(&mut self.slots, slot, Slot::default);
        kept.waiting = None;
        let (plugin, state) = (self.plugin.clone(), kept.state.clone());
        // Nobody else borrows the state of a slot: whoever comes next drops this first.
        #[allow(clippy::await_holding_refcell_ref)]
        let hook = Box::pin(async move { hook(&plugin, &mut state.borrow_mut()).await });
        kept.go_on(Waiting { hook, tickets: 0 })
    }
}

impl<P: Plugin> Run<P> for Shared<P> {
    fn new(plugin: P) -> Self {
        Self { plugin: Rc::new(plugin), slots: Vec::new() }
    }

    fn resume(&mut self, slot: i32, ticket: i32) -> i32 {
        wait::answered(ticket);
        let kept = at(&mut self.slots, slot, Slot::default);
        match kept.waiting.take() {
            Some(waiting) => kept.go_on(waiting),
            None => nothing_waits(),
        }
    }

    fn release(&mut self, slot: i32) {
        let kept = at(&mut self.slots, slot, Slot::default);
        kept.waiting = None;
        *kept.state.borrow_mut() = P::State::default();
    }
}

// === impl Slot ===

impl<S> Slot<S> {
    fn go_on(&mut self, mut waiting: Waiting) -> i32 {
        // Whatever can be awaited here is looked at each time: there is nothing to wake.
        let mut context = Context::from_waker(Waker::noop());
        let polled = wait::counting(&mut waiting.tickets, || waiting.hook.as_mut().poll(&mut context));
        match polled {
            Poll::Ready(verdict) => verdict,
            Poll::Pending if waiting.tickets == 0 => fail(&Error::new(
                "a hook waits for something that the host knows nothing of: only call-outs and sleeping can be awaited",
            )),
            Poll::Pending => {
                self.waiting = Some(waiting);
                Verdict::Pending as i32
            }
        }
    }
}

impl<S: Default> Default for Slot<S> {
    fn default() -> Self {
        Self { state: Rc::default(), waiting: None }
    }
}

#[cfg(test)]
mod tests;
