//! The request's body on its way upstream: counted, and its failure kept for the record.
//! It does not know who sends it.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::Reason;
use crate::exchange::Exchange;
use crate::wire::body::{Body, End, Watch};

/// What is known of a body that another task is sending; both run on the same core.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) bytes: Cell<u64>,
    /// What broke it, when the client did.
    pub(super) failed: Cell<Option<Reason>>,
    pub(super) complete: Cell<bool>,
}

/// Counts the body from now on. That the client sends it in time is the server's care.
pub(super) fn watched(exchange: &mut Exchange, body: Body) -> Body {
    let progress = Rc::new(Progress::default());
    exchange.request_body = Some(Rc::clone(&progress));
    body.watched(Box::new(Counted(progress)))
}

/// The body's side of a [`Progress`].
#[derive(Debug)]
struct Counted(Rc<Progress>);

impl Watch for Counted {
    fn data(&mut self, bytes: usize) {
        self.0.bytes.set(self.0.bytes.get().saturating_add(bytes as u64));
    }

    fn end(self: Box<Self>, end: End) {
        match end {
            End::Complete => self.0.complete.set(true),
            End::Error(reason) => self.0.failed.set(Some(reason)),
            End::Dropped => {}
        }
    }
}
