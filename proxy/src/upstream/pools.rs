//! One worker's connections to upstreams: kept over reloads, lent to one request (HTTP/1) or to many (HTTP/2).
//! It sends nothing, and picks an endpoint only by what [`super::balance`] says.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use hyper::client::conn::http2;

use super::balance::Balancer;
use super::cluster::{Cluster, Endpoint, Key};
use super::config;
use super::connect::Counted;
use super::outgoing::Outgoing;
use super::resolve::Resolver;
use crate::error::Reason;
use crate::moment;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Family, Gauge, Shard};
use crate::wire::client::{Connection, State, Upgraded};
use crate::wire::clock::Clock;

/// All connections of one worker, to every upstream of every version of the configuration.
#[derive(Debug)]
pub struct Pools {
    slots: RefCell<HashMap<Key, Rc<Slot>>>,
    resolver: Rc<Resolver>,
    shard: Shard,
    open_connections: Family,
    /// Makes the choices of different workers differ.
    seed: u64,
}

/// One worker's face of one cluster: picks, connects and sends. Make it once for each version of the configuration.
#[derive(Debug)]
pub struct Client {
    pub(super) cluster: Arc<Cluster>,
    pub(super) faces: Vec<Face>,
    pub(super) resolver: Rc<Resolver>,
    balancer: Balancer,
}

/// One endpoint in a client.
#[derive(Debug)]
pub(super) struct Face {
    /// The worker's own copy of the endpoint's text, so that requests on different cores share no count.
    pub(super) text: Arc<str>,
    pub(super) slot: Rc<Slot>,
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Cell<config::Pool>,
    /// HTTP/1: the last one that came back is lent first, so that the others grow old and go.
    #[expect(clippy::vec_box, reason = "each request takes one and gives it back: a pointer is moved")]
    idle: RefCell<Vec<Box<Kept>>>,
    /// HTTP/2: lent while they are new enough and have room.
    shared: RefCell<Vec<Rc<Shared>>>,
    /// Holds back requests while a connection that they can share is being made. Not on the way of a request that finds one.
    pub(super) dialing: tokio::sync::Mutex<()>,
    /// When making such a connection last failed, and why.
    pub(super) failed: Cell<Option<(Instant, Reason)>>,
    /// Whether connecting failed when it was last tried, so that the log is told when that changes, and not each time.
    pub(super) unreachable: Cell<bool>,
    pub(super) in_flight: Cell<usize>,
    pub(super) open: Rc<Cell<usize>>,
    active_gauge: Gauge,
    idle_gauge: Gauge,
}

/// An HTTP/1 connection between requests.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) connection: Rc<Connection>,
    born: Instant,
    since: Instant,
    /// For the head of the answer.
    pub(super) clock: Clock,
    _counted: Counted,
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) sender: http2::SendRequest<Outgoing>,
    born: Instant,
    streams: Cell<usize>,
    /// How many streams the upstream takes at once.
    limit: Rc<Cell<usize>>,
    idle_since: Cell<Instant>,
}

/// A connection in use by one exchange. Keep it until the response's body is over, then drop it.
///
/// An HTTP/1 connection then goes back to its pool. Whether it may be used again is not for the lease to say: the connection is
/// free only once the request was sent to its end *and* the response was read to its end. So a lease that is dropped early can never poison
/// a connection: it closes it.
#[derive(Debug)]
pub struct Lease {
    slot: Rc<Slot>,
    pub(super) carrier: Carrier,
}

#[derive(Debug)]
pub(super) enum Carrier {
    /// Not connected (yet), or given up.
    None,
    Http1(Box<Kept>),
    Http2(Rc<Shared>),
}

// === impl Pools ===

impl Pools {
    /// No connections yet. They are counted in the worker's `shard`; `seed` should differ between workers.
    pub fn new(shard: Shard, catalogue: &Catalogue, seed: u64) -> Self {
        let open_connections = catalogue.http.client_open_connections.clone();
        Self { slots: RefCell::default(), resolver: Rc::default(), shard, open_connections, seed }
    }

