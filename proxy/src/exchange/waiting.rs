//! A hook that waits: what it has started is carried out, and it is resumed with each answer.
//! It does not know where in the walk the hook stands.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::exchange::call_out::{self, Done};
use crate::exchange::pace::Pace;
use crate::plugin::Instance;
use crate::plugin::contract::{Answer, Fault, Matter, Operation, Outcome, Scope, Slot, Ticket, Work};
use crate::telemetry::record::Record;
use crate::telemetry::trace_context::SpanId;
use crate::view::View;

/// A hook that returned [`Outcome::Pending`]. Dropped, what it has started is given up.
pub(super) struct Waiting {
    plugin: usize,
    slot: Slot,
    running: Vec<Running>,
    pace: Pace,
}

/// Something that is being carried out.
struct Running {
    ticket: Ticket,
    /// Of a call-out for an exchange.
    span: Option<SpanId>,
    work: Pin<Box<dyn Future<Output = Done>>>,
}

// === impl Waiting ===

impl Waiting {
    /// Begins what the hook of `plugin` (its index in the configuration) has started; `record` is that of its exchange.
    pub(super) fn begin(view: &Rc<View>, plugin: usize, slot: Slot, record: Option<&mut Record>) -> Self {
        let mut waiting = Self { plugin, slot, running: Vec::new(), pace: Pace::default() };
        if let Some(instance) = view.instance(plugin) {
            waiting.start(view, instance.operations(slot), record);
        }
        waiting
    }

    fn start(&mut self, view: &Rc<View>, operations: Vec<Operation>, mut record: Option<&mut Record>) {
        self.running.extend(operations.into_iter().map(|Operation { ticket, work }| match work {
            Work::Sleep(time) => {
                let work = Box::pin(async move {
                    tokio::time::sleep(time).await;
                    Done { answer: Answer::Woke, endpoint: None }
                });
                Running { ticket, span: None, work }
            }
            Work::CallOut(call) => {
                let (span, work) = call_out::begin(view, *call, record.as_deref_mut());
                Running { ticket, span, work: Box::pin(work) }
            }
        }));
    }

    /// What the hook comes to, once that is known. `scope` and `matter` are those that it was called with, and are back here
    /// whenever this returns.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        view: &Rc<View>,
        scope: &mut Option<Scope>,
        matter: &mut Matter,
    ) -> Poll<Outcome> {
        let Some(instance) = view.instance(self.plugin) else {
            return Poll::Ready(Outcome::Refuse(Fault::Unavailable));
        };
        loop {
            let Some(Running { ticket, .. }) = self.running.first() else {
                return Poll::Ready(Outcome::Refuse(Fault::Trap("waits for nothing".to_owned())));
            };
            if instance.is_lost(self.slot, cx.waker()) {
                let ticket = *ticket;
                self.running.clear();
                let (back, same, outcome) =
                    instance.resume(self.slot, ticket, Answer::Woke, scope.take(), std::mem::take(matter));
                (*scope, *matter) = (back, same);
                return Poll::Ready(outcome);
            }
            // As many as there are may be answered at once.
            ready!(self.pace.poll(cx));
            let (Running { ticket, span, .. }, Done { answer, endpoint }) = ready!(self.first(cx));
            if let (Some(span), Some(record)) = (span, scope.as_deref_mut()) {
                let outcome = match &answer {
                    Answer::Response(response) => Ok(response.status()),
                    Answer::Failed(reason) => Err(*reason),
                    Answer::Woke => Err(crate::error::Reason::Internal),
                };
                record.call_out_ended(span, endpoint, outcome);
            }
            let (slot, held, about) = (self.slot, scope.take(), std::mem::take(matter));
            let (back, same, outcome) = self.pace.time(|| instance.resume(slot, ticket, answer, held, about));
            (*scope, *matter) = (back, same);
            match outcome {
                Outcome::Pending => self.start(view, instance.operations(self.slot), scope.as_deref_mut()),
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// The first that is done.
    fn first(&mut self, cx: &mut Context<'_>) -> Poll<(Running, Done)> {
        for position in 0..self.running.len() {
            if let Some(running) = self.running.get_mut(position)
                && let Poll::Ready(done) = running.work.as_mut().poll(cx)
            {
                return Poll::Ready((self.running.swap_remove(position), done));
            }
        }
        Poll::Pending
    }

    /// The hook is given up: nobody will hear what it comes to.
    pub(super) fn give_up(self, view: &View) {
        if let Some(instance) = view.instance(self.plugin) {
            instance.give_up(self.slot);
        }
    }

    /// Waits for a hook that has no exchange.
    pub(super) async fn outcome(mut self, view: &Rc<View>, mut matter: Matter) -> (Matter, Outcome) {
        let outcome = std::future::poll_fn(|cx| self.poll(cx, view, &mut None, &mut matter)).await;
        (matter, outcome)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("plugin", &self.plugin).field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// A slot of an instance, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) view: Rc<View>,
    pub(super) plugin: usize,
    pub(super) slot: Slot,
}

// === impl Seat ===

impl Seat {
    /// A slot for something that is no exchange; `None` where the plugin could not be loaded.
    pub(super) fn open(view: &Rc<View>, plugin: usize) -> Option<Self> {
        let slot = view.instance(plugin)?.open();
        Some(Self { view: Rc::clone(view), plugin, slot })
    }

    pub(super) fn instance(&self) -> Option<&Instance> {
        self.view.instance(self.plugin)
    }

    /// Calls a hook, and waits where it does.
    pub(super) async fn call(&self, hook: tidegate_abi::Hook, matter: Matter) -> (Matter, Outcome) {
        let Some(instance) = self.instance() else { return (matter, Outcome::Continue) };
        let (_, matter, outcome) = instance.call_with(hook, self.slot, None, matter);
        match outcome {
            Outcome::Pending => {
                let waiting = Waiting::begin(&self.view, self.plugin, self.slot, None);
                waiting.outcome(&self.view, matter).await
            }
            outcome => (matter, outcome),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(instance) = self.instance() {
            instance.release(self.slot);
        }
    }
}
