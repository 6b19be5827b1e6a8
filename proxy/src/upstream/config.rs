//! What an upstream is, after every check.
//! It resolves and connects nothing.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use governor::Quota;

/// A group of endpoints that serve the same thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub name: Arc<str>,
    pub endpoints: Vec<Endpoint>,
    pub protocol: Protocol,
    pub tls: Option<Tls>,
    pub balance: Balance,
    pub timeouts: Timeouts,
    pub pool: Pool,
    pub breaker: Option<Breaker>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// An IP address or a name, which is resolved when a connection is made.
    pub host: Arc<str>,
    pub port: u16,
    pub weight: NonZeroU32,
}

/// How we speak to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name to ask for and to verify; `None` is the endpoint's host.
    pub server_name: Option<Arc<str>>,
    /// A PEM file with the authorities to trust; `None` is the system's store.
    pub ca: Option<PathBuf>,
    pub verify: bool,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    LeastRequests,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP and TLS together.
    pub connect: Duration,
    /// From the last byte of the request to the first of the response's head.
    pub head: Duration,
    /// Between two pieces of the response's body, or while nothing is taken of the request's; for a WebSocket in both directions.
    pub idle: Duration,
}

/// The connections that are kept, per worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub idle_per_endpoint: usize,
    pub idle_timeout: Duration,
    /// A connection this old is not used again.
    pub lifetime: Duration,
}

/// When to stop sending to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Opens after so many failures in a row; `None` does not look at this.
    pub consecutive_failures: Option<NonZeroU32>,
    /// Opens when failures come faster than this budget; `None` does not look at this.
    pub failure_budget: Option<Quota>,
    pub open_for: Duration,
    /// Requests let through while half open; so many successes close it, one failure opens it again.
    pub probes: NonZeroU32,
}