    /// This worker's face of a cluster. Connections that fit are taken over from the client of an earlier version.
    pub fn client(&self, cluster: &Arc<Cluster>) -> Rc<Client> {
        let mut slots = self.slots.borrow_mut();
        let faces = cluster.endpoints().iter().map(|endpoint| {
            let pool = cluster.config().pool;
            let new = || {
                let gauge = |state| {
                    let labels = [state, &*endpoint.host, &endpoint.port.to_string(), &**cluster.name()];
                    self.shard.gauge(&self.open_connections, &labels)
                };
                Rc::new(Slot::new(pool, gauge("active"), gauge("idle")))
            };
            let slot = slots.entry(cluster.key(endpoint)).or_insert_with(new);
            slot.pool.set(pool);
            Face { text: Arc::from(&*endpoint.text), slot: Rc::clone(slot) }
        });
        let weights = cluster.endpoints().iter().map(|endpoint| endpoint.weight);
        Rc::new(Client {
            faces: faces.collect(),
            balancer: Balancer::new(cluster.config().balance, weights, self.seed),
            cluster: Arc::clone(cluster),
            resolver: Rc::clone(&self.resolver),
        })
    }

    /// Closes what is dead, too old, or idle for too long, and forgets endpoints that no client has any more.
    /// Call it every second or so.
    pub fn reap(&self) {
        let now = Instant::now();
        self.resolver.reap();
        self.slots.borrow_mut().retain(|_, slot| {
            slot.reap(now);
            let wanted = Rc::strong_count(slot) > 1;
            if !wanted {
                slot.clear();
            }
            wanted
        });
    }
}

// === impl Client ===

impl Client {
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Picks an endpoint for one attempt; not `avoid` (the one that just failed) where there is another.
    pub fn pick(&self, avoid: Option<usize>) -> Option<usize> {
        let in_flight = |position: usize| self.faces.get(position).map_or(0, |face| face.slot.in_flight.get());
        self.balancer.pick(in_flight, avoid)
    }

    /// `host:port` of an endpoint, for the record; this worker's own `Arc`.
    pub fn endpoint(&self, position: usize) -> Option<&Arc<str>> {
        self.faces.get(position).map(|face| &face.text)
    }

    pub(super) fn face(&self, position: usize) -> Option<(&Face, &Endpoint)> {
        Some((self.faces.get(position)?, self.cluster.endpoints().get(position)?))
    }
}

// === impl Slot ===

impl Slot {
    fn new(pool: config::Pool, active_gauge: Gauge, idle_gauge: Gauge) -> Self {
        Self {
            active_gauge,
            idle_gauge,
            pool: Cell::new(pool),
            idle: RefCell::default(),
            shared: RefCell::default(),
            dialing: tokio::sync::Mutex::new(()),
            failed: Cell::new(None),
            unreachable: Cell::new(false),
            in_flight: Cell::new(0),
            open: Rc::default(),
        }
    }

    /// An idle HTTP/1 connection that looks alive.
    pub(super) fn take_idle(&self) -> Option<Box<Kept>> {
        // Dropped after the list is free again: what is still being sent on one may come back to us.
        let mut over = Vec::new();
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let now = moment::recent();
        let pool = self.pool.get();
        let mut position = idle.len();
        while position > 0 {
            position -= 1;
            match idle.get(position)?.state(now, &pool) {
                State::Free => return Some(idle.remove(position)),
                State::Sending => {}
                State::Over => over.push(idle.swap_remove(position)),
            }
        }
        None
    }

    fn keep(&self, kept: Box<Kept>) {
        let pool = self.pool.get();
        let mut idle = self.idle.borrow_mut();
        let stays = match kept.state(kept.since, &pool) {
            State::Free => idle.len() < pool.idle_per_endpoint,
            State::Sending => true,
            State::Over => false,
        };
        if stays {
            idle.push(kept);
        }
    }

