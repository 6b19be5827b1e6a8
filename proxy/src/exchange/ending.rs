//! One exchange under way: its record and what must be given back, and how it ends, once, whatever happens.
//! It does not order the stages.

use std::rc::Rc;

use http::Response;
use tokio::time::Instant;

use crate::error::Reason;
use crate::exchange::Stop;
use crate::exchange::chain;
use crate::exchange::connection::Connection;
use crate::exchange::request_body::Progress;
use crate::telemetry::record::Record;
use crate::upstream::{Permit, Verdict};
use crate::view::{RouteView, View};
use crate::wire::body::{End, Watch};

/// An exchange under way. Dropped, it is over: the plugins' log hooks run, and the record is emitted.
pub(crate) struct Exchange {
    pub(super) view: Rc<View>,
    pub(super) connection: Rc<Connection>,
    pub(super) route: Option<usize>,
    /// Taken only while a plugin holds it.
    record: Option<Box<Record>>,
    pub(super) slots: chain::Slots,
    pub(super) request_body: Option<Rc<Progress>>,
    pub(super) permit: Option<Permit>,
    /// When the whole exchange must be over.
    pub(super) deadline: Option<Instant>,
    /// Whether the response went out whole.
    complete: bool,
}
