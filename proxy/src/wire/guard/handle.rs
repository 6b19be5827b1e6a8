//! What a guard and the exchanges on its connection tell each other.
//! It touches no byte.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::time::Instant;

use crate::error::Reason;
use crate::moment;
use crate::wire::guard::head::BodyLength;

/// The exchanges' end of a guard. It never leaves the connection's thread.
#[derive(Clone, Debug)]
pub struct Handle(Rc<Shared>);

/// What the guard learned from a well-formed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadFacts {
    pub body: BodyLength,
    /// Whether an upgrade was asked for that can be granted: over HTTP/1.1, with no body.
    pub upgrade: bool,
}

#[derive(Debug)]
struct Shared {
    /// One for each request handed to hyper and not yet asked for; hyper reads at most one ahead.
    verdicts: RefCell<VecDeque<Result<HeadFacts, Reason>>>,
    fault: Cell<Option<Reason>>,
    /// Requests handed to hyper whose exchange is not over.
    in_flight: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Whether a part of a head has arrived.
    mid_head: Cell<bool>,
    held: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Whether hyper has begun to write something that it has not flushed.
    writing: Cell<bool>,
    /// Heads of interim answers that are to be written as soon as hyper is between two messages.
    interim: RefCell<BytesMut>,
}

/// How many bytes of interim answers may wait for a client that reads slowly; they are hints, and more are dropped.
const MAX_INTERIM: usize = 64 * 1024;

// === impl Handle ===

impl Handle {
    pub(super) fn new() -> Self {
        Self(Rc::new(Shared {
            verdicts: RefCell::default(),
            fault: Cell::new(None),
            in_flight: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            mid_head: Cell::new(false),
            held: Cell::new(false),
            waker: RefCell::default(),
            writing: Cell::new(false),
            interim: RefCell::default(),
        }))
    }

    /// What the guard says of the next request; to be called once for each, in their order.
    ///
    /// # Errors
    /// Why the client's head must be refused; the request that hyper delivered is not the client's then.
    pub fn next_request(&self) -> Result<HeadFacts, Reason> {
        self.0.verdicts.borrow_mut().pop_front().unwrap_or(Err(Reason::Internal))
    }

    /// Why the body that is being read broke, if it did.
    pub fn fault(&self) -> Option<Reason> {
        self.0.fault.get()
    }

    /// An upgrade was not granted: what came behind the request is the next request.
    pub fn release_upgrade(&self) {
        self.0.held.set(false);
        let waker = self.0.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has the head of an interim answer written. To be called while hyper asks for the answer to the request that it
    /// belongs to: hyper flushes after that, and so wakes the guard.
    pub(in crate::wire) fn push_interim(&self, head: &[u8]) {
        let mut interim = self.0.interim.borrow_mut();
        if interim.len() + head.len() <= MAX_INTERIM {
            interim.extend_from_slice(head);
        }
    }

    /// hyper is about to get the answer. What waits goes out before it, unless the end of the answer before is still on its
    /// way: where that stops and this one begins cannot be seen, so the hints are dropped.
    pub(in crate::wire) fn begin_answer(&self) {
        if self.0.writing.get() {
            self.0.interim.borrow_mut().clear();
        }
    }

    /// One exchange is over: its response was handed to hyper to the last byte, or given up.
    pub(in crate::wire) fn exchange_over(&self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.idle_since.set(moment::recent().into());
    }

    /// Whether a client is in the middle of a head: closing now would lose a request that it believes to have sent.
    pub(in crate::wire) fn is_mid_head(&self) -> bool {
        self.0.mid_head.get()
    }

    pub(super) fn set_mid_head(&self, mid_head: bool) {
        self.0.mid_head.set(mid_head);
    }

    pub(super) fn hand_over(&self, verdict: Result<HeadFacts, Reason>) {
        self.0.in_flight.set(self.0.in_flight.get() + 1);
        self.0.verdicts.borrow_mut().push_back(verdict);
    }

    pub(super) fn break_body(&self, reason: Reason) {
        self.0.fault.set(Some(reason));
    }

    /// Since when no exchange is under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.0.in_flight.get() == 0).then(|| self.0.idle_since.get())
    }

    pub(super) fn hold(&self) {
        self.0.held.set(true);
    }

    pub(super) fn is_held(&self, cx: &Context<'_>) -> bool {
        if self.0.held.get() {
            self.0.waker.replace(Some(cx.waker().clone()));
        }
        self.0.held.get()
    }

    /// Notes whether hyper is within a message, and says what it was before.
    pub(super) fn set_writing(&self, writing: bool) -> bool {
        self.0.writing.replace(writing)
    }

    /// Whether there is a request that was handed to hyper and not asked for.
    pub(super) fn is_next_waiting(&self) -> bool {
        !self.0.verdicts.borrow().is_empty()
    }

    /// Lends the interim answers that may be written now, if there are any.
    pub(super) fn interim(&self) -> Option<RefMut<'_, BytesMut>> {
        let interim = self.0.interim.borrow_mut();
        (!interim.is_empty() && !self.0.writing.get()).then_some(interim)
    }
}
