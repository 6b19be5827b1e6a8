//! One exchange under way: its record, what must be given back, and how it ends: once, whatever happens.
//! It does not order the stages.

use std::rc::Rc;
use std::task::Context;

use http::request::Parts;

use crate::error::Reason;
use crate::exchange::chain;
use crate::exchange::connection::{Connection, Place};
use crate::exchange::desk::Desk;
use crate::exchange::orders::Aside;
use crate::exchange::request_body::Progress;
use crate::exchange::{Stop, head};
use crate::moment;
use crate::telemetry::record::{Arrival, Record};
use crate::upstream::{Client, Lease};
use crate::view::{RouteView, View};
use crate::websocket::Traffic;
use crate::wire::body::{End, Watch};
use crate::wire::clock::Clock;
use crate::wire::headers::{self, Introduction};
use crate::wire::interim::Interim;
use crate::wire::upgrade::{self, Handshake};

/// An exchange under way. When it is dropped it is over: the plugins' log hooks run and the record is emitted.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) view: Rc<View>,
    pub(super) listener: usize,
    pub(super) connection: Rc<Connection>,
    /// How the request is introduced to its upstream.
    pub(super) introduction: Rc<Introduction>,
    /// Index into the version's routes, once one matched: the one whose plugins run.
    pub(super) route: Option<usize>,
    /// Away only while a plugin holds it, or it lies at the desk.
    pub(super) record: Option<Box<Record>>,
    /// What the client's head said of WebSocket, until that was looked at.
    pub(super) handshake: Handshake,
    pub(super) slots: chain::Slots,
    /// What few exchanges have.
    pub(super) aside: Option<Box<Aside>>,
    pub(super) request_body: Option<Rc<Progress>>,
    /// Where an upstream's answers before the answer go.
    pub(super) interim: Option<Interim>,
    pub(super) traffic: Option<Rc<Traffic>>,
    /// The upstream connection, until the response's body is over.
    pub(super) lease: Option<Lease>,
    /// When the whole exchange must be over.
    pub(super) deadline: Option<tokio::time::Instant>,
    /// The connection's timer, where no other exchange has it.
    pub(super) clock: Clock,
    /// Whether the answer went out whole.
    complete: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Boxed from the start: it is handed on as it is to whoever ends it.
    pub(super) fn begin(connection: Rc<Connection>, place: Place, parts: Parts, interim: Option<Interim>) -> Box<Self> {
        let Place { view, listener } = place;
        connection.exchanges.set(connection.exchanges.get().saturating_add(1));
        let introduction = connection.introduce(headers::authority(&parts.uri, &parts.headers));
        let handshake = upgrade::handshake(&parts);
        let record = view.listener(listener).map(|scope| {
            let request = head::take(parts, connection.https, &introduction);
            Record::begin(Rc::clone(scope), Arrival { peer: connection.peer, request })
        });
        Box::new(Self {
            view,
            listener,
            clock: connection.clock.take(),
            connection,
            introduction,
            route: None,
            record,
            handshake,
            slots: chain::Slots::default(),
            aside: None,
            request_body: None,
            interim,
            traffic: None,
            lease: None,
            deadline: None,
            complete: false,
        })
    }

    /// The record. It is always there between two stages; a plugin host that lost it would be a fault of ours.
    pub(super) fn record(&mut self) -> Result<&mut Record, Stop> {
        self.record.as_deref_mut().ok_or_else(|| Reason::Internal.into())
    }

    /// The route whose plugins run: the one that matched.
    pub(super) fn chain(&self) -> Option<&RouteView> {
        self.view.route(self.route?)
    }

    /// Index of the route that says where the request goes: the one that matched, or what a plugin put in its place.
    pub(super) fn target(&self) -> Option<usize> {
        self.aside.as_ref().and_then(|aside| aside.route).or(self.route)
    }

    /// Index of the upstream that the request goes to.
    pub(super) fn upstream(&self) -> Option<usize> {
        let chosen = self.aside.as_ref().and_then(|aside| aside.upstream);
        chosen.or_else(|| Some(self.view.route(self.target()?)?.upstream))
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.view.upstream(self.upstream()?)
    }

    pub(super) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    pub(super) fn desk(&self) -> Option<Rc<Desk>> {
        self.aside.as_ref()?.desk.clone()
    }

    /// Lays the record at the desk, where there is one: before anything else can run.
    pub(super) fn lay(&mut self) {
        if let Some(aside) = &self.aside
            && let Some(desk) = &aside.desk
            && let Some(record) = self.record.take()
        {
            desk.lay(record);
        }
    }

    /// Takes the record back from the desk.
    pub(super) fn collect(&mut self) {
        if self.record.is_none()
            && let Some(aside) = &self.aside
            && let Some(desk) = &aside.desk
        {
            self.record = desk.take();
        }
    }

    /// A hook does not wait any more; whoever waits for its turn comes.
    pub(super) fn turn(&self) {
        if let Some(desk) = self.desk() {
            desk.turn();
        }
    }

    /// Has the task woken when it may be its turn.
    pub(super) fn wait_turn(&self, cx: &Context<'_>) {
        if let Some(desk) = self.desk() {
            desk.wait_for_turn(cx);
        }
    }

    /// Nothing more of the request goes upstream: whoever looks at its body on its way is given up, and is in nobody's way.
    pub(super) fn stop_sending(&mut self) {
        if let Some(desk) = self.desk() {
            desk.close();
            chain::give_up(self);
        }
    }

    /// Notes what went wrong; the first cause stands.
    pub(super) fn fail(&mut self, reason: Reason) {
        if let Some(record) = &mut self.record {
            record.fail(reason);
        }
    }

    /// The answer went out whole, or the WebSocket ended well.
    pub(super) fn completed(&mut self) {
        self.complete = true;
    }

    /// Nothing more is wanted of the upstream: gives its connection back, and ends the attempt.
    pub(super) fn let_go(&mut self) {
        self.lease = None;
        if let Some(attempt) = self.record.as_mut().and_then(|record| record.attempts.last_mut()) {
            attempt.ended.get_or_insert_with(moment::now);
        }
    }

    fn settle(&mut self) {
        let Some(record) = &mut self.record else { return };
        if let Some(progress) = &self.request_body {
            record.request_bytes = progress.bytes.get();
            if let Some(reason) = progress.failed.get() {
                record.fail(reason);
            }
        }
        if let Some(traffic) = &self.traffic {
            record.request_bytes = traffic.sent.get();
            record.response_bytes = traffic.received.get();
        }
        if !self.complete {
            // Whoever is still here when a worker ends was cut off by us.
            record.fail(if self.view.is_cut_off() { Reason::Draining } else { Reason::ClientClosed });
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.collect();
        if let Some(desk) = self.desk() {
            desk.close();
        }
        self.lease = None;
        if let Some(record) = &mut self.record {
            record.end();
        }
        self.settle();
        chain::log(self);
        chain::release(self);
        self.connection.clock.replace(std::mem::take(&mut self.clock));
    }
}

impl Watch for Exchange {
    fn data(&mut self, bytes: usize) {
        self.collect();
        if let Some(record) = &mut self.record {
            record.response_bytes += bytes as u64;
        }
        self.lay();
    }

    fn end(mut self: Box<Self>, end: End) {
        self.collect();
        match end {
            End::Complete => self.completed(),
            End::Error(reason) => {
                self.fail(reason);
                if let (Some(record), true) = (&mut self.record, reason.source() == crate::error::Source::Upstream)
                    && let Some(attempt) = record.attempts.last_mut()
                {
                    attempt.error.get_or_insert(reason);
                }
            }
            End::Dropped => {}
        }
    }
}