    /// An HTTP/2 connection with room for another stream.
    pub(super) fn share(&self) -> Option<Rc<Shared>> {
        let pool = self.pool.get();
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now = moment::recent();
        // Streams of one that is left out here go on until they end.
        shared.retain(|connection| connection.is_fresh(now, &pool));
        shared.iter().find(|connection| connection.streams.get() < connection.limit.get()).cloned()
    }

    /// Puts a new HTTP/2 connection among those to share.
    pub(super) fn add(&self, sender: http2::SendRequest<Outgoing>, limit: Rc<Cell<usize>>) -> Rc<Shared> {
        let now = Instant::now();
        let connection =
            Rc::new(Shared { sender, born: now, streams: Cell::new(0), limit, idle_since: Cell::new(now) });
        self.shared.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    fn clear(&self) {
        drop(self.idle.take());
        self.shared.borrow_mut().clear();
        self.idle_gauge.set(0.0);
        self.active_gauge.set(0.0);
    }

    fn reap(&self, now: Instant) {
        let pool = self.pool.get();
        let over: Vec<_> =
            self.idle.borrow_mut().extract_if(.., |kept| kept.state(now, &pool) == State::Over).collect();
        drop(over);
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

impl Kept {
    pub(super) fn new(connection: Rc<Connection>, counted: Counted) -> Self {
        let now = Instant::now();
        Self { connection, born: now, since: now, clock: Clock::new(), _counted: counted }
    }

    fn state(&self, now: Instant, pool: &config::Pool) -> State {
        if is_within(pool.idle_timeout, self.since, now) && is_within(pool.lifetime, self.born, now) {
            self.connection.state()
        } else {
            State::Over
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Somebody may still be sending on it.
        self.connection.close();
    }
}

/// Whether less than `limit` has passed since then. Seconds are added sooner than times are subtracted.
fn is_within(limit: Duration, since: Instant, now: Instant) -> bool {
    since.checked_add(limit).is_none_or(|end| now < end)
}

// === impl Shared ===

impl Shared {
    fn is_fresh(&self, now: Instant, pool: &config::Pool) -> bool {
        let in_use = self.streams.get() > 0 || is_within(pool.idle_timeout, self.idle_since.get(), now);
        !self.sender.is_closed() && in_use && is_within(pool.lifetime, self.born, now)
    }
}

// === impl Lease ===

impl Lease {
    /// Counts a request for the slot, before there is a connection.
    pub(super) fn new(slot: &Rc<Slot>) -> Self {
        slot.in_flight.set(slot.in_flight.get() + 1);
        Self { slot: Rc::clone(slot), carrier: Carrier::None }
    }

    pub(super) fn carry(&mut self, carrier: Carrier) {
        if let Carrier::Http2(connection) = &carrier {
            connection.streams.set(connection.streams.get() + 1);
        }
        self.carrier = carrier;
        self.slot.count();
    }

    /// What the connection became, where an answer of this status says that it is no longer HTTP.
    pub(super) fn upgrade(&self, status: StatusCode) -> Option<Box<Upgraded>> {
        match &self.carrier {
            Carrier::Http1(kept) if status == StatusCode::SWITCHING_PROTOCOLS => {
                kept.connection.upgrade().map(Box::new)
            }
            _ => None,
        }
    }

    /// Closes an HTTP/1 connection instead of keeping it. One that was upgraded lives on elsewhere.
    pub fn give_up(&mut self) {
        if let Carrier::Http1(_) = self.carrier {
            self.carrier = Carrier::None;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.slot.in_flight.set(self.slot.in_flight.get().saturating_sub(1));
        match std::mem::replace(&mut self.carrier, Carrier::None) {
            Carrier::None => {}
            Carrier::Http1(mut kept) => {
                kept.since = moment::recent();
                self.slot.keep(kept);
            }
            Carrier::Http2(connection) => {
                let streams = connection.streams.get().saturating_sub(1);
                connection.streams.set(streams);
                if streams == 0 {
                    connection.idle_since.set(moment::recent());
                }
            }
        }
        self.slot.count();
    }
}
