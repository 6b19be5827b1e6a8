//! Rate limits: keys, quotas, decisions.
//! It chooses no status code, and does not know which route asks why.

pub mod config;
pub mod key;
pub mod store;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::{NotUntil, RateLimiter};
use http::HeaderMap;

use self::config::{Key, Limit};
use self::key::{Digest, Digests};
use self::store::BoundedStore;
use crate::telemetry::metrics::{Counter, Gauge};

type Direct<C> =
    RateLimiter<governor::state::NotKeyed, governor::state::InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;
type Keyed<C> = RateLimiter<Digest, BoundedStore<Digest>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One limit, shared by all workers and exact over them.
///
/// This is a declared exception to "nothing shared on the request path": a limit that is not exact over cores would let through as
/// many times its rate as there are cores. Without a key it is one atomic; with one, a short lock on one of many shards.
#[derive(Debug)]
pub struct Limiter<C: Clock = MonotonicClock> {
    state: State<C>,
}

#[derive(Debug)]
enum State<C: Clock> {
    Direct(Direct<C>),
    Keyed {
        limiter: Keyed<C>,
        /// The same store that the limiter holds, for its gauges.
        store: BoundedStore<Digest>,
        digests: Digests,
        /// How many evictions have been shown.
        reported: AtomicU64,
    },
}

/// What of a request a limit may count by.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The route's name: unlike its place among the routes, it stays over a reload, as the count does.
    pub route: &'a str,
    /// The client, after trusted proxies.
    pub client: IpAddr,
    pub headers: &'a HeaderMap,
    /// Names and values that plugins have set for this request, in the order in which they were set.
    pub plugin_keys: &'a [(Box<str>, Bytes)],
}

/// What a limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// Too many; the next one is let through after this, if nobody else comes first.
    Limited {
        retry_after: Duration,
    },
}

// === impl Limiter ===

impl Limiter {
    /// A limit with nothing counted yet.
    pub fn new(config: &Limit) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock> Limiter<C> {
    /// A limit that reads the time from `clock`.
    pub fn with_clock(config: &Limit, clock: C) -> Self {
        let state = match config.key {
            Key::Global => State::Direct(RateLimiter::direct_with_clock(config.quota, clock)),
            Key::Route | Key::ClientAddress { .. } | Key::Header(_) | Key::Plugin(_) => {
                let store = BoundedStore::new(config.max_keys);
                let limiter = RateLimiter::new(config.quota, store.clone(), clock);
                State::Keyed { limiter, store, digests: Digests::new(config.key.clone()), reported: AtomicU64::new(0) }
            }
        };
        Self { state }
    }

    /// Counts the request, and says whether it may pass. One that has no key passes, and is not counted.
    pub fn check(&self, subject: &Subject<'_>) -> Decision {
        match &self.state {
            State::Direct(limiter) => decide(limiter.clock(), limiter.check()),
            State::Keyed { limiter, digests, .. } => match digests.digest(subject) {
                Some(digest) => decide(limiter.clock(), limiter.check_key(&digest)),
                None => Decision::Allowed,
            },
        }
    }

    /// Shows how many keys are remembered and how many had to go. Call it on one thread, every second or so.
    pub fn report(&self, keys: &Gauge, evictions: &Counter) {
        if let State::Keyed { store, reported, .. } = &self.state {
            keys.set(store.keys() as f64);
            let now = store.evictions();
            evictions.add(now.saturating_sub(reported.swap(now, Ordering::Relaxed)));
        }
    }

    /// How many keys are remembered now; never more than the configured `max_keys`.
    pub fn keys(&self) -> usize {
        match &self.state {
            State::Direct(_) => 0,
            State::Keyed { store, .. } => store.keys(),
        }
    }

    /// How many keys were forgotten to make room, ever. Each of them may start again with a full burst.
    pub fn evictions(&self) -> u64 {
        match &self.state {
            State::Direct(_) => 0,
            State::Keyed { store, .. } => store.evictions(),
        }
    }
}

fn decide<C: Clock>(clock: &C, checked: Result<(), NotUntil<C::Instant>>) -> Decision {
    match checked {
        Ok(()) => Decision::Allowed,
        Err(not_until) => Decision::Limited { retry_after: not_until.wait_time_from(clock.now()) },
    }
}
