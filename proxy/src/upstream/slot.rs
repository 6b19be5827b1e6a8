//! The connections to one endpoint: lent to one request (HTTP/1) or to many (HTTP/2), and taken back when they are whole.
//! It connects to nothing and sends nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use hyper::client::conn::{http1, http2};

use super::config;
use super::outgoing::Outgoing;
use crate::error::Reason;
use crate::telemetry::metrics::Gauge;
use crate::wire::body::Body;

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Slot<B> {
    pub(super) pool: Cell<config::Pool>,
    /// HTTP/1: the last one that came back is lent first, so that the others grow old and go.
    idle: RefCell<Vec<Kept<B>>>,
    /// HTTP/2: lent while they are new enough and have room.
    shared: RefCell<Vec<Rc<Shared<B>>>>,
    /// Holds back requests while a connection that they can share is being made. Not on the way of a request that finds one.
    pub(super) dialing: tokio::sync::Mutex<()>,
    /// When making such a connection last failed, and why.
    pub(super) failed: Cell<Option<(Instant, Reason)>>,
    pub(super) in_flight: Cell<usize>,
    pub(super) open: Rc<Cell<usize>>,
    active_gauge: Gauge,
    idle_gauge: Gauge,
}

/// An HTTP/1 connection between requests.
#[derive(Debug)]
pub(super) struct Kept<B> {
    pub(super) sender: http1::SendRequest<Outgoing<B>>,
    pub(super) born: Instant,
    since: Instant,
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Shared<B> {
    pub(super) sender: http2::SendRequest<Outgoing<B>>,
    born: Instant,
    streams: Cell<usize>,
    /// How many streams the upstream takes at once.
    limit: Rc<Cell<usize>>,
    idle_since: Cell<Instant>,
}

/// A connection in use by one exchange. Keep it until the response's body is over, then drop it.
///
/// An HTTP/1 connection then goes back to its pool. Whether it may be used again is not for the lease to say: hyper calls it ready
/// only once the response was read to its end *and* the request was sent to its end, and closes it when
/// either was given up or the connection was upgraded. So a lease that is dropped early can never poison a connection.
#[derive(Debug)]
pub struct Lease<B = Body> {
    slot: Rc<Slot<B>>,
    pub(super) carrier: Carrier<B>,
}

#[derive(Debug)]
pub(super) enum Carrier<B> {
    /// Not connected (yet), or given up.
    None,
    Http1(Kept<B>),
    Http2(Rc<Shared<B>>),
}

// === impl Slot ===

impl<B> Slot<B> {
    pub(super) fn new(pool: config::Pool, active_gauge: Gauge, idle_gauge: Gauge) -> Self {
        Self {
            active_gauge,
            idle_gauge,
            pool: Cell::new(pool),
            idle: RefCell::default(),
            shared: RefCell::default(),
            dialing: tokio::sync::Mutex::new(()),
            failed: Cell::new(None),
            in_flight: Cell::new(0),
            open: Rc::default(),
        }
    }

    /// An idle HTTP/1 connection that looks alive.
    pub(super) fn take_idle(&self) -> Option<Kept<B>> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let now = Instant::now();
        let pool = self.pool.get();
        let mut position = idle.len();
        while position > 0 {
            position -= 1;
            let kept = idle.get(position)?;
            if !kept.is_fresh(now, &pool) {
                idle.swap_remove(position);
            } else if kept.sender.is_ready() {
                return Some(idle.remove(position));
            }
            // Else the end of its last exchange has not come through yet.
        }
        None
    }

    fn keep(&self, kept: Kept<B>) {
        let pool = self.pool.get();
        let mut idle = self.idle.borrow_mut();
        if kept.is_fresh(kept.since, &pool) && idle.len() < pool.idle_per_endpoint {
            idle.push(kept);
        }
    }

    /// An HTTP/2 connection with room for another stream.
    pub(super) fn share(&self) -> Option<Rc<Shared<B>>> {
        let pool = self.pool.get();
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now = Instant::now();
        // Streams of one that is left out here go on until they end.
        shared.retain(|connection| connection.is_fresh(now, &pool));
        shared.iter().find(|connection| connection.streams.get() < connection.limit.get()).cloned()
    }

    /// Puts a new HTTP/2 connection among those to share.
    pub(super) fn add(&self, sender: http2::SendRequest<Outgoing<B>>, limit: Rc<Cell<usize>>) -> Rc<Shared<B>> {
        let now = Instant::now();
        let connection =
            Rc::new(Shared { sender, born: now, streams: Cell::new(0), limit, idle_since: Cell::new(now) });
        self.shared.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
        self.idle_gauge.set(0.0);
        self.active_gauge.set(0.0);
    }

    pub(super) fn reap(&self, now: Instant) {
        let pool = self.pool.get();
        self.idle.borrow_mut().retain(|kept| kept.is_fresh(now, &pool));
        self.shared.borrow_mut().retain(|connection| connection.is_fresh(now, &pool));
        self.count();
    }

    /// Says how many connections there are. Called where one is lent, comes back or is reaped; one that the upstream
    /// closes while it is idle is noticed by the next of these.
    fn count(&self) {
        let unused = self.shared.borrow().iter().filter(|connection| connection.streams.get() == 0).count();
        let idle = self.idle.borrow().len() + unused;
        self.idle_gauge.set(idle as f64);
        self.active_gauge.set(self.open.get().saturating_sub(idle) as f64);
    }
}

// === impl Kept ===

impl<B> Kept<B> {
    pub(super) fn new(sender: http1::SendRequest<Outgoing<B>>) -> Self {
        let now = Instant::now();
        Self { sender, born: now, since: now }
    }

    fn is_fresh(&self, now: Instant, pool: &config::Pool) -> bool {
        !self.sender.is_closed()
            && now.saturating_duration_since(self.since) < pool.idle_timeout
            && now.saturating_duration_since(self.born) < pool.lifetime
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    fn is_fresh(&self, now: Instant, pool: &config::Pool) -> bool {
        let idle = self.streams.get() == 0 && now.saturating_duration_since(self.idle_since.get()) >= pool.idle_timeout;
        !self.sender.is_closed() && !idle && now.saturating_duration_since(self.born) < pool.lifetime
    }
}

// === impl Lease ===

impl<B> Lease<B> {
    /// Counts a request for the slot, before there is a connection.
    pub(super) fn new(slot: &Rc<Slot<B>>) -> Self {
        slot.in_flight.set(slot.in_flight.get() + 1);
        Self { slot: Rc::clone(slot), carrier: Carrier::None }
    }

    pub(super) fn carry(&mut self, carrier: Carrier<B>) {
        if let Carrier::Http2(connection) = &carrier {
            connection.streams.set(connection.streams.get() + 1);
        }
        self.carrier = carrier;
        self.slot.count();
    }

    /// Closes an HTTP/1 connection instead of keeping it.
    pub(super) fn give_up(&mut self) {
        if let Carrier::Http1(_) = self.carrier {
            self.carrier = Carrier::None;
        }
    }
}

impl<B> Drop for Lease<B> {
    fn drop(&mut self) {
        self.slot.in_flight.set(self.slot.in_flight.get().saturating_sub(1));
        match std::mem::replace(&mut self.carrier, Carrier::None) {
            Carrier::None => {}
            Carrier::Http1(mut kept) => {
                kept.since = Instant::now();
                self.slot.keep(kept);
            }
            Carrier::Http2(connection) => {
                let streams = connection.streams.get().saturating_sub(1);
                connection.streams.set(streams);
                if streams == 0 {
                    connection.idle_since.set(Instant::now());
                }
            }
        }
        self.slot.count();
    }
}
