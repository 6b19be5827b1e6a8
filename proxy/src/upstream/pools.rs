//! One worker's connections to upstreams, kept over reloads, and its face of each cluster.
//! It sends nothing, and picks an endpoint only by what [`super::balance`] says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::balance::Balancer;
use super::cluster::{Cluster, Endpoint, Key};
use super::resolve::Resolver;
use super::slot::Slot;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Family, Shard};
use crate::wire::body::Body;

/// All connections of one worker, to every upstream of every version of the configuration.
#[derive(Debug)]
pub struct Pools<B = Body> {
    slots: RefCell<HashMap<Key, Rc<Slot<B>>>>,
    resolver: Rc<Resolver>,
    shard: Shard,
    open_connections: Family,
    /// Makes the choices of different workers differ.
    seed: u64,
}

/// One worker's face of one cluster: picks, connects and sends. Make it once for each version of the configuration.
#[derive(Debug)]
pub struct Client<B = Body> {
    pub(super) cluster: Arc<Cluster>,
    pub(super) faces: Vec<Face<B>>,
    pub(super) resolver: Rc<Resolver>,
    balancer: Balancer,
}

/// One endpoint in a client.
#[derive(Debug)]
pub(super) struct Face<B> {
    /// The worker's own copy of the endpoint's text, so that requests on different cores share no count.
    pub(super) text: Arc<str>,
    pub(super) slot: Rc<Slot<B>>,
}

// === impl Pools ===

impl<B> Pools<B> {
    /// No connections yet. They are counted in the worker's `shard`; `seed` should differ between workers.
    pub fn new(shard: Shard, catalogue: &Catalogue, seed: u64) -> Self {
        let open_connections = catalogue.http.client_open_connections.clone();
        Self { slots: RefCell::default(), resolver: Rc::default(), shard, open_connections, seed }
    }

    /// This worker's face of a cluster. Connections that fit are taken over from the client of an earlier version.
    pub fn client(&self, cluster: &Arc<Cluster>) -> Rc<Client<B>> {
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

impl<B> Client<B> {
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

    pub(super) fn face(&self, position: usize) -> Option<(&Face<B>, &Endpoint)> {
        Some((self.faces.get(position)?, self.cluster.endpoints().get(position)?))
    }
}
